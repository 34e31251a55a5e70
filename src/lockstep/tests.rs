use super::*;
use crate::scenario::{Op, Profile, Step, generate};

mod broken;
mod check;
mod description;
mod direct;
mod drops;
mod explain;
mod media;
mod model_device;
mod opening;
mod sectors;
mod tasks;
mod wrappers;

fn passes<S: Subject>(runner: &mut Runner<S>, scenario: &Scenario) -> Report {
    let report = runner.run(scenario, Options::default()).unwrap();
    let seed = scenario.seed.unwrap_or(0);
    assert_eq!(report.verdict, Verdict::Pass, "seed {seed} of {:?}", scenario.device);
    report
}

#[test]
fn the_real_device_agrees_with_its_twin() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    for profile in Profile::ALL {
        for seed in 0..500 {
            passes(&mut runner, &generate(seed, profile));
        }
    }
}

#[test]
fn a_real_file_gives_the_same_digests_as_memory() {
    let directory = tempfile::tempdir().unwrap();
    let medium = Medium::in_directory(&directory).unwrap();
    let mut memory = Runner::new(FileBacked, Medium::Memory);
    let mut file = Runner::new(FileBacked, medium);
    // Of sizes that any file system holds.
    let drawn = (0..60).map(|seed| generate(seed, Profile::Durability));
    for scenario in drawn.filter(|it| it.device.block_count < 1 << 20).take(50) {
        assert_eq!(passes(&mut memory, &scenario).digest, passes(&mut file, &scenario).digest);
    }
}

#[test]
fn the_trace_is_the_same_every_time_and_does_not_change_the_digest() {
    let scenario = generate(3, Profile::Heavy);
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    let quiet = runner.run(&scenario, Options::default()).unwrap();
    let traced = [(); 2]
        .map(|()| runner.run(&scenario, Options { trace: true, ..Options::default() }).unwrap());
    assert_eq!(traced[0].trace, traced[1].trace);
    assert!(quiet.trace.is_empty() && !traced[0].trace.is_empty());
    assert_eq!((quiet.digest, &quiet.stats), (traced[0].digest, &traced[0].stats));
}

/// Every operation of every client is made, wherever crashes and reopenings fall.
#[test]
fn no_operation_is_left_out() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    for seed in 0..200 {
        let scenario = generate(seed, Profile::Default);
        let mut undisturbed = scenario.clone();
        for step in &mut undisturbed.steps {
            (step.crash_at, step.drop_at) = (None, None);
        }
        undisturbed.steps.retain(|step| !matches!(step.op, Op::Crash(_)));
        let report = passes(&mut runner, &undisturbed);
        assert_eq!(report.stats.ops, undisturbed.steps.len() as u64, "seed {seed}");
    }
}

/// A runner that takes scenarios of strangers does not keep the memory of all of them.
#[test]
fn few_large_heaps_are_kept() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    let mut scenario = generate(1, Profile::Default);
    scenario.steps.clear();
    let device = &mut scenario.device;
    (device.sector_size, device.block_size, device.file_length) = (512, 512, 0);
    for blocks in (1..200).chain((1..200).map(|at| (32 << 11) - at)) {
        scenario.device.heap = 512 * blocks;
        passes(&mut runner, &scenario);
        let kept: usize = runner.heaps.iter().map(BufferAllocator::size).sum();
        assert!(runner.heaps.len() <= HEAPS && kept <= HEAP_BYTES, "{kept} bytes");
    }
    assert_eq!(runner.heaps.len(), 2);
}

#[test]
fn a_scenario_of_nothing_passes() {
    let mut scenario = generate(1, Profile::Default);
    scenario.steps.clear();
    let report = run(&scenario).unwrap();
    assert_eq!((report.verdict, report.stats.ops), (Verdict::Pass, 0));
}

#[test]
fn a_device_of_sixteen_tebibytes_costs_what_is_touched() {
    let mut scenario = generate(1, Profile::Default);
    scenario.device.block_size = 4096;
    scenario.device.sector_size = 512;
    scenario.device.block_count = 1 << 32;
    scenario.device.file_length = 1 << 44;
    scenario.device.heap = 1 << 20;
    let last = (1 << 44) - 4096;
    let write = |offset| Step::new(Op::write(offset, 4096));
    scenario.steps = (0..64).map(|at| write(last / 64 / 4096 * 4096 * at)).collect();
    scenario.steps.push(write(last));
    scenario.steps.push(Step::new(Op::Flush));
    scenario.steps.push(Step::new(Op::Read { offset: last, length: 4096 }));
    passes(&mut Runner::new(FileBacked, Medium::Memory), &scenario);
}
