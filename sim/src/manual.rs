//! What is made of the definition of the command line: completion scripts and manual pages.

use crate::cli::{Cli, ManArgs};
use crate::{Status, say};
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use std::fs;

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "blocktwin", &mut script);
    say(String::from_utf8(script)?.trim_end())?;
    Ok(Status::Passed)
}

/// Prints the page of the program, or writes a page for every command into a directory.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<Status> {
    let command = Cli::command();
    if let Some(directory) = &args.output {
        let cannot = || format!("{}: cannot be written", directory.display());
        fs::create_dir_all(directory).with_context(cannot)?;
        clap_mangen::generate_to(command, directory).with_context(cannot)?;
        return Ok(Status::Passed);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    say(String::from_utf8(page)?.trim_end())?;
    Ok(Status::Passed)
}
