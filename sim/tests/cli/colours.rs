//! Colours: where somebody wants them, and nowhere else.

use super::program::{Ended, Place};

/// A known bug of the corpus, which diverges on the device of its name.
const SCENARIO: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/known_bugs/short-write-past-sector.ron");

fn replay(variables: &[(&str, &str)]) -> Ended {
    let place = Place::new();
    let arguments = ["replay", "--trace", "--device", "short-write-past-sector", SCENARIO];
    let mut command = place.command(&arguments);
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("CLICOLOR");
    Ended::from(command.envs(variables.iter().copied()).output().expect("the program")).with_code(1)
}

#[test]
fn a_pipe_gets_none() {
    for variables in [&[][..], &[("TERM", "xterm-256color")], &[("NO_COLOR", "1")]] {
        let plain = replay(variables);
        assert!(!plain.stdout.contains('\x1b'), "{}", plain.stdout);
    }
}

#[test]
fn they_can_be_forced_and_refused() {
    let (plain, coloured) = (replay(&[]).stdout, replay(&[("CLICOLOR_FORCE", "1")]).stdout);
    assert!(coloured.contains("\x1b[1m\x1b[31mDIVERGED: "), "{coloured:?}");
    let stripped = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(stripped, plain);
    assert_eq!(replay(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).stdout, plain);
}

/// Lengths, offsets and results each begin or end in the same column.
#[test]
fn events_are_in_columns() {
    let plain = replay(&[]).stdout;
    let lines = plain.lines().filter(|line| line.starts_with('#'));
    let columns = |part: &str| -> Vec<usize> {
        let mut columns: Vec<_> = lines.clone().filter_map(|line| line.find(part)).collect();
        columns.dedup();
        columns
    };
    assert_eq!(columns(" bytes at ").len(), 1, "{plain}");
    assert_eq!(columns(" -> ").len(), 1, "{plain}");
}
