//! Scenario files and fuzz inputs.

use anyhow::{Context, bail};
use blocktwin::lockstep::{Subject, scenarios_for};
use blocktwin::scenario::{MAX_TEXT, Scenario, decode, parse};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No scenario takes more.
const MOST: u64 = MAX_TEXT as u64;

/// A fuzz input of fewer bytes may be a text by chance.
const PROSE: usize = 16;

/// The scenario in a file, for a device. A scenario file that the device does not accept is
/// refused; a fuzz input, which says nothing by itself, becomes the nearest that the device
/// accepts.
pub(crate) fn scenario_for(path: &Path, subject: &impl Subject) -> anyhow::Result<Scenario> {
    let mut scenario = scenario(path)?;
    if is_input(path) {
        scenarios_for(subject).fit(&mut scenario);
    }
    subject.accepts().check(&scenario).with_context(|| format!("{}", path.display()))?;
    Ok(scenario)
}

fn is_input(path: &Path) -> bool {
    path.extension().is_none_or(|it| it != "ron")
}

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
        bail!("{name}: larger than {MOST} bytes; no scenario is that large");
    }
    let is_input = is_input(path);
    match String::from_utf8(bytes) {
        Ok(text) if is_input && is_prose(&text) => {
            bail!(
                "{name}: this is text and not a fuzz input; a scenario file has a name that \
                 ends in .ron"
            );
        }
        Ok(text) if is_input => Ok(decode(text.as_bytes())),
        Ok(text) => parse(&text).with_context(|| format!("{name}: not a scenario")),
        Err(error) if is_input => Ok(decode(error.as_bytes())),
        Err(_) => bail!("{name}: this is not text, so it is not a scenario file"),
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
    use crate::Status;
    use crate::cli::{ReportArgs, ShowArgs, ShrinkArgs};
    use blocktwin::device::DeviceError;
    use blocktwin::disk::World;
    use blocktwin::lockstep::FileBacked;
    use blocktwin::scenario::{Accepts, DeviceSpec, Profile, encode, generate, print};
    use std::fs;

    /// Has blocks of 65536 bytes only.
    struct LargeBlocks;

    impl Subject for LargeBlocks {
        type Device = <FileBacked as Subject>::Device;

        async fn open(
            &self,
            world: &World,
            spec: &DeviceSpec,
        ) -> Result<Self::Device, DeviceError> {
            FileBacked.open(world, spec).await
        }

        fn accepts(&self) -> Accepts {
            Accepts::anything().block_sizes(65536..=65536)
        }
    }

    #[test]
    fn a_file_that_the_device_does_not_accept_is_refused_by_every_command() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("small.ron");
        let mut scenario = generate(1, Profile::Default);
        let device = &mut scenario.device;
        (device.sector_size, device.block_size, device.file_length) = (512, 512, 0);
        fs::write(&path, print(&scenario)).unwrap();
        let line = format!(
            "{}: the device takes blocks of exactly 65536 bytes; the scenario has 512",
            path.display()
        );
        let which = || ShowArgs { file: Some(path.clone()), ..ShowArgs::default() };
        let output = directory.path().join("output");
        let shrink = ShrinkArgs { which: which(), output: Some(output.clone()) };
        let report = ReportArgs { which: which(), output: output.clone() };
        let errors = [
            scenario_for(&path, &LargeBlocks).map(drop).unwrap_err(),
            crate::wanted(&which(), &LargeBlocks).map(drop).unwrap_err(),
            crate::shrink::command(LargeBlocks, &shrink).unwrap_err(),
            crate::report::command(LargeBlocks, &report).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| format!("{error:#}") == line), "{errors:#?}");
        assert!(!output.exists());
    }

    #[test]
    fn a_seed_and_a_fuzz_input_give_what_the_device_accepts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        for seed in 0..20 {
            fs::write(&path, encode(&generate(seed, Profile::Default)).unwrap()).unwrap();
            let fitted = scenario_for(&path, &LargeBlocks).unwrap();
            let which = ShowArgs { seed: Some(seed), ..ShowArgs::default() };
            let drawn = crate::wanted(&which, &LargeBlocks).unwrap();
            assert_eq!([fitted, drawn].map(|it| it.device.block_size), [65536; 2]);
            let output = directory.path().join("page.html");
            let report = crate::report::command(LargeBlocks, &ReportArgs { which, output });
            assert_eq!(report.unwrap(), Status::Passed);
        }
    }

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
