//! The built program, run in a fresh directory.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// So often, and so many milliseconds apart, is looked whether a child has come as far as it is to.
const LOOKS: u32 = 6000;
const APART: Duration = Duration::from_millis(10);

/// A fresh directory, which the program is run in.
pub(crate) struct Place {
    directory: TempDir,
}

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a file with these contents.
    #[track_caller]
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).expect("a file");
    }

    /// Makes a file of so many zeros, none of which takes space.
    #[track_caller]
    pub(crate) fn sparse_file(&self, name: &str, length: u64) {
        File::create(self.path(name)).and_then(|file| file.set_len(length)).expect("a file");
    }

    #[track_caller]
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).expect("a directory");
        path
    }

    /// The names of what there is, in order.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.directory.path())
    }

    /// The program with these arguments, to be started here, by nobody in particular.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blocktwin"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        // By these the program tells who runs it.
        command.env_remove("CARGO").env_remove("GITHUB_ACTIONS");
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command(arguments).output().expect("the program"))
    }

    /// Runs a line of shell to its end.
    #[track_caller]
    pub(crate) fn shell(&self, line: &str) -> Ended {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.directory.path());
        Ended::from(shell.output().expect("a shell"))
    }

    /// Starts the program; what it prints can be read.
    #[track_caller]
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running { child: child.expect("the program") }
    }
}

/// The names of what is in a directory, in order.
#[track_caller]
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("a text");
        let Output { status, stdout, stderr } = output;
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Ended {
    /// Asserts the exit status, and that the program did not panic on its way there.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// The last line that it printed.
    #[track_caller]
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.lines().last().expect("a line on standard output")
    }
}

/// The program on its way. Is killed if the test does not see it end.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads so much of its standard output as comes at once, and closes it.
    #[track_caller]
    pub(crate) fn read_little(&mut self) -> Vec<u8> {
        let mut some = vec![0; 64];
        let mut stdout = self.child.stdout.take().expect("standard output");
        let length = stdout.read(&mut some).expect("something on standard output");
        some.truncate(length);
        some
    }

    /// Waits until `reached` says so.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn wait_until(&mut self, mut reached: impl FnMut() -> bool) {
        for _ in 0..LOOKS {
            if reached() {
                return;
            }
            let ended = self.child.try_wait().expect("the program");
            assert!(ended.is_none(), "it ended too early: {ended:?}");
            pause();
        }
        panic!("it does not come that far");
    }

    /// Waits for its end. What it prints has to fit into a pipe.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let ended = (0..LOOKS).find_map(|_| {
            let status = self.child.try_wait().expect("the program");
            status.is_none().then(pause);
            status
        });
        let status = ended.expect("it should end");
        let read = |stream: Option<&mut dyn Read>| {
            let mut bytes = Vec::new();
            stream.map_or(Ok(0), |stream| stream.read_to_end(&mut bytes)).expect("its output");
            bytes
        };
        let stdout = read(self.child.stdout.as_mut().map(|it| it as &mut dyn Read));
        let stderr = read(self.child.stderr.as_mut().map(|it| it as &mut dyn Read));
        Output { status, stdout, stderr }.into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // In vain where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, beside every run")]
fn pause() {
    std::thread::sleep(APART);
}
