//! A test of a device, in one call.

use super::vacuity::Vacuity;
use super::{
    Budget, Divergence, Explanation, Options, Report, RunError, Runner, Shrunk, Stats, Subject,
    Verdict, quietly, scenarios_for,
};
use crate::disk::Medium;
use crate::scenario::{Accepts, Expectation, Profile, Scenario, generate_for, parse, print};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;

/// Number of seeds that a check runs by default.
const SEEDS: u64 = 1000;

/// Number of runs that a check spends on shrinking: about a second, even without optimisation.
const BUDGET: Budget = Budget { runs: 2000 };

/// Names the one seed to run.
const SEED: &str = "BLOCKTWIN_SEED";

/// Says how many seeds to run.
const SCENARIOS: &str = "BLOCKTWIN_SCENARIOS";

/// Runs a thousand scenarios on the device, in memory, as [`Check::run`] does.
///
/// ```
/// use blocktwin::lockstep::{FileBacked, check};
///
/// check(FileBacked); // or your own `Subject`, in a `#[test]`
/// ```
///
/// # Panics
///
/// If the device diverges from its twin, or the scenarios have tested nothing.
#[track_caller]
pub fn check<S: Subject>(subject: S) {
    Check::new(subject).run();
}

/// A test of a device: which scenarios to run, and where.
///
/// ```
/// use blocktwin::lockstep::{Check, FileBacked};
/// use blocktwin::scenario::Profile;
///
/// Check::new(FileBacked).seeds(0..100).profile(Profile::Heavy).run();
/// ```
#[must_use = "it tests nothing until it is run"]
pub struct Check<S> {
    runner: Runner<S>,
    seeds: Range<u64>,
    profile: Profile,
    /// Which scenarios are generated.
    accepts: Accepts,
}

impl<S> fmt::Debug for Check<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("seeds", &self.seeds)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl<S: Subject> Check<S> {
    /// A thousand scenarios of the default profile, in memory.
    pub fn new(subject: S) -> Self {
        let accepts = scenarios_for(&subject);
        let runner = Runner::new(subject, Medium::Memory);
        Self { runner, seeds: 0..SEEDS, profile: Profile::Default, accepts }
    }

    /// Runs the scenarios of these seeds.
    pub fn seeds(self, seeds: Range<u64>) -> Self {
        Self { seeds, ..self }
    }

    /// Runs scenarios of this kind.
    pub fn profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// Runs on this medium: on real files, say.
    pub fn medium(mut self, medium: Medium) -> Self {
        self.runner = Runner::new(self.runner.subject, medium);
        self
    }

    /// Runs the scenarios, shrinks the first that diverges, and explains it.
    ///
    /// In the environment, `BLOCKTWIN_SEED=17` makes it run that seed only, and
    /// `BLOCKTWIN_SCENARIOS=10000` that many, from the first one on; both together run that many,
    /// beginning with that seed.
    ///
    /// # Panics
    ///
    /// If the device diverges from its twin, with the explanation, the smallest scenario that
    /// diverges alike, and how to replay it. Also if the scenarios have tested nothing, as the
    /// device made no raw call in its [world](crate::disk::World), or nothing was ever unsynced
    /// when the power failed; if a variable in the environment is not a number; or if the medium
    /// fails.
    #[track_caller]
    pub fn run(mut self) {
        let seeds = range(self.seeds.clone(), env::var_os(SEED), env::var_os(SCENARIOS));
        if let Err(why) = seeds.and_then(|seeds| self.all_pass(seeds)) {
            panic!("{why}");
        }
    }

    /// Runs one scenario from a file, such as [`run`](Self::run) gives. What it expects is not
    /// looked at: the device has to pass.
    ///
    /// A file does not name its device. This is the way to replay a scenario on a device of your
    /// own: the command `blocktwin replay` knows only its own devices, and a scenario that fails on
    /// yours may pass there, or fail in another way.
    ///
    /// ```
    /// use blocktwin::lockstep::{Check, FileBacked};
    /// # use blocktwin::scenario::{Profile, generate, print};
    /// # let text = &print(&generate(1, Profile::Default));
    ///
    /// // let text = include_str!("found.ron");
    /// Check::new(FileBacked).replay(text); // or your own `Subject`
    /// ```
    ///
    /// # Panics
    ///
    /// If the device diverges from its twin, or the text is no scenario.
    #[track_caller]
    pub fn replay(mut self, text: &str) {
        if let Err(why) = self.passes(text) {
            panic!("{why}");
        }
    }

    fn all_pass(&mut self, seeds: Range<u64>) -> Result<(), String> {
        let mut stats = Stats::default();
        for seed in seeds {
            let scenario = generate_for(seed, self.profile, &self.accepts);
            match quietly(|| self.runner.run(&scenario, Options::default())) {
                Ok(Report { verdict: Verdict::Pass, stats: more, .. }) => stats.add(&more),
                Ok(Report { verdict: Verdict::Diverged(found), .. }) => {
                    return Err(format!("seed {seed} {}", self.explain(seed, &scenario, &found)));
                }
                // Other media are larger.
                Err(RunError::TooLarge(_)) => {}
                Err(error) => return Err(format!("seed {seed} was not run: {}", chain(&error))),
            }
        }
        match Vacuity::of(&stats) {
            None => Ok(()),
            Some(vacuity) => Err(vacuity.to_string()),
        }
    }

    fn passes(&mut self, text: &str) -> Result<(), String> {
        let scenario = parse(text).map_err(|error| format!("not a scenario: {error}"))?;
        let options = Options { trace: true, ..Options::default() };
        let report = quietly(|| self.runner.run(&scenario, options));
        let report = report.map_err(|error| format!("not run: {}", chain(&error)))?;
        match &report.verdict {
            Verdict::Pass => Ok(()),
            Verdict::Diverged(found) => {
                Err(Explanation::new(&scenario, found, &report.trace).to_string())
            }
        }
    }

    /// Everything that there is to say of a seed that diverges.
    fn explain(&mut self, seed: u64, scenario: &Scenario, found: &Divergence) -> String {
        let Some((small, report)) = self.smallest(scenario, found) else {
            let explanation = Explanation::new(scenario, found, &[]);
            return format!(
                "{explanation}\n\nThe failure did not reproduce: the device depends on something \
                 outside the scenario."
            );
        };
        let Verdict::Diverged(divergence) = &report.verdict else { unreachable!("it was shrunk") };
        let explanation = Explanation::new(&small, divergence, &report.trace);
        let (before, after) = (scenario.steps.len(), small.steps.len());
        format!(
            "{explanation}\n\nshrunk from {before} operations to {after}; to keep it, save what \
             follows as a file. The file does not name your device: replay it in a test, with \
             Check::new(…).replay(include_str!(\"FILE\")), as the program runs it on another\n{}\n\
             replay with:\n{SEED}={seed} cargo test{}",
            print(&small),
            test_name()
        )
    }

    /// The smallest scenario that diverges in the same kind, with what it gave. `None` where even
    /// the one that was found does not diverge in that kind any more.
    fn smallest(&mut self, scenario: &Scenario, found: &Divergence) -> Option<(Scenario, Report)> {
        let Self { runner, .. } = self;
        let shrunk = quietly(|| runner.shrink(scenario, Options::default(), BUDGET, |_| ()));
        let Shrunk { scenario: small, .. } = shrunk.ok()??;
        let traced = Options { trace: true, ..Options::default() };
        [small, scenario.clone()].into_iter().find_map(|mut candidate| {
            let report = quietly(|| runner.run(&candidate, traced)).ok()?;
            let (verdict, digest) = (report.verdict.expected(), report.digest.to_string());
            candidate.expect = Some(Expectation { verdict, digest });
            let alike = report.verdict.kind() == Some(found.violation.kind);
            alike.then_some((candidate, report))
        })
    }
}

/// The seeds to run: those of the test, unless the environment says otherwise.
fn range(
    seeds: Range<u64>,
    seed: Option<OsString>,
    scenarios: Option<OsString>,
) -> Result<Range<u64>, String> {
    let number = |name: &str, value: OsString, what: &str| {
        let value = value.to_string_lossy().into_owned();
        value.parse().map_err(|_| format!("{name}={value}: expected {what}"))
    };
    let seed = seed.map(|it| number(SEED, it, "a seed, as in 17")).transpose()?;
    let count = scenarios.map(|it| number(SCENARIOS, it, "a number, as in 10000")).transpose()?;
    if count == Some(0) {
        return Err(format!("{SCENARIOS}=0: that would test nothing"));
    }
    let start = seed.unwrap_or(seeds.start);
    match count.or(seed.map(|_| 1)) {
        Some(count) => Ok(start..start.saturating_add(count)),
        None => Ok(seeds),
    }
}

/// An error with its causes, in one line.
fn chain(error: &RunError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What `cargo test` calls the test that this is; the harness names its thread so.
#[expect(clippy::disallowed_methods, reason = "only the text of a failure depends on it")]
fn test_name() -> String {
    let thread = std::thread::current();
    let name = thread.name().filter(|&name| name != "main");
    name.map(|name| format!(" {name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(seed: Option<&str>, scenarios: Option<&str>) -> Result<Range<u64>, String> {
        range(5..10, seed.map(OsString::from), scenarios.map(OsString::from))
    }

    #[test]
    fn the_environment_goes_before_the_test() {
        assert_eq!(seeds(None, None), Ok(5..10));
        assert_eq!(seeds(Some("17"), None), Ok(17..18));
        assert_eq!(seeds(None, Some("10000")), Ok(5..10005));
        assert_eq!(seeds(Some("17"), Some("3")), Ok(17..20));
        assert_eq!(seeds(Some("18446744073709551614"), Some("9")), Ok(u64::MAX - 1..u64::MAX));
    }

    #[test]
    fn nonsense_in_the_environment_is_named() {
        for bad in ["", "x", "-1", "1.5", "18446744073709551616"] {
            let (seed, scenarios) = (seeds(Some(bad), None), seeds(None, Some(bad)));
            let says = format!("BLOCKTWIN_SEED={bad}: expected a seed, as in 17");
            assert_eq!(seed, Err(says));
            let says = format!("BLOCKTWIN_SCENARIOS={bad}: expected a number, as in 10000");
            assert_eq!(scenarios, Err(says));
        }
        assert!(seeds(None, Some("0")).is_err_and(|why| why.contains("test nothing")));
    }
}
