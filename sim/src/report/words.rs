//! What things are called on a page.

use crate::cli::DeviceArg;
use blocktwin::disk::Call;
use blocktwin::lockstep::{Event, RawEvent};
use blocktwin::model::{Content, Expected, Kind, OpId};
use std::path::Path;

/// The promise that a kind of divergence breaks: the number of its clause of the contract, where it
/// has one, and what it says.
pub(super) fn promise(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Stale | Kind::Lost | Kind::Misdirected | Kind::Corrupt => (
            "2",
            "Read your writes: after a write has returned Ok, every later read sees it, or what \
             was written later.",
        ),
        Kind::Torn => (
            "3",
            "Old or new: whatever happens to a write, every sector holds all of the old or all of \
             the new, and never a mixture.",
        ),
        Kind::DurabilityLost => (
            "4",
            "Flush makes durable: when flush returns Ok, everything that had completed before it \
             was called survives any power failure. Close and a fua write promise the same.",
        ),
        Kind::OutlivesClose => (
            "4",
            "Close is the end: when it has returned, no raw call of the device is in flight. A \
             device that promises a clean close has no task left either.",
        ),
        Kind::OrderingViolated => (
            "5",
            "Barriers order: no write issued after a barrier may become durable before those that \
             had completed when the barrier was called.",
        ),
        Kind::PoisonIgnored => (
            "6",
            "A failed sync ends all promises: until the device is opened again, every write, \
             flush, barrier and trim has to fail.",
        ),
        Kind::ErrorSwallowed | Kind::SpuriousError | Kind::WrongError => (
            "7",
            "Transient conditions are absorbed; everything else is surfaced with its own error. \
             None is swallowed and none is invented.",
        ),
        Kind::Misdescribed => (
            "1",
            "The device never grows or shrinks the range that it serves, and is what it says.",
        ),
        Kind::NeverWritten | Kind::RequestNotRejected | Kind::Panic => {
            ("1", "Bad requests are errors, never panics, and change nothing.")
        }
        Kind::RangeEscaped => {
            ("1 and 8", "Nothing outside the range of a request is ever touched, nor past the end.")
        }
        Kind::DrainedEarly => {
            ("14", "Drain waits for all requests that are under way when it is called.")
        }
        Kind::BufferOutOfTurn => ("10", "Those who wait for transfer buffers are served in order."),
        Kind::LeakedBuffer => {
            ("10", "Transfer buffers come back: with nothing under way the heap is whole.")
        }
        _ => ("", "Every request comes to an end."),
    }
}

/// What a sector holds, in a word or two that fit a cell. `own` where it was meant for this sector.
pub(super) fn label(content: Content, own: bool) -> String {
    match content {
        Content::Zeros => "0".to_owned(),
        Content::Scribble => "0xab".to_owned(),
        Content::Written { op, .. } if own => format!("#{op}"),
        Content::Written { op, sector } => format!("#{op}@{sector}"),
        Content::Torn { head, tail, .. } => {
            let by = |op: OpId| if op == 0 { "0".to_owned() } else { format!("#{op}") };
            format!("{}|{}", by(head), by(tail))
        }
        Content::Unknown => "??".to_owned(),
    }
}

/// What a sector may hold, as [`label`] has it.
pub(super) fn expected_label(expected: &Expected) -> String {
    match expected {
        Expected::Zeros => "0".to_owned(),
        Expected::Written(op) => format!("#{op}"),
        Expected::Trimmed(_) => "0xab".to_owned(),
        Expected::Anything(_) => String::new(),
    }
}

/// What a sector holds, in a sentence.
pub(super) fn title(content: Content, own: bool) -> String {
    match content {
        Content::Written { sector, .. } if !own => {
            format!("{content}, meant for sector {sector}")
        }
        _ => content.to_string(),
    }
}

/// An event as a trace shows it, without the columns.
pub(super) fn event(event: &Event) -> String {
    let text = one_line(&event.to_string());
    let text = match event {
        Event::ReadBack(..) => return format!("read back: {text}"),
        Event::Raw(RawEvent { task: Some(task), .. }) => {
            let call = text.strip_prefix(&*one_line(task)).unwrap_or(&text);
            format!("{}: {}", by_task(task), call.trim_start())
        }
        _ => text,
    };
    text.trim_start_matches("#0 ").replace(" -> ", " → ")
}

fn by_task(task: &str) -> String {
    format!("task \"{task}\"")
}

/// Who makes a raw call, after the name of the call and "of"; nothing where it is the harness.
pub(super) fn caller(event: &RawEvent) -> Option<String> {
    let op = event.raw.caller.op;
    let request = (op != 0).then(|| format!("#{op}"));
    event.task.as_deref().map(by_task).or(request)
}

/// Whether a raw call is about the contents of the first file, which is the one that the map shows.
pub(super) fn is_on_map(event: &RawEvent) -> bool {
    event.raw.name == 0 && !matches!(event.raw.call, Call::SyncDirectory | Call::List)
}

/// A text with all white space in it reduced to single blanks.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What kind of event it is, as `view.js` and the style sheet know it.
pub(super) fn class(event: &Event) -> &'static str {
    match event {
        Event::Began(..) => "began",
        Event::Raw(it) if it.raw.call == Call::Sync && it.raw.result.is_ok() && is_on_map(it) => {
            "synced"
        }
        Event::Raw(_) => "raw",
        Event::Ended(_, Ok(()), _) | Event::Opened(Ok(())) => "ok",
        Event::Ended(..) | Event::Refused(..) | Event::Opened(Err(_)) => "failed",
        Event::Cancelled(_) => "dropped",
        Event::Crashed(..) => "crash",
        Event::Diverged(_) => "diverged",
        _ => "read-back",
    }
}

/// The command that replays a file.
pub(super) fn replay(path: &Path, device: DeviceArg) -> String {
    format!("blocktwin replay --trace{} {}", self::device(device), quoted(&path.to_string_lossy()))
}

/// The option that names a device, with a blank before it, where one is needed.
pub(super) fn device(device: DeviceArg) -> String {
    device.0.map(|it| format!(" --device {}", it.name)).unwrap_or_default()
}

/// An argument that a shell takes as one word.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_promise() {
        for kind in Kind::ALL {
            let (clause, text) = promise(kind);
            assert_eq!(clause.is_empty(), kind == Kind::Hang, "{kind}");
            assert!(text.ends_with('.'), "{kind}");
        }
    }

    #[test]
    fn a_shell_takes_any_path_as_one_word() {
        assert_eq!(
            quoted("corpus/known_bugs/flush-no-op.ron"),
            "corpus/known_bugs/flush-no-op.ron"
        );
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
