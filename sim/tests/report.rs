//! Reports: the page as a text, and the page in a real browser.

#[path = "report/browser.rs"]
mod browser;
#[path = "report/chromium.rs"]
mod chromium;
#[path = "report/page.rs"]
mod page;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A directory in which reports are made.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program here, which is to end with this status.
    #[track_caller]
    fn run(&self, arguments: &[&str], code: i32) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blocktwin"));
        let output = command.args(arguments).current_dir(&self.0).output().expect("the program");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        output
    }

    /// The report of a planted bug's smallest scenario.
    #[track_caller]
    fn report(&self, bug: &str) -> String {
        let name = format!("{bug}.ron");
        std::fs::write(self.path(&name), known_bug(bug)).expect("a file");
        self.run(&["report", &name, "--device", bug, "-o", "report.html"], 1);
        self.read("report.html")
    }

    /// The pages of a campaign that finds a bug.
    #[track_caller]
    fn campaign(&self) {
        let arguments = ["run", "--device", "barrier-no-op", "--profile", "durability"];
        let arguments = [&arguments[..], &["--seeds", "0..3000", "--report", "campaign.html"]];
        self.run(&arguments.concat(), 1);
    }

    #[track_caller]
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a page")
    }
}

/// The smallest scenario of a planted bug.
#[track_caller]
fn known_bug(bug: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join(format!("corpus/known_bugs/{bug}.ron"));
    std::fs::read_to_string(path).expect("a known bug")
}
