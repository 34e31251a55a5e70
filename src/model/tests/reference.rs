//! The twin against an exact oracle, which tries every order there is.
//!
//! The exact oracle is one register behind a cache. Every operation takes effect at one moment
//! between its beginning and its end, or, where it failed, possibly never; a flush saves what the
//! register holds at its moment, and a crash leaves that or anything the register held since.
//!
//! The twin must accept whatever the exact oracle allows. It accepts just that much of one read, of
//! reads one after another behind the writes, and of a crash where nothing was read; the last test
//! lists where it accepts more.

use super::history::{Held, History};
use crate::model::OpId;
use crate::rng::{Purpose, Rng};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Write,
    /// Fails: takes effect or not.
    Failing,
    Fua,
    Flush,
    Read,
}

/// An operation, numbered by its place in the list, from 1.
#[derive(Clone, Copy, Debug)]
struct Interval {
    what: What,
    began: usize,
    ended: usize,
}

/// What the reads return, in the order of the list, and what the crash after them leaves.
type Findings = Vec<OpId>;

/// Some operations that overlap at random.
fn draw(rng: &mut Rng, wanted: &[What]) -> Vec<Interval> {
    let mut moments: Vec<usize> = (0..2 * wanted.len()).collect();
    for at in (1..moments.len()).rev() {
        let other = usize::try_from(rng.below(at as u64 + 1)).unwrap();
        moments.swap(at, other);
    }
    let intervals = wanted.iter().zip(moments.chunks(2)).map(|(&what, pair)| {
        let (began, ended) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
        Interval { what, began, ended }
    });
    intervals.collect()
}

/// Puts one operation after another in every order that time allows.
struct Exact<'a> {
    ops: &'a [Interval],
    found: BTreeSet<Findings>,
}

#[derive(Clone)]
struct State {
    /// Bit `i` is set where operation `i` was placed, or was found never to take effect.
    placed: u32,
    register: OpId,
    /// What a crash may leave: what was saved last, and all since.
    survivable: Vec<OpId>,
    /// What each read returned.
    returned: Vec<OpId>,
}

impl Exact<'_> {
    fn of(ops: &[Interval]) -> BTreeSet<Findings> {
        let mut exact = Exact { ops, found: BTreeSet::new() };
        let returned = vec![0; ops.len()];
        exact.place(&State { placed: 0, register: 0, survivable: vec![0], returned });
        exact.found
    }

    fn place(&mut self, state: &State) {
        let open = |at: &usize| state.placed & (1 << at) == 0;
        let left: Vec<usize> = (0..self.ops.len()).filter(open).collect();
        let Some(deadline) = left.iter().map(|&at| self.ops[at].ended).min() else {
            return self.finish(state);
        };
        for &at in left.iter().filter(|&&at| self.ops[at].began < deadline) {
            let mut next = state.clone();
            next.placed |= 1 << at;
            if self.ops[at].what == What::Failing {
                self.place(&next);
            }
            let op = OpId::try_from(at + 1).unwrap();
            match self.ops[at].what {
                What::Read => next.returned[at] = next.register,
                What::Flush => next.survivable = vec![next.register],
                What::Write | What::Failing => next.survivable.push(op),
                What::Fua => next.survivable = vec![op],
            }
            if !matches!(self.ops[at].what, What::Read | What::Flush) {
                next.register = op;
            }
            self.place(&next);
        }
    }

    fn finish(&mut self, state: &State) {
        let reads = self.ops.iter().zip(&state.returned).filter(|(op, _)| op.what == What::Read);
        let returned: Findings = reads.map(|(_, &value)| value).collect();
        for &survivor in &state.survivable {
            self.found.insert(returned.iter().copied().chain([survivor]).collect());
        }
    }
}

/// Whether the twin has nothing against these findings.
fn twin_accepts(ops: &[Interval], findings: &[OpId]) -> bool {
    let mut history = History::new();
    let numbered = || (1..).zip(ops);
    let reads: Vec<OpId> =
        numbered().filter(|(_, it)| it.what == What::Read).map(|(op, _)| op).collect();
    for moment in 0..2 * ops.len() {
        let at = |it: &&(OpId, &Interval)| it.1.began == moment || it.1.ended == moment;
        let Some((op, interval)) = numbered().find(|it| at(&it)) else { unreachable!() };
        if interval.began == moment {
            history = match interval.what {
                What::Write | What::Failing => history.write(op, 0..1),
                What::Fua => history.fua(op, 0..1),
                What::Flush => history.flush(op),
                What::Read => history.read(op, 0..1),
            };
            continue;
        }
        match interval.what {
            What::Failing => history = history.fail(op),
            What::Read => {
                let place = reads.iter().position(|&read| read == op).unwrap();
                if history.end_read(op, 0, &[Held::By(findings[place])]).is_err() {
                    return false;
                }
            }
            What::Write | What::Fua | What::Flush => history = history.ok(op),
        }
    }
    let survivor = *findings.last().unwrap();
    history.twin.crash();
    history.recover(0, &[Held::By(survivor)]).is_ok()
}

/// Every way to fill `places` with numbers up to `most`.
fn every_finding(places: usize, most: usize) -> impl Iterator<Item = Findings> {
    let (places, base) = (u32::try_from(places).unwrap(), OpId::try_from(most + 1).unwrap());
    let digits = move |number: OpId| (0..places).map(move |at| number / base.pow(at) % base);
    (0..base.pow(places)).map(move |number| digits(number).collect())
}

/// What the twin accepts beyond the exact oracle; that it accepts less must never be.
#[track_caller]
fn surplus(ops: &[Interval]) -> Vec<Findings> {
    let exact = Exact::of(ops);
    let reads = ops.iter().filter(|it| it.what == What::Read).count();
    let mut surplus = Vec::new();
    for findings in every_finding(reads + 1, ops.len()) {
        match (exact.contains(&findings), twin_accepts(ops, &findings)) {
            (true, false) => panic!("too strong: {findings:?} of {ops:?}"),
            (false, true) => surplus.push(findings),
            _ => {}
        }
    }
    surplus
}

/// Two to four writes of any kind.
fn writes(rng: &mut Rng) -> Vec<What> {
    let kinds = [What::Write, What::Write, What::Failing, What::Fua];
    (0..rng.between(2, 4)).map(|_| *rng.pick(&kinds)).collect()
}

#[test]
fn one_read_is_judged_exactly() {
    let mut rng = Rng::new(1, Purpose::Operations);
    for _ in 0..400 {
        let mut wanted = writes(&mut rng);
        wanted.push(What::Read);
        let ops = draw(&mut rng, &wanted);
        let exact: BTreeSet<OpId> = Exact::of(&ops).into_iter().map(|it| it[0]).collect();
        let accepted =
            |value: &OpId| (0..=5).any(|survivor| twin_accepts(&ops, &[*value, survivor]));
        let twin: BTreeSet<OpId> = (0..=5).filter(accepted).collect();
        assert_eq!(twin, exact, "{ops:?}");
    }
}

#[test]
fn a_crash_after_writes_and_flushes_is_judged_exactly() {
    let mut rng = Rng::new(2, Purpose::Operations);
    for _ in 0..400 {
        let mut wanted = writes(&mut rng);
        wanted.extend((0..rng.between(0, 2)).map(|_| What::Flush));
        let ops = draw(&mut rng, &wanted);
        assert_eq!(surplus(&ops), Vec::<Findings>::new(), "{ops:?}");
    }
}

#[test]
fn reads_one_after_another_behind_the_writes_are_judged_exactly() {
    let mut rng = Rng::new(3, Purpose::Operations);
    for _ in 0..100 {
        let wanted = writes(&mut rng);
        let mut ops = draw(&mut rng, &wanted);
        let after = 2 * ops.len();
        let reads = (0..2).map(|at| (after + 2 * at, after + 2 * at + 1));
        ops.extend(reads.map(|(began, ended)| Interval { what: What::Read, began, ended }));
        let exact = without_crash(&Exact::of(&ops));
        for findings in surplus(&ops) {
            assert!(exact.contains(&findings[..2]), "{findings:?} of {ops:?}");
        }
    }
}

/// Two reads anywhere: here the twin accepts more, and this says when.
#[test]
fn reads_among_writes_are_judged_no_stricter_than_exactly() {
    let mut rng = Rng::new(4, Purpose::Operations);
    for _ in 0..120 {
        let mut wanted = writes(&mut rng);
        wanted.truncate(3);
        wanted.extend([What::Read, What::Read, What::Flush]);
        wanted.truncate(wanted.len() - usize::from(rng.chance(1, 2)));
        let ops = draw(&mut rng, &wanted);
        let exact = without_crash(&Exact::of(&ops));
        for findings in surplus(&ops) {
            let of_reads = !exact.contains(&findings[..2]);
            assert!(!of_reads || is_undecided(&ops), "{findings:?} of {ops:?}");
        }
    }
}

fn without_crash(findings: &BTreeSet<Findings>) -> BTreeSet<Findings> {
    findings.iter().map(|it| it[..it.len() - 1].to_vec()).collect()
}

/// Whether a read began while another read or a write was under way.
fn is_undecided(ops: &[Interval]) -> bool {
    let is_read = |it: &&Interval| it.what == What::Read;
    let others = |read: usize| {
        ops.iter().any(|it| it.what != What::Flush && it.began < read && read < it.ended)
    };
    ops.iter().filter(is_read).any(|read| others(read.began))
}

/// The smallest histories of which the twin accepts more. Where it learns to tell, they go.
#[test]
fn where_the_twin_is_weaker_than_exact() {
    let at = |what, began, ended| Interval { what, began, ended };
    let known: [(&str, &[Interval], Findings); 2] = [
        (
            "a write that was seen while under way may hide one made after that",
            &[
                at(What::Write, 0, 5),
                at(What::Read, 1, 2),
                at(What::Write, 3, 4),
                at(What::Read, 6, 7),
            ],
            vec![1, 1, 1],
        ),
        (
            "a failed write that a read did not see may survive a crash",
            &[at(What::Failing, 0, 1), at(What::Read, 2, 3)],
            vec![0, 1],
        ),
    ];
    for (name, ops, findings) in known {
        assert!(surplus(ops).contains(&findings), "no longer: {name}");
    }
}
