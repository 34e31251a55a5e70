//! The corpus: every scenario still gives the verdict and the digest that it says, and every fuzz
//! input passes with the digest that is recorded.
//!
//! Each file is a trial of its own. Others check that the corpus does not shrink unnoticed, and
//! that a file that is wrong is found to be.

#[path = "../../fuzz/src/buffers.rs"]
#[expect(unreachable_pub, reason = "in the crate of the fuzz targets it is public")]
mod buffers;
#[path = "../src/corpus/digests.rs"]
mod digests;

use blocktwin::disk::{Fault, FaultClass, FaultKind, Medium};
use blocktwin::lockstep::{FileBacked, Options, Report, Runner, Stats, Verdict};
use blocktwin::scenario::{Expectation, ExpectedVerdict, Op, Profile, Scenario, Step};
use blocktwin::scenario::{decode, encode, generate, parse, print};
use digests::{Digests, SUFFIX};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Directories of the corpus whose files are run on the real device. `known_bugs` will be run on
/// devices with planted bugs.
const REGRESSIONS: [&str; 1] = ["regressions"];

/// Directories of fuzz inputs, which are run on the real device too.
const INPUTS: [&str; 1] = ["fuzz/lockstep"];

/// The directory of inputs that are uses of a transfer heap.
const ALLOCATOR: &str = "fuzz/allocator";

/// How many files each directory holds at least, as lines of `<directory> <number>`.
const COUNT: &str = "COUNT";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = self_checks();
    for directory in REGRESSIONS {
        let files = files(directory, |path| path.extension().is_some_and(|it| it == "ron"));
        trials.push(counted(directory, files.len()));
        trials.extend(files.into_iter().map(|path| {
            on_file(path, |bytes, shown| {
                let text = str::from_utf8(bytes).map_err(|error| format!("{shown}: {error}"))?;
                check(text, shown)
            })
        }));
    }
    for directory in INPUTS {
        let files = files(directory, |_| true);
        trials.push(counted(directory, files.len()));
        trials.push(exercised(directory, files.clone()));
        let digests = digests(directory);
        trials.push(recorded(directory, &files, Arc::clone(&digests)));
        trials.extend(files.into_iter().map(|path| {
            let digests = Arc::clone(&digests);
            on_file(path, move |bytes, shown| passes(digests.as_ref().as_ref()?, bytes, shown))
        }));
    }
    let files = files(ALLOCATOR, |_| true);
    trials.push(counted(ALLOCATOR, files.len()));
    trials.extend(files.into_iter().map(|path| {
        on_file(path, |bytes, _| {
            buffers::buffers(bytes);
            Ok(())
        })
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// The files in a directory of the corpus, in order of their names; none where it does not exist,
/// which the count makes a failure.
fn files(directory: &str, is_wanted: fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus().join(directory)).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry of the corpus").path());
    let mut files: Vec<_> = paths.filter(|path| is_wanted(path)).collect();
    files.sort();
    files
}

/// A trial of the number of files in a directory.
fn counted(directory: &'static str, found: usize) -> Trial {
    Trial::test(format!("{directory}::count"), move || {
        let recorded = fs::read_to_string(corpus().join(COUNT));
        let recorded = recorded.map_err(|error| format!("corpus/{COUNT}: {error}"))?;
        Ok(count(&recorded, directory, found)?)
    })
}

/// A trial of one file.
fn on_file<F>(path: PathBuf, check: F) -> Trial
where
    F: Fn(&[u8], &str) -> Result<(), String> + Send + 'static,
{
    let shown = shown(&path);
    Trial::test(shown.clone(), move || {
        let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
        Ok(check(&bytes, &shown)?)
    })
}

/// A trial of whether no input is recorded that is not there.
fn recorded(directory: &str, files: &[PathBuf], digests: Recorded) -> Trial {
    let names: Vec<String> = files.iter().map(|path| name_of(path)).collect();
    Trial::test(format!("{directory}::recorded"), move || {
        let missing = digests.as_ref().as_ref()?.missing(&names);
        if missing.is_empty() { Ok(()) } else { Err(format!("lost: {missing:?}").into()) }
    })
}

/// What is recorded of a directory of inputs, or why that cannot be told.
type Recorded = Arc<Result<Digests, String>>;

fn digests(directory: &str) -> Recorded {
    let name = format!("{directory}{SUFFIX}");
    let text = fs::read_to_string(corpus().join(&name)).map_err(|error| error.to_string());
    let digests = text.and_then(|text| Digests::parse(&text));
    Arc::new(digests.map_err(|error| format!("corpus/{name}: {error}")))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A trial of whether every kind of fault and every operation occurs in a directory of inputs.
fn exercised(directory: &str, files: Vec<PathBuf>) -> Trial {
    Trial::test(format!("{directory}::everything"), move || {
        let (mut stats, mut ops) = (Stats::default(), BTreeSet::new());
        for path in files {
            let scenario = decode(&fs::read(path)?);
            stats.add(&run(&scenario)?.stats);
            ops.extend(scenario.steps.iter().map(|step| name(step.op)));
        }
        let missing: Vec<_> =
            FaultClass::ALL.iter().filter(|&&it| stats.faults_of(it).injected == 0).collect();
        assert!(missing.is_empty(), "no input has {missing:?}");
        assert_eq!(ops.len(), 8, "{ops:?}");
        Ok(())
    })
}

/// What an operation is called, without its parameters.
fn name(op: Op) -> String {
    let whole = format!("{op:?}");
    whole.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// Whether the device passes the fuzz input `bytes`, of the file `shown`, as it did when that was
/// recorded.
fn passes(digests: &Digests, bytes: &[u8], shown: &str) -> Result<(), String> {
    let report = run(&decode(bytes)).map_err(|error| format!("{shown}: {error:#}"))?;
    is_pass(&report.verdict, shown)?;
    let recorded = digests.check(&name_of(Path::new(shown)), &report.digest.to_string());
    recorded.map_err(|why| differs(shown, &why))
}

fn is_pass(verdict: &Verdict, shown: &str) -> Result<(), String> {
    match verdict {
        Verdict::Pass => Ok(()),
        Verdict::Diverged(_) => Err(differs(shown, &format!("{verdict:?}"))),
    }
}

/// A path in the corpus, from the root of the repository.
fn shown(path: &Path) -> String {
    let relative = path.strip_prefix(corpus()).expect("a path in the corpus");
    format!("corpus/{}", relative.display())
}

/// Whether a directory has lost none of the files that `recorded` counts.
fn count(recorded: &str, directory: &str, found: usize) -> Result<(), String> {
    let lines = recorded.lines().filter_map(|line| line.split_once(' '));
    let number = lines.filter(|&(name, _)| name == directory).map(|(_, number)| number).next();
    let number = number.ok_or_else(|| format!("corpus/{COUNT} has no line for {directory}"))?;
    let least: usize = number
        .trim()
        .parse()
        .map_err(|_| format!("corpus/{COUNT}: {directory}: \"{number}\" is not a number"))?;
    if found < least {
        return Err(format!(
            "corpus/{directory} holds {found} files, and corpus/{COUNT} records {least}; \
             if files were to go, lower the number there and say why"
        ));
    }
    Ok(())
}

/// Whether the scenario in `text`, of the file `shown`, gives what it expects.
fn check(text: &str, shown: &str) -> Result<(), String> {
    let scenario = parse(text).map_err(|error| format!("{shown}: not a scenario: {error}"))?;
    let Some(expected) = &scenario.expect else {
        return Err(differs(shown, "it does not say what to expect"));
    };
    let report = run(&scenario).map_err(|error| format!("{shown}: {error:#}"))?;
    let (verdict, digest) = (report.verdict.expected(), report.digest.to_string());
    if verdict != expected.verdict {
        let found = format!("expected {:?}, found {:?}", expected.verdict, report.verdict);
        return Err(differs(shown, &found));
    }
    if digest != expected.digest {
        let expected = &expected.digest;
        let found = format!("{verdict:?} as expected, but digest {digest}, expected {expected}");
        return Err(differs(shown, &found));
    }
    Ok(())
}

fn run(scenario: &Scenario) -> anyhow::Result<Report> {
    Ok(Runner::new(FileBacked, Medium::Memory).run(scenario, Options::default())?)
}

/// What differs and, last, the command that shows it.
fn differs(shown: &str, what: &str) -> String {
    format!("{shown}: {what}\nreplay with:\ncargo run --release -- replay --trace {shown}")
}

/// Trials of the trials: what is wrong is found.
fn self_checks() -> Vec<Trial> {
    let trial =
        |name: &str, test: fn() -> Result<(), Failed>| Trial::test(format!("self::{name}"), test);
    vec![
        trial("what_a_scenario_gives_is_what_it_may_expect", || Ok(check(&correct(), "it.ron")?)),
        trial("no_expectation_is_found", || {
            refused(&altered(|it| it.expect = None), "does not say what to expect")
        }),
        trial("a_wrong_verdict_is_found", || {
            let fail = ExpectedVerdict::Fail(blocktwin::model::Kind::Panic);
            refused(&altered(|it| expectation(it).verdict = fail), "expected Fail(Panic), found")
        }),
        trial("a_wrong_digest_is_found", || {
            refused(&altered(|it| expectation(it).digest = "0".repeat(32)), "Pass as expected, but")
        }),
        trial("an_input_that_diverges_is_found", || {
            let shown = "corpus/fuzz/lockstep/it";
            is_pass(&run(&lost_write())?.verdict, shown)?;
            let accusing = Options { report_media_errors: true, ..Options::default() };
            let report = Runner::new(FileBacked, Medium::Memory).run(&lost_write(), accusing)?;
            let found = is_pass(&report.verdict, shown).expect_err("it should be found");
            assert!(found.ends_with(&format!("replay --trace {shown}")), "{found}");
            Ok(())
        }),
        trial("an_input_with_another_digest_is_found", || {
            let (input, shown) = (encode(&lost_write()).expect("few"), "corpus/fuzz/lockstep/it");
            let digest = run(&lost_write())?.digest.to_string();
            passes(&Digests::parse(&format!("it {digest}\n"))?, &input, shown)?;
            for (recorded, why) in [("it 00\n", "recorded 00"), ("", "none is recorded")] {
                let found = passes(&Digests::parse(recorded)?, &input, shown);
                let found = found.expect_err("it should be found");
                assert!(found.contains(why) && found.ends_with(shown), "{found}");
            }
            Ok(())
        }),
        trial("a_lost_input_and_a_bad_record_are_found", || {
            let digests = Digests::parse("a 1\nb 2\n")?;
            assert_eq!(digests.missing(&["b".to_owned()]), ["a"]);
            assert_eq!(Digests::parse(&digests.to_string()), Ok(digests));
            for text in ["a", "a 1\na 2\n"] {
                assert!(Digests::parse(text).is_err(), "{text}");
            }
            Ok(())
        }),
        trial("a_shrunk_corpus_is_found", || {
            count("known_bugs 9\nregressions 5\n", "regressions", 5)?;
            let refused = count("known_bugs 9\nregressions 5\n", "regressions", 4);
            assert!(refused.is_err_and(|why| why.contains("holds 4 files")));
            assert!(count("known_bugs 9\n", "regressions", 4).is_err());
            assert!(count("regressions five\n", "regressions", 5).is_err());
            Ok(())
        }),
    ]
}

/// A scenario in which the medium lies, so that a device that is held to it diverges.
fn lost_write() -> Scenario {
    let mut scenario = decode(&[]);
    let (offset, length) = (0, scenario.device.block_size.into());
    let mut write = Step::new(Op::fua_write(offset, length));
    write.faults.push(Fault { call: 0, kind: FaultKind::LostWrite });
    scenario.steps = vec![write, Step::new(Op::Read { offset, length })];
    scenario
}

/// A scenario that expects what it gives.
fn correct() -> String {
    altered(|_| ())
}

/// A scenario that expects what it gives, but for what `alter` does to it.
fn altered(alter: impl FnOnce(&mut Scenario)) -> String {
    let mut scenario = generate(1, Profile::Default);
    let report = run(&scenario).expect("a generated scenario can be run");
    let (verdict, digest) = (report.verdict.expected(), report.digest.to_string());
    scenario.expect = Some(Expectation { verdict, digest });
    alter(&mut scenario);
    print(&scenario)
}

#[track_caller]
fn expectation(scenario: &mut Scenario) -> &mut Expectation {
    scenario.expect.as_mut().expect("an expectation")
}

/// Asserts that a file is found to be wrong, with the command that shows it as the last line.
#[track_caller]
fn refused(text: &str, why: &str) -> Result<(), Failed> {
    let found = check(text, "corpus/regressions/it.ron").expect_err("it should be found wrong");
    assert!(found.contains(why), "{found}");
    let command = "cargo run --release -- replay --trace corpus/regressions/it.ron";
    assert_eq!(found.lines().last(), Some(command));
    Ok(())
}
