//! The map of sectors over time.

use super::words;
use blocktwin::lockstep::{Event, Sector};
use blocktwin::model::Content;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// So many rows are shown. Those that show the divergence come first.
pub(super) const MOST_ROWS: usize = 240;

/// A content, as seen from the sector that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    content: Content,
    /// It was meant for this sector.
    own: bool,
}

impl Shown {
    const ZEROS: Self = Self { content: Content::Zeros, own: true };

    fn new(content: Content, number: u64) -> Self {
        match content {
            // Neighbours that hold the same write are alike.
            Content::Written { op, sector } if sector == number => {
                Self { content: Content::Written { op, sector: 0 }, own: true }
            }
            Content::Written { .. } => Self { content, own: false },
            _ => Self { content, own: true },
        }
    }
}

/// From an event on a sector holds this: visible, and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    event: usize,
    visible: Shown,
    durable: Shown,
}

/// What sectors held, by number, as far as they were ever touched.
#[derive(Debug, Default)]
pub(super) struct Histories(BTreeMap<u64, Vec<Change>>);

/// Neighbouring sectors that always held alike.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) first: u64,
    pub(super) count: u64,
    /// The divergence shows in them.
    guilty: bool,
    /// From which event on, what is visible, what is durable; contents by number.
    cells: Vec<(usize, usize, usize)>,
}

/// A content, as it is drawn.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Look {
    label: String,
    title: String,
    kind: &'static str,
    /// The operation that wrote it; 0 where that is not one.
    op: u32,
}

/// The rows, and what their cells refer to.
#[derive(Debug, Serialize)]
pub(super) struct Map {
    pub(super) rows: Vec<Row>,
    contents: Vec<Look>,
    /// So many rows are not shown.
    rows_left_out: usize,
}

impl Histories {
    /// Of a trace; events are numbered without those that only say what sectors hold.
    pub(super) fn new(trace: &[Event]) -> Self {
        let (mut histories, mut event) = (Self::default(), 0_usize);
        for each in trace {
            match each {
                Event::Holds(sectors) => sectors
                    .iter()
                    .for_each(|sector| histories.note(event.saturating_sub(1), sector)),
                _ => event += 1,
            }
        }
        histories
    }

    fn note(&mut self, event: usize, sector: &Sector) {
        let (number, changes) = (sector.number, self.0.entry(sector.number).or_default());
        let visible = Shown::new(sector.visible, number);
        let durable = Shown::new(sector.durable, number);
        let last =
            changes.last().map_or((Shown::ZEROS, Shown::ZEROS), |it| (it.visible, it.durable));
        if last != (visible, durable) {
            changes.push(Change { event, visible, durable });
        }
    }

    /// What a sector held before and after it changed at an event, in words: visible and durable.
    pub(super) fn change(&self, number: u64, event: usize) -> Option<[(String, String); 2]> {
        let changes = self.0.get(&number)?;
        let at = changes.iter().position(|change| change.event == event)?;
        let zeros = Change { event: 0, visible: Shown::ZEROS, durable: Shown::ZEROS };
        let before = at.checked_sub(1).map_or(zeros, |before| changes[before]);
        // Within one event a sector changes once, or the last time counts.
        let after = changes.iter().rfind(|change| change.event == event)?;
        let title = |it: Shown| words::title(it.content, it.own);
        Some([
            (title(before.visible), title(after.visible)),
            (title(before.durable), title(after.durable)),
        ])
    }

    /// What a sector held after an event, in words: visible and durable.
    pub(super) fn held(&self, number: u64, event: usize) -> [String; 2] {
        let changes = self.0.get(&number).into_iter().flatten();
        let last = changes.take_while(|change| change.event <= event).last();
        let held = last.map_or([Shown::ZEROS; 2], |it| [it.visible, it.durable]);
        held.map(|it| words::title(it.content, it.own))
    }

    /// What the power failure at `event` kept although it was not durable: sectors, and contents in
    /// words.
    pub(super) fn survivors(&self, event: usize) -> impl Iterator<Item = (u64, String)> {
        let kept = move |(&number, changes): (&u64, &Vec<Change>)| {
            let at = changes.iter().position(|change| change.event == event)?;
            let before = changes[at.checked_sub(1)?];
            let survived = before.visible == changes[at].visible;
            survived.then(|| (number, words::title(before.visible.content, before.visible.own)))
        };
        self.0.iter().filter_map(kept)
    }

    /// The map from event `cut` on. The `guilty` sectors show the divergence.
    pub(super) fn map(&self, cut: usize, guilty: &BTreeSet<u64>) -> Map {
        // Also where nothing was ever written.
        let untouched = guilty.iter().filter(|number| !self.0.contains_key(number));
        let mut all: Vec<(u64, &[Change])> = untouched.map(|&number| (number, &[][..])).collect();
        all.extend(self.0.iter().map(|(&number, changes)| (number, &changes[..])));
        all.sort_unstable_by_key(|&(number, _)| number);
        let alike = |one: &(u64, &[Change]), next: &(u64, &[Change])| {
            let both_guilty = guilty.contains(&one.0) == guilty.contains(&next.0);
            one.0 + 1 == next.0 && one.1 == next.1 && both_guilty
        };
        let mut groups: Vec<_> = all.chunk_by(alike).collect();
        groups.sort_by_key(|group| !guilty.contains(&group[0].0));
        let mut contents = Contents(vec![Shown::ZEROS]);
        let rows = groups.iter().take(MOST_ROWS).map(|group| Row {
            first: group[0].0,
            count: group.len() as u64,
            guilty: guilty.contains(&group[0].0),
            cells: cells(group[0].1, cut, &mut contents),
        });
        let rows = rows.collect();
        let rows_left_out = groups.len().saturating_sub(MOST_ROWS);
        Map { rows, contents: contents.looks(), rows_left_out }
    }
}

/// Contents, numbered as they occur.
struct Contents(Vec<Shown>);

impl Contents {
    fn number(&mut self, shown: Shown) -> usize {
        self.0.iter().position(|&it| it == shown).unwrap_or_else(|| {
            self.0.push(shown);
            self.0.len() - 1
        })
    }

    fn looks(self) -> Vec<Look> {
        let look = |Shown { content, own }: Shown| {
            let (kind, op) = match content {
                Content::Zeros => ("zeros", 0),
                Content::Scribble => ("scribble", 0),
                Content::Written { op, .. } if own => ("write", op),
                Content::Written { op, .. } => ("foreign", op),
                Content::Torn { .. } => ("torn", 0),
                Content::Unknown => ("unknown", 0),
            };
            let (label, title) = (words::label(content, own), words::title(content, own));
            Look { label, title, kind, op }
        };
        self.0.into_iter().map(look).collect()
    }
}

/// Events before `cut` are one with it.
fn cells(changes: &[Change], cut: usize, contents: &mut Contents) -> Vec<(usize, usize, usize)> {
    let mut cells = vec![(0, 0, 0)];
    for change in changes {
        let event = change.event.saturating_sub(cut);
        let cell = (event, contents.number(change.visible), contents.number(change.durable));
        match cells.last_mut() {
            Some(last) if last.0 == event => *last = cell,
            _ => cells.push(cell),
        }
    }
    cells
}
