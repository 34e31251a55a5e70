//! `corpus check`, on the corpus and on copies of it that were tampered with.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A corpus of one fuzz input, which is recorded.
struct Copy(TempDir);

const INPUT: &str = "fuzz/lockstep/input";
const RECORD: &str = "fuzz/lockstep.digests";

impl Copy {
    fn new() -> Self {
        let copy = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir_all(copy.0.path().join("fuzz/lockstep")).expect("a directory");
        copy.write("COUNT", "fuzz/lockstep 1\n");
        copy.write(INPUT, "\x01 header, and then one record: that is enough to do something");
        assert_eq!(copy.does("record").status.code(), Some(0));
        copy
    }

    fn write(&self, name: &str, contents: &str) {
        fs::write(self.0.path().join(name), contents).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).expect("a file")
    }

    fn does(&self, what: &str) -> Output {
        blocktwin(&["corpus", what, &self.0.path().display().to_string()])
    }

    /// Asserts what a check ends with, and what it says.
    #[track_caller]
    fn checks(&self, status: i32, says: &str) {
        let Output { status: ended, stdout, stderr } = self.does("check");
        let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
        assert_eq!(ended.code(), Some(status), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

fn blocktwin(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_blocktwin"));
    program.args(arguments).output().expect("the program can be run")
}

#[test]
fn the_corpus_passes_on_legal_devices() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").display().to_string();
    for device in ["by-name", "in-hand", "write-back"] {
        let checked = blocktwin(&["corpus", "check", "--device", device, &corpus]);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.status.code(), Some(0), "{device}: {said}");
    }
    let checked = blocktwin(&["corpus", "check", "--device", "flush-no-op", &corpus]);
    assert_eq!(checked.status.code(), Some(1), "a planted bug passes the corpus");
}

#[test]
fn what_is_recorded_is_what_is_checked() {
    let copy = Copy::new();
    copy.checks(0, "1 files, 1 at least");
    let record = copy.read(RECORD);
    copy.write(RECORD, &record.replace(' ', " 0"));
    copy.checks(1, "recorded 0");
    copy.write(RECORD, "");
    copy.checks(1, "none is recorded");
    copy.write(RECORD, "nonsense\n");
    copy.checks(2, "line 1");
    copy.write(RECORD, &(record + "lost 0\n"));
    copy.checks(1, "lost: recorded, and not there");
}

#[test]
fn a_corpus_that_shrinks_or_diverges_is_found() {
    let copy = Copy::new();
    copy.write("COUNT", "fuzz/lockstep 2\n");
    copy.checks(1, "1 files, 2 at least");
    copy.write("COUNT", "fuzz/lockstep 1\n");
    copy.write(INPUT, "\x01nother header, and then another record: that does something else");
    copy.checks(1, "recorded");
}
