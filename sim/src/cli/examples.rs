//! What stands at the end of `--help`. A test has every line of it parsed.

pub(super) const PROGRAM: &str = "\
Examples:
  blocktwin                                  a campaign of about ten seconds
  blocktwin run --seeds 0..100000 --medium memory
  blocktwin show --seed 42                   the scenario of a seed
  blocktwin replay failures/*.ron --trace    what happened, event by event
  blocktwin shrink found.ron -o small.ron    the smallest scenario that shows the same
  blocktwin report small.ron -o small.html   the same as a page, with a map of the sectors
  blocktwin bugs                             how soon it finds bugs that were planted
  blocktwin legal                            that it accuses no device without a bug

Exit status:
  0  every scenario passed
  1  a device diverged from its twin, or a file from what it expects
  2  bad input or usage; nothing to shrink, as the scenario passes
  3  nothing was tested, or this program is broken: it panicked, a run is not repeatable, a bug lost
  130  interrupted; what was done so far has been reported";

pub(super) const RUN: &str = "\
Examples:
  blocktwin run --seeds 0..100000 --medium memory
  blocktwin run --for 1h --profile heavy --format json -o summary.json
  blocktwin run --for 10m --save found       every distinct failure, each saved once
  blocktwin run --for 10m --report run.html  a page about the campaign
  blocktwin run --shard 2/8 --for 10m        the second of eight machines
  blocktwin run --format junit -o junit.xml  for a system that shows tests
  blocktwin run --double-run --strict        the harness is tested, too
  blocktwin run --device write-back          a legal device that is not the usual one";

pub(super) const REPLAY: &str = "\
Examples:
  blocktwin replay failures/seed-3.ron --trace
  blocktwin replay corpus/regressions/*.ron
  blocktwin replay fuzz/artifacts/lockstep/crash-0 --double-run
  blocktwin replay found.ron --medium .      on a real file, in this directory";

pub(super) const SHRINK: &str = "\
Examples:
  blocktwin shrink found.ron -o small.ron
  blocktwin shrink --seed 42 --profile heavy --device flush-no-op";

pub(super) const SHOW: &str = "\
Examples:
  blocktwin show --seed 42 --profile durability
  blocktwin show --seed 42 --device header   the scenario that this device gets
  blocktwin show fuzz/artifacts/lockstep/crash-0";

pub(super) const REPORT: &str = "\
Examples:
  blocktwin report failures/seed-3.ron -o seed-3.html
  blocktwin report --seed 42 --profile heavy
  blocktwin report corpus/known_bugs/barrier-no-op.ron --device barrier-no-op";

pub(super) const BUGS: &str = "\
Examples:
  blocktwin bugs                             all of them, from five base seeds each
  blocktwin bugs --list                      what they are, and where they were seen
  blocktwin bugs flush-no-op --budget 1m --format json";

pub(super) const LEGAL: &str = "\
Examples:
  blocktwin legal                            all of them, 2000 scenarios each
  blocktwin legal file write-back --seeds 0..100000
  blocktwin legal --profile heavy --format json";

pub(super) const BENCH: &str = "\
Examples:
  blocktwin bench                            two devices, on tmpfs and in memory
  blocktwin bench --for 10s --dir /var/tmp --format json";

pub(super) const CORPUS: &str = "\
Examples:
  blocktwin corpus check
  blocktwin corpus import fuzz/artifacts/lockstep/crash-0
  blocktwin corpus export corpus/regressions/*.ron -o fuzz/corpus/lockstep";

pub(super) const RECORD: &str = "\
Examples:
  blocktwin corpus record                    of the corpus in this directory";

pub(super) const CHECK: &str = "\
Examples:
  blocktwin corpus check                     the corpus in this directory
  blocktwin corpus check ../other/corpus";

pub(super) const IMPORT: &str = "\
Examples:
  blocktwin corpus import fuzz/artifacts/lockstep/crash-0
  blocktwin corpus import crash-0 -o found";

pub(super) const EXPORT: &str = "\
Examples:
  blocktwin corpus export corpus/regressions/*.ron -o fuzz/corpus/lockstep
  blocktwin corpus export --seeds 0..100 --profile heavy -o seeds";

pub(super) const PRUNE: &str = "\
Examples:
  blocktwin corpus prune --dry-run           what would go
  blocktwin corpus prune";

pub(super) const COMPLETIONS: &str = "\
Examples:
  blocktwin completions bash                 into ~/.local/share/bash-completion/completions/
  blocktwin completions zsh                  as _blocktwin, into a directory of $fpath
  blocktwin completions fish                 into ~/.config/fish/completions/";

pub(super) const MAN: &str = "\
Examples:
  blocktwin man                              the page of the program, for man -l -
  blocktwin man -o man1                      a page for every command, into a directory";
