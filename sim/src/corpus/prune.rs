//! Fuzz inputs that are the same scenario as another.

use super::cannot_write;
use super::check::{self, Directory};
use crate::cli::{PruneArgs, RecordArgs};
use crate::{Status, say};
use anyhow::Context;
use blocktwin::scenario::{decode, encode};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::PathBuf;

/// Removes fuzz inputs that are the same scenario as a shorter one, with their digests, and lowers
/// the counts.
pub(super) fn run(args: &PruneArgs) -> anyhow::Result<Status> {
    let root = &args.directory;
    let mut directories = Directory::all(root)?;
    for directory in directories.iter_mut().filter(|it| it.has_digests()) {
        let before = directory.files.len();
        let gone = duplicates(&directory.files)?;
        directory.files.retain(|path| !gone.contains(path));
        let (left, would) = (directory.files.len(), if args.dry_run { " would be" } else { "" });
        let shown = root.join(&directory.name);
        say(&format!("{}: {} of {before} files{would} pruned", shown.display(), gone.len()))?;
        directory.least = left.min(directory.least);
        if !args.dry_run {
            for path in &gone {
                fs::remove_file(path).with_context(|| cannot_write(path))?;
            }
        }
    }
    if args.dry_run {
        return Ok(Status::Passed);
    }
    let line = |it: &Directory| format!("{} {}\n", it.name, it.least);
    let (count, lines) = (root.join(check::COUNT), directories.iter().map(line));
    fs::write(&count, lines.collect::<String>()).with_context(|| cannot_write(&count))?;
    check::record(&RecordArgs { directory: root.clone() })
}

/// Those that are the same as a shorter one, or as an earlier one of the same length.
fn duplicates(files: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut inputs = Vec::new();
    for path in files {
        let bytes =
            fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        inputs.push((bytes.len(), path, bytes));
    }
    inputs.sort();
    let (mut kept, mut gone) = (BTreeMap::new(), Vec::new());
    for (_, path, bytes) in inputs {
        // The one encoding of what may have many.
        match kept.entry(encode(&decode(&bytes)).unwrap_or(bytes)) {
            Entry::Vacant(entry) => drop(entry.insert(path)),
            Entry::Occupied(entry) => {
                say(&format!("{}: the same as {}", path.display(), entry.get().display()))?;
                gone.push(path.clone());
            }
        }
    }
    Ok(gone)
}
