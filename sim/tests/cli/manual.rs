//! What is made of the definition of the command line.

use super::program::Place;
use std::fs;
use std::process::Command;

#[test]
fn shells_get_completions_that_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.run(&["completions", shell]).with_code(0).stdout;
        for word in ["replay", "completions", "corpus", "import", "double-run"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert!(place.run(&["completions", "dcl"]).with_code(2).stderr.contains("dcl"));
}

#[test]
fn bash_understands_its_completions() {
    let place = Place::new();
    place.file("script", place.run(&["completions", "bash"]).with_code(0).stdout);
    let complete = "source ./script; COMP_WORDS=(blocktwin re); COMP_CWORD=1; \
                    _blocktwin blocktwin re blocktwin; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    match bash.args(["--norc", "-c", complete]).current_dir(place.path("")).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.split_whitespace().any(|word| word == "replay"), "{output:?}");
        }
        Err(why) => println!("SKIPPED: no bash: {why}"),
    }
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let place = Place::new();
    let page = place.run(&["man"]).with_code(0).stdout;
    for section in [".TH blocktwin 1", ".SH SYNOPSIS", ".SH SUBCOMMANDS", "Exit status"] {
        assert!(page.contains(section), "{section}: {page}");
    }
    place.run(&["man", "-o", "man1"]).with_code(0);
    let names = super::names(&place.path("man1"));
    for command in ["", "-run", "-replay", "-corpus", "-corpus-check", "-man"] {
        assert!(names.contains(&format!("blocktwin{command}.1")), "{names:?}");
    }
    let run = fs::read_to_string(place.path("man1/blocktwin-run.1")).unwrap();
    assert!(run.contains("Examples:") && run.contains("\\-\\-seeds"), "{run}");
    place.file("file", "");
    super::assert_refused(&place, &["man", "-o", "file"], &["file: cannot be written"]);
}
