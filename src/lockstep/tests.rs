use super::*;
use crate::scenario::{Profile, generate};

#[test]
fn the_real_device_agrees_with_its_twin() {
    let mut runner = Runner::new(FileBacked, Medium::Memory);
    for profile in Profile::ALL {
        for seed in 0..1000 {
            let scenario = generate(seed, profile);
            let report = runner.run(&scenario, Options::default()).unwrap();
            if report.verdict != Verdict::Pass {
                let report = runner.run(&scenario, Options { trace: true }).unwrap();
                for event in &report.trace {
                    println!("{event}");
                }
                println!("{:?}", scenario.device);
                for (i, step) in scenario.steps.iter().enumerate() {
                    println!("{} {:?}", i + 1, step);
                }
                panic!("seed {seed} {profile:?}: {:?}", report.verdict);
            }
        }
    }
}
