//! A campaign: many scenarios, in parallel, each on one thread.

use crate::cli::{ProfileArg, RunArgs, Shard};
use crate::report::Tally;
use crate::signature::Signature;
use anyhow::Context;
use blocktwin::lockstep::{
    Digest, Options, Report, RunError, Runner, Stats, Subject, Vacuity, Verdict, quietly,
    scenarios_for,
};
use blocktwin::model::Waivers;
use blocktwin::scenario::{Accepts, Reach, Scenario, generate_for};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long a campaign is by default.
const DEFAULT_TIME: Duration = Duration::from_secs(10);

/// A worker takes so many seeds at a time.
const BATCH: u64 = 16;

/// What a campaign has found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) stats: Stats,
    pub(crate) reach: Reach,
    /// Landmarks that the device could have had and that no scenario touched.
    pub(crate) unreached: Vec<u64>,
    /// Over the digests of all scenarios, in whatever order they ran.
    pub(crate) digest: u128,
    /// Scenarios with devices too large for the medium.
    pub(crate) skipped: u64,
    /// The divergences, as far as they can be told apart before they are shrunk.
    pub(crate) failures: BTreeMap<Signature, Group>,
    /// The smallest seed that gave two different digests.
    pub(crate) unrepeatable: Option<u64>,
    pub(crate) seconds: f64,
    pub(crate) interrupted: bool,
    /// What of the contract the device waives.
    pub(crate) waives: Waivers,
    /// What a page about the campaign has to show besides.
    pub(crate) tally: Tally,
}

/// A scenario whose device diverged.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    pub(crate) report: Report,
}

/// Divergences that look alike.
#[derive(Debug)]
pub(crate) struct Group {
    /// So many seeds gave one.
    pub(crate) seeds: u64,
    /// The one with the smallest seed.
    pub(crate) first: Failure,
}

impl Group {
    pub(crate) fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        if other.first.seed < self.first.seed {
            self.first = other.first;
        }
    }
}

/// Set by Ctrl-C: workers stop after the scenario at hand.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes the first Ctrl-C end the campaign, and the second the program.
pub(crate) fn catch_interrupts() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot catch Ctrl-C")
}

/// Whether Ctrl-C was pressed.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// What all workers share.
struct Campaign<'a> {
    args: &'a RunArgs,
    started: Instant,
    seeds: Range<u64>,
    shard: Shard,
    deadline: Option<Instant>,
    /// The number of batches that were taken.
    taken: AtomicU64,
    stop: AtomicBool,
    progress: ProgressBar,
}

/// Runs the campaign that `args` ask for, on such devices as `subject` gives.
pub(crate) fn run<S: Subject>(
    args: &RunArgs,
    subject: impl Fn() -> S + Sync,
) -> anyhow::Result<Findings> {
    let started = now();
    let time = args.time.or_else(|| args.seeds.is_none().then_some(DEFAULT_TIME));
    let seeds = args.seeds.clone().unwrap_or(0..u64::MAX);
    let campaign = Campaign {
        args,
        started,
        shard: args.shard.unwrap_or(Shard::WHOLE),
        deadline: time.and_then(|time| started.checked_add(time)),
        taken: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        progress: progress(&seeds, time),
        seeds,
    };
    let jobs = args.jobs.map_or_else(processors, usize::from);
    let findings = Mutex::new(Findings::default());
    let worked = in_parallel(jobs, || {
        let done = campaign.work(subject());
        let done = done.inspect_err(|_| campaign.stop.store(true, Ordering::Relaxed))?;
        findings.lock().unwrap_or_else(PoisonError::into_inner).add(done);
        anyhow::Ok(())
    });
    campaign.progress.finish_and_clear();
    worked.into_iter().collect::<anyhow::Result<()>>()?;
    let mut findings = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings.seconds = started.elapsed().as_secs_f64();
    findings.interrupted = is_interrupted();
    findings.waives = subject().promises().waives;
    let ProfileArg(profile) = args.profile;
    if profile.has_landmarks() {
        findings.unreached = findings.reach.missing(&scenarios_for(&subject()));
    }
    if args.save.is_none() {
        // How many workers came upon one before all had stopped is a matter of chance.
        let first = findings.failures.values().map(|group| group.first.seed).min();
        findings.failures.retain(|_, group| Some(group.first.seed) == first);
    }
    Ok(findings)
}

#[expect(clippy::disallowed_methods, reason = "how long a campaign takes steers no run")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How many scenarios this machine can run at once.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does `work` on so many threads.
#[expect(clippy::disallowed_methods, reason = "each scenario runs on one thread")]
pub(crate) fn in_parallel<T: Send>(jobs: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(&work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, T>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(join).collect()
    })
}

/// A bar on a terminal, nothing elsewhere.
fn progress(seeds: &Range<u64>, time: Option<Duration>) -> ProgressBar {
    let bounded = seeds.end != u64::MAX && time.is_none();
    let (bar, template) = if bounded {
        let bar = ProgressBar::new(seeds.end - seeds.start);
        (bar, "{bar:40} {human_pos}/{human_len} scenarios, {per_sec}, {eta} left")
    } else {
        (ProgressBar::no_length(), "{spinner} {human_pos} scenarios, {per_sec}, {elapsed}")
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

impl Campaign<'_> {
    /// What one worker does.
    fn work<S: Subject>(&self, subject: S) -> anyhow::Result<Findings> {
        let medium = self.args.medium.make()?;
        let accepts = scenarios_for(&subject);
        let mut runner = Runner::new(subject, medium);
        let mut findings = Findings::default();
        while let Some(batch) = self.take() {
            for n in batch {
                let seed = self.shard.seed(self.seeds.start, n);
                let Some(seed) = seed.filter(|seed| self.seeds.contains(seed)) else {
                    return Ok(findings);
                };
                if self.is_over() {
                    return Ok(findings);
                }
                self.scenario(&mut runner, &accepts, seed, &mut findings)?;
                self.progress.inc(self.shard.count);
            }
        }
        Ok(findings)
    }

    fn take(&self) -> Option<Range<u64>> {
        let start = self.taken.fetch_add(1, Ordering::Relaxed).checked_mul(BATCH)?;
        Some(start..start.checked_add(BATCH)?)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
            || is_interrupted()
            || self.deadline.is_some_and(|deadline| now() >= deadline)
    }

    fn scenario<S: Subject>(
        &self,
        runner: &mut Runner<S>,
        accepts: &Accepts,
        seed: u64,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let ProfileArg(profile) = self.args.profile;
        let scenario = generate_for(seed, profile, accepts);
        let mut once = || {
            let report = quietly(|| runner.run(&scenario, Options::default()));
            report.with_context(|| format!("seed {seed} on {}", self.args.medium.name()))
        };
        let began = self.args.report.as_ref().map(|_| self.started.elapsed());
        let report = match once() {
            // Their number is reported.
            Err(error) if matches!(error.downcast_ref(), Some(RunError::TooLarge(_))) => {
                findings.skipped += 1;
                return Ok(());
            }
            report => report?,
        };
        if self.args.double_run && once()?.digest != report.digest {
            self.stop.store(true, Ordering::Relaxed);
            findings.unrepeatable.get_or_insert(seed);
        }
        findings.stats.add(&report.stats);
        findings.reach.note(&scenario);
        if let Some(began) = began {
            findings.tally.note(seed, &report, began, self.started.elapsed());
        }
        // A sum, so that the order in which workers finish does not matter.
        let numbered = Digest(seed.into()).then(report.digest);
        findings.digest = findings.digest.wrapping_add(numbered.0);
        if let Verdict::Diverged(divergence) = &report.verdict {
            // Where they are to be saved, all of them are wanted.
            self.stop.fetch_or(self.args.save.is_none(), Ordering::Relaxed);
            let signature = Signature::of(&scenario, divergence);
            let first = Failure { seed, scenario, report };
            findings.add_group(signature, Group { seeds: 1, first });
        }
        Ok(())
    }
}

impl Findings {
    fn add(&mut self, other: Self) {
        self.stats.add(&other.stats);
        self.reach.add(&other.reach);
        self.tally.add(other.tally);
        self.skipped += other.skipped;
        self.digest = self.digest.wrapping_add(other.digest);
        self.unrepeatable = [self.unrepeatable, other.unrepeatable].into_iter().flatten().min();
        for (signature, group) in other.failures {
            self.add_group(signature, group);
        }
    }

    pub(crate) fn add_group(&mut self, signature: Signature, group: Group) {
        match self.failures.entry(signature) {
            Entry::Occupied(mut known) => known.get_mut().add(group),
            Entry::Vacant(entry) => drop(entry.insert(group)),
        }
    }

    /// Why the scenarios have tested nothing, if so. What diverged was tested, and a campaign that
    /// was interrupted may not have come far enough.
    pub(crate) fn vacuity(&self) -> Option<Vacuity> {
        let is_whole = self.failures.is_empty() && !self.interrupted;
        Vacuity::of(&self.stats).filter(|_| is_whole)
    }

    /// How many seeds gave a divergence.
    pub(crate) fn divergences(&self) -> u64 {
        self.failures.values().map(|group| group.seeds).sum()
    }
}
