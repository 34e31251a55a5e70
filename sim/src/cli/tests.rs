//! The command line: that it is consistent, and what it takes for nonsense.

use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// A command, and those in it.
fn all(command: &clap::Command) -> Vec<clap::Command> {
    let inner = command.get_subcommands().flat_map(all);
    [command.clone()].into_iter().chain(inner).collect()
}

#[test]
fn every_command_has_examples_that_it_understands() {
    for mut command in all(&Cli::command()) {
        let help = command.render_long_help().to_string();
        let (_, examples) = help.split_once("Examples:\n").expect(&help);
        let lines = examples.lines().take_while(|line| line.starts_with("  "));
        let examples: Vec<_> = lines.map(str::trim).collect();
        assert!(!examples.is_empty(), "{help}");
        for line in examples {
            // What it is for stands apart.
            let (example, _) = line.split_once("  ").unwrap_or((line, ""));
            let words = example.split_whitespace();
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}

#[test]
fn a_seed_may_have_a_profile() {
    for command in ["show", "shrink", "report"] {
        let arguments = ["blocktwin", command, "--seed", "3", "--profile", "heavy"];
        assert!(Cli::try_parse_from(arguments).is_ok(), "{command}");
        assert!(Cli::try_parse_from(&arguments[..2]).is_err(), "{command}");
        assert!(Cli::try_parse_from([&arguments[..4], &["a.ron"]].concat()).is_err());
    }
}

#[test]
fn nonsense_is_refused() {
    for seeds in ["5..5", "7..3", "x..y", "5", "..", "-1..5"] {
        assert!(parse_seeds(seeds).is_err(), "{seeds}");
    }
    assert_eq!(parse_seeds("5..6"), Ok(5..6));
    for time in ["0s", "", "s", "5d", "1.5h", "99999999999999999999h"] {
        assert!(parse_duration(time).is_err(), "{time}");
    }
    assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    for shard in ["0/4", "5/4", "1", "a/b", "1/0"] {
        assert!(shard.parse::<Shard>().is_err(), "{shard}");
    }
}

#[test]
fn shards_split_a_range_without_overlap() {
    let mut seeds: Vec<u64> = (1..=3)
        .map(|index| format!("{index}/3").parse::<Shard>().unwrap())
        .flat_map(|shard| (0..).map_while(move |n| shard.seed(10, n).filter(|&it| it < 110)))
        .collect();
    seeds.sort_unstable();
    assert_eq!(seeds, (10..110).collect::<Vec<_>>());
}
