//! Scenario files and fuzz inputs.

use anyhow::{Context, bail};
use blocktwin::scenario::{Scenario, decode, parse};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No scenario takes more: 64 MiB.
const MOST: u64 = 64 << 20;

/// The scenario in a file: as text where the file is called so, and else as a fuzz input.
pub(crate) fn scenario(path: &Path) -> anyhow::Result<Scenario> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name}: cannot be opened"))?;
    let metadata = file.metadata().with_context(|| format!("{name}: cannot be read"))?;
    if metadata.is_dir() {
        bail!("{name}: is a directory, not a scenario file");
    }
    let mut text = Vec::new();
    let read = file.take(MOST + 1).read_to_end(&mut text);
    read.with_context(|| format!("{name}: cannot be read"))?;
    if text.len() as u64 > MOST {
        bail!("{name}: larger than {MOST} bytes, which no scenario is");
    }
    if path.extension().is_none_or(|it| it != "ron") {
        return Ok(decode(&text));
    }
    let Ok(text) = String::from_utf8(text) else {
        bail!("{name}: not a text, so not a scenario file");
    };
    parse(&text).with_context(|| format!("{name}: not a scenario"))
}
