//! Scenario files and fuzz inputs.

use anyhow::{Context, bail};
use blocktwin::scenario::{Scenario, decode, parse};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No scenario takes more: 64 MiB.
const MOST: u64 = 64 << 20;

/// A fuzz input of fewer bytes may be a text by chance.
const PROSE: usize = 16;

/// The scenario in a file: as text where the file is called so, and else as a fuzz input.
pub(crate) fn scenario(path: &Path) -> anyhow::Result<Scenario> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name}: cannot be opened"))?;
    let metadata = file.metadata().with_context(|| format!("{name}: cannot be read"))?;
    if metadata.is_dir() {
        bail!("{name}: is a directory, not a scenario file");
    }
    let mut bytes = Vec::new();
    let read = file.take(MOST + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("{name}: cannot be read"))?;
    if bytes.len() as u64 > MOST {
        bail!("{name}: larger than {MOST} bytes, which no scenario is");
    }
    let is_input = path.extension().is_none_or(|it| it != "ron");
    match String::from_utf8(bytes) {
        Ok(text) if is_input && is_prose(&text) => {
            bail!("{name}: a text, so no fuzz input, and a scenario file is called .ron");
        }
        Ok(text) if is_input => Ok(decode(text.as_bytes())),
        Ok(text) => parse(&text).with_context(|| format!("{name}: not a scenario")),
        Err(error) if is_input => Ok(decode(error.as_bytes())),
        Err(_) => bail!("{name}: not a text, so not a scenario file"),
    }
}

/// Whether this is evidently meant for people. What the project encodes begins with a control
/// character; what a fuzzer makes of it may not, but only something short is all text by chance.
fn is_prose(text: &str) -> bool {
    let is_prose = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.len() >= PROSE && text.chars().all(is_prose)
}

#[cfg(test)]
mod tests {
    use super::*;
    use blocktwin::scenario::{Profile, encode, generate};

    #[test]
    fn what_the_project_encodes_is_never_prose() {
        for seed in 0..200 {
            let bytes = encode(&generate(seed, Profile::Default)).unwrap();
            assert!(!String::from_utf8(bytes).is_ok_and(|text| is_prose(&text)));
        }
        assert!(is_prose("# A readme\r\n\n\tof \u{e9}tudes"));
        assert!(!is_prose("\n") && !is_prose("a short input") && !is_prose(&"\0".repeat(99)));
    }
}
