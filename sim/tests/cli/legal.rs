//! The devices without a bug, as a control; and what is said where nothing was tested.

use super::program::Place;
use super::summary;
use serde_json::Value;

#[test]
fn no_legal_device_is_accused() {
    let place = Place::new();
    let ended = place.run(&["legal", "--seeds", "0..150", "--jobs", "2"]).with_code(0);
    assert_eq!(ended.stderr, "");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[1].starts_with("file ") && lines[1].ends_with("  passed"), "{lines:#?}");
    for skipped in ["by-name ", "in-hand "] {
        let line = lines.iter().find(|line| line.starts_with(skipped));
        let told = line.is_some_and(|line| line.contains("SKIPPED: it keeps its data in a real"));
        assert!(told, "{lines:#?}");
    }
    let run = lines.iter().filter(|line| line.ends_with("  passed")).count();
    let counted =
        format!("0 of {run} legal devices accused; 2 more skipped, which says nothing about them");
    assert_eq!(ended.last_line(), counted, "{lines:#?}");
    assert!(!ended.stdout.contains(['\x1b', '\r']));
    assert!(place.names().is_empty());
}

#[test]
fn the_controls_are_one_json_object() {
    let place = Place::new();
    let arguments = ["legal", "write-back", "by-name", "--seeds", "0..120", "--format", "json"];
    let table = summary(&place.run(&arguments).with_code(0));
    let devices = table["devices"].as_array().expect("a list");
    let [device] = &**devices else { panic!("{table:#}") };
    assert_eq!((&device["name"], &device["scenarios"]), (&"write-back".into(), &120.into()));
    assert_eq!((&device["divergences"], &table["divergences"]), (&0.into(), &0.into()));
    assert_eq!(device["vacuous"], Value::Null);
    for key in ["calls", "crashes_that_lost"] {
        assert!(device[key].as_u64() > Some(0), "{key}: {table:#}");
    }
    assert_eq!((&table["skipped"][0]["name"], &table["run"]), (&"by-name".into(), &1.into()));
}

#[test]
fn a_control_of_nothing_is_none() {
    let place = Place::new();
    let ended = place.run(&["legal", "by-name", "--seeds", "0..5"]).with_code(3);
    assert!(ended.stderr.contains("nothing was tested: every device was skipped"), "{ended:#?}");
    let table: [(&[&str], &str); 3] = [
        (&["legal", "flush-no-op"], "flush-no-op is a planted bug; see blocktwin bugs flush-no-op"),
        (&["legal", "nonsense"], "no legal device is called \"nonsense\"; there are file, "),
        (&["legal", "--seeds", "0.."], "--seeds needs an end"),
    ];
    for (arguments, reason) in table {
        let ended = place.run(arguments).with_code(2);
        assert!(ended.stderr.contains(reason), "{ended:#?}");
    }
}

#[test]
fn a_campaign_on_a_device_that_never_touches_its_world_is_vacuous() {
    let place = Place::new();
    let run = ["run", "--device", "in-hand", "--seeds", "0..50", "--medium", "memory"];
    let ended = place.run(&run).with_code(3);
    let line = "blocktwin: nothing was tested: the device made no raw call.";
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    assert!(ended.stderr.starts_with(line), "{ended:#?}");
    assert!(ended.stdout.starts_with("50 scenarios on memory: VACUOUS\n"), "{ended:#?}");
    let json = [&run[..], &["--format", "json"]].concat();
    let told = summary(&place.run(&json).with_code(3));
    assert!(told["vacuous"].as_str().is_some_and(|it| it.contains("no raw call")), "{told:#}");
    assert_eq!((&told["calls"], &told["crashes_that_lost"]), (&0.into(), &0.into()));

    let real = ["run", "--seeds", "0..50", "--medium", "memory", "--format", "json"];
    let told = summary(&place.run(&real).with_code(0));
    assert_eq!((&told["vacuous"], &told["waives"]), (&Value::Null, &Value::Null));
    assert!(told["calls"].as_u64() > Some(0) && told["crashes_that_lost"].as_u64() > Some(0));
}

#[test]
fn a_seed_gives_what_the_device_accepts() {
    let place = Place::new();
    let mut differ = 0;
    for seed in 0..30 {
        let seed = seed.to_string();
        let show = ["show", "--seed", &seed, "--device", "header"];
        let shown = place.run(&show).with_code(0).stdout;
        differ += usize::from(shown != place.run(&show[..3]).with_code(0).stdout);
        place.file("its.ron", shown);
        place.run(&["replay", "its.ron", "--device", "header"]).with_code(0);
        place.run(&["report", "--seed", &seed, "--device", "header"]).with_code(0);
    }
    assert!(differ > 0);
}

/// Whatever the bytes say, there is a scenario in them for every device.
#[test]
fn a_fuzz_input_is_fitted_to_the_device() {
    let place = Place::new();
    place.run(&["corpus", "export", "--seeds", "0..30", "-o", "inputs"]).with_code(0);
    let inputs = super::names(&place.path("inputs"));
    let paths: Vec<String> = inputs.iter().map(|name| format!("inputs/{name}")).collect();
    let paths = paths.iter().map(String::as_str);
    let replay: Vec<&str> = ["replay", "--device", "header"].into_iter().chain(paths).collect();
    place.run(&replay).with_code(0);
}
