//! Programs of others, as far as this machine has them.

use super::server::PATIENCE;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use tokio::process::Command;
use tokio::time::timeout;

/// Where they may be, beside the directories of `PATH`.
const MORE: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Whether this machine has all of these. What is missing is named on standard error; in CI, which
/// installs them, it is an error.
#[track_caller]
pub(crate) fn have(names: &[&str]) -> bool {
    names.iter().fold(true, |all, name| {
        let found = find(name).is_some();
        assert!(found || std::env::var_os("CI").is_none(), "no {name}, which CI has");
        if !found {
            skipped(name);
        }
        all && found
    })
}

/// Tells that there is no such thing. Standard error as such, which the harness does not capture.
pub(crate) fn skipped(what: &str) {
    let _unread = writeln!(std::io::stderr(), "skipped: this machine has no {what}");
}

pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(MORE.map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// A program with its arguments, as one would type them.
pub(crate) fn command(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(find(name).expect("it was looked for"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a program to its end.
pub(crate) async fn output(name: &str, arguments: &[&str]) -> Output {
    let output = timeout(PATIENCE, command(name, arguments).output()).await;
    output.unwrap_or_else(|_| panic!("{name} {arguments:?} hangs")).expect("a program that runs")
}

/// Runs a program, which succeeds; its output.
pub(crate) async fn run(name: &str, arguments: &[&str]) -> String {
    let output = output(name, arguments).await;
    assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}
