//! Pages of a device that has a task and a second file.

use super::sectors::Histories;
use super::{Shown, data, life, page, words};
use crate::cli::DeviceArg;
use crate::zoo;
use blocktwin::device::{DeviceError, DeviceOptions, FileBackedDevice};
use blocktwin::disk::{Medium, SimFile, World};
use blocktwin::file::BackingFile;
use blocktwin::lockstep::{Event, Report, Runner, Subject, Verdict};
use blocktwin::scenario::{DeviceSpec, Op, Scenario, Step, decode};

/// Keeps its blocks in one file, and has a task that writes to another one when it is opened.
struct WithLog;

impl Subject for WithLog {
    type Device = FileBackedDevice<SimFile>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let options = DeviceOptions::new(spec.block_size)
            .block_count(spec.block_count)
            .trim(spec.trim.into())
            .allocator(world.heap());
        let files = world.clone();
        let log = world.spawn("log keeper", async move {
            let log = files.open_or_create("log").await?;
            log.write_at(&[7; 512], 0).await?;
            log.sync_data().await
        });
        log.await.expect("nobody ends it")?;
        FileBackedDevice::with_options(world.disk()?, options).await
    }
}

fn scenario() -> Scenario {
    let mut scenario = decode(&[]);
    scenario.steps =
        vec![Step::new(Op::write(0, scenario.device.block_size.into())), Step::new(Op::Flush)];
    scenario
}

fn report(shown: &Shown<'_>) -> Report {
    let report = shown.run(&mut Runner::new(WithLog, Medium::Memory)).expect("memory has room");
    assert_eq!(report.verdict, Verdict::Pass);
    report
}

#[test]
fn a_raw_call_is_told_with_its_file_and_who_made_it() {
    let scenario = scenario();
    let shown = Shown { scenario: &scenario, device: DeviceArg::default(), replay: "" };
    let report = report(&shown);
    let texts: Vec<_> = report.trace.iter().map(words::event).collect();
    for told in [
        "task \"log keeper\": pwrite 512 bytes at 0 of log → 512",
        "task \"log keeper\": fdatasync of log → Ok",
        "#2 fdatasync → Ok",
    ] {
        assert!(texts.iter().any(|text| text == told), "{told}: {texts:#?}");
    }
}

#[test]
fn a_call_on_another_file_is_none_on_the_sectors_of_the_map() {
    let scenario = scenario();
    let shown = Shown { scenario: &scenario, device: DeviceArg::default(), replay: "" };
    let report = report(&shown);
    let histories = Histories::new(&report.trace);
    let told = life::of_sector(&report, &histories, 0, 512);
    let told: Vec<_> = told.iter().map(|sentence| &*sentence.text).collect();
    assert!(!told.is_empty() && told.iter().all(|text| !text.contains("log")), "{told:#?}");
    let synced = |event: &&Event| words::class(event) == "synced";
    let events = data::events(&report);
    let synced: Vec<_> = events.into_iter().filter(synced).map(words::event).collect();
    assert!(!synced.is_empty() && synced.iter().all(|text| !text.contains("log")), "{synced:#?}");
}

#[test]
fn a_page_says_whether_its_map_shows_the_device() {
    let scenario = scenario();
    for (device, in_place) in [(None, true), (zoo::find("header"), false)] {
        let shown = Shown { scenario: &scenario, device: DeviceArg(device), replay: "" };
        let page = page::of_run(&shown, &report(&shown));
        assert_eq!(page.contains("The map shows the sectors of the first file"), !in_place);
    }
}
