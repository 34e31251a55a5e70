//! Colours, for a terminal. Elsewhere they are taken out again where they are printed.

use anstyle::{AnsiColor, Style};
use blocktwin::lockstep::{Event, Explanation, Part};

const WRONG: Style = AnsiColor::Red.on_default().bold();
const HEADING: Style = Style::new().bold();
const FAULT: Style = AnsiColor::Yellow.on_default();
const CRASH: Style = AnsiColor::Magenta.on_default().bold();
const REQUEST: Style = AnsiColor::Cyan.on_default();
const FAINT: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();

/// An explanation, its parts told apart.
pub(crate) fn explanation(explanation: &Explanation<'_>) -> String {
    let painted = explanation.lines().into_iter().map(|(part, line)| {
        let style = match part {
            Part::Verdict => WRONG,
            Part::Heading => HEADING,
            Part::Event(event) => style(event),
            _ => PLAIN,
        };
        paint(style, &line)
    });
    painted.collect::<Vec<_>>().join("\n")
}

/// A line of a trace.
pub(crate) fn event(event: &Event) -> String {
    paint(style(event), &event.to_string())
}

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Requests stand out from the raw calls beneath them, and what goes wrong from both.
fn style(event: &Event) -> Style {
    match event {
        Event::Crashed(..) => CRASH,
        Event::Raw(it) if it.raw.fault.is_some() || it.raw.result.is_err() => FAULT,
        Event::Ended(_, Err(_), _) | Event::Refused(..) | Event::Opened(Err(_)) => FAULT,
        Event::Began(..) | Event::Cancelled(_) => REQUEST,
        Event::Raw(_) | Event::ReadBack(..) => FAINT,
        _ => PLAIN,
    }
}
