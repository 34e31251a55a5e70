//! Scenarios from seeds.
//!
//! *Swarm* testing: every scenario draws first which operations and faults it has at all and how
//! often, and where on the device it works, and only then the operations. So some scenarios are all
//! flushes, some never crash, some have every client on the same block.

use super::{Accepts, DeviceSpec, DropOn, MAX_CLIENTS, MAX_TRIMMED, Op, Scenario, Step, VERSION};
use crate::disk::{CrashPolicy, Fault, FaultClass, FaultKind};
use crate::model::{Data, Request};
use crate::rng::{Purpose, Rng};
use faults::{Draft, HONEST, MEDIA};
use length::ends_service;

mod burst;
mod device;
mod drain;
mod faults;
mod length;

#[cfg(test)]
mod pinned;

#[cfg(test)]
mod tests;

/// Steps that a raw call is delayed at least to land when newer requests have been served.
const LATE: u32 = 6;

/// What kind of scenarios a seed gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// A bit of everything.
    #[default]
    Default,
    /// Few blocks, one to four clients, and mostly syncs and crashes.
    Durability,
    /// Always four clients on the same few blocks, with everything else as often as can be.
    Heavy,
    /// As `Default`, and crashes do what is beyond the contract: tear sectors, fill them with
    /// garbage, make them unreadable. Other sectors have to be right all the same.
    Hostile,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::Default, Self::Durability, Self::Heavy, Self::Hostile];

    /// Whether devices near the [landmarks](super::LANDMARKS) are among its scenarios. Those of the
    /// others are small enough for any file system.
    pub fn has_landmarks(self) -> bool {
        matches!(self, Self::Default | Self::Hostile)
    }

    /// What it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Durability => "durability",
            Self::Heavy => "heavy",
            Self::Hostile => "hostile",
        }
    }
}

/// The operations to choose from, by what they are drawn as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Draw {
    Read,
    Write,
    FuaWrite,
    Trim,
    Flush,
    Barrier,
    Close,
    Reopen,
    Crash,
    Bad,
}

const DRAWS: [Draw; 10] = [
    Draw::Read,
    Draw::Write,
    Draw::FuaWrite,
    Draw::Trim,
    Draw::Flush,
    Draw::Barrier,
    Draw::Close,
    Draw::Reopen,
    Draw::Crash,
    Draw::Bad,
];

/// Most bytes of a trim of the whole device.
const LARGEST_TRIM: u64 = 256 << 10;

/// What one scenario does, and how often.
#[derive(Clone)]
struct Swarm {
    /// How often each of [`DRAWS`] is drawn, relative to the others.
    weights: [u32; DRAWS.len()],
    /// Of 1024 operations, so many meet faults, are dropped, or lose power in their midst.
    faults: u64,
    drops: u64,
    crashes: u64,
    /// The kinds of faults that occur.
    kinds: Vec<Draft>,
    clients: u8,
    /// Places, in blocks, near which most operations are.
    spots: Vec<u64>,
    /// Most blocks of an operation.
    longest: u64,
    /// Most operations are that large.
    large: bool,
    /// Of 12 operations, the raw calls of so many take their time: those of a device with tasks.
    slow: u64,
    /// How many steps there are, and how many of them before the device is first opened again.
    steps: u64,
    open_for: u64,
    /// Crashes do what is beyond the contract.
    hostile: bool,
}

/// The scenario of a seed: the same for the same seed, profile and version of this crate. It is for
/// any device: there is no [used file](Accepts::used_files) in it. For what one device can take
/// besides, or cannot take, see [`generate_for`].
///
/// ```
/// use blocktwin::scenario::{generate, Profile};
///
/// assert_eq!(generate(7, Profile::Default), generate(7, Profile::Default));
/// assert_ne!(generate(7, Profile::Default), generate(8, Profile::Default));
/// ```
pub fn generate(seed: u64, profile: Profile) -> Scenario {
    generate_for(seed, profile, &Accepts::anything().odd_short_writes(true))
}

/// The scenario of a seed for a device that takes only some: the same for the same arguments and
/// version of this crate. It passes [`Accepts::check`], unless the device takes nothing at all.
///
/// What is drawn is mapped to what the device takes, before anything that depends on it is drawn.
/// So about as many requests have to be refused as [`generate`] makes, and they are as often at the
/// ends of the device and of its file.
///
/// ```
/// use blocktwin::scenario::{Accepts, Profile, generate_for};
///
/// let accepts = Accepts::anything().sector_sizes(&[4096]).blocks(8..=1024);
/// let device = generate_for(7, Profile::Default, &accepts).device;
/// assert_eq!(device.sector_size, 4096);
/// assert!((8..=1024).contains(&device.block_count));
/// ```
pub fn generate_for(seed: u64, profile: Profile, accepts: &Accepts) -> Scenario {
    let mut generator = Generator::new(seed, accepts);
    let large = generator.large();
    let device = generator.device(profile, large);
    let swarm = generator.swarm(profile, &device, large);
    let mut payload = Rng::new(seed, Purpose::Payload);
    let mut scenario = Scenario {
        version: VERSION,
        note: String::new(),
        seed: Some(seed),
        device,
        schedule: Rng::new(seed, Purpose::Schedule).next_u64(),
        salt: payload.next_u64(),
        in_pieces: false,
        steps: generator.steps(&swarm, &device),
        expect: None,
    };
    scenario.begin_with_burst(accepts, &mut payload);
    scenario.repeat_data(&mut payload);
    scenario.in_pieces = payload.chance(1, 8);
    scenario.drain_in_between(&mut payload);
    scenario.trim_durably(&mut payload);
    scenario.end_in_time();
    scenario
}

impl Scenario {
    /// In one of four scenarios, some trims are to be durable when they return.
    fn trim_durably(&mut self, rng: &mut Rng) {
        if !rng.chance(1, 4) {
            return;
        }
        for step in &mut self.steps {
            if let Op::Trim { fua, .. } = &mut step.op {
                *fua = rng.chance(1, 2);
            }
        }
    }

    /// In one of five scenarios, some writes write what is no news: zeros, also by request, or the
    /// pattern. In the others every sector tells who wrote it, which finds more.
    fn repeat_data(&mut self, rng: &mut Rng) {
        const KINDS: [Data; 6] =
            [Data::Unique, Data::Pattern, Data::Zeros, Data::Sparse, Data::Zeroed, Data::Unmapped];
        let weights = match rng.weighted(&[16, 1, 1, 2]) {
            0 => return,
            1 => [1, 3, 0, 0, 0, 0],
            2 => [3, 1, 2, 2, 0, 0],
            _ => [4, 0, 0, 0, 1, 1],
        };
        let device = self.device;
        let size = device.block_count.saturating_mul(u64::from(device.block_size));
        for step in &mut self.steps {
            let Op::Write { offset, length, data, .. } = &mut step.op else { continue };
            *data = KINDS[rng.weighted(&weights)];
            // No heap limits a request without data.
            if data.zeroes().is_some() && size <= LARGEST_TRIM && rng.chance(1, 8) {
                (*offset, *length) = (0, size);
            }
        }
    }
}

struct Generator<'a> {
    accepts: &'a Accepts,
    rng: Rng,
    faults: Rng,
    crash: Rng,
}

impl<'a> Generator<'a> {
    fn new(seed: u64, accepts: &'a Accepts) -> Self {
        Self {
            accepts,
            rng: Rng::new(seed, Purpose::Operations),
            faults: Rng::new(seed, Purpose::Faults),
            crash: Rng::new(seed, Purpose::Crash),
        }
    }

    /// Whether the scenario is about large transfers.
    fn large(&mut self) -> bool {
        self.rng.chance(1, 320)
    }

    fn swarm(&mut self, profile: Profile, device: &DeviceSpec, large: bool) -> Swarm {
        let accepts = self.accepts;
        let rng = &mut self.rng;
        let usual: [u32; DRAWS.len()] = match profile {
            Profile::Default | Profile::Hostile => [30, 30, 4, 6, 8, 4, 1, 2, 4, 3],
            Profile::Durability => [10, 30, 6, 3, 12, 8, 1, 4, 10, 1],
            Profile::Heavy => [24, 30, 6, 8, 10, 6, 1, 2, 4, 3],
        };
        // Each operation is usual, rare, frequent or left out.
        let weights = usual.map(|weight| match rng.weighted(&[3, 1, 2, 1]) {
            0 => weight * 8,
            1 => weight * 2,
            2 => weight * 24,
            _ => 0,
        });
        let often = *rng.pick(&[0, 16, 64, 256]);
        let media = rng.chance(1, 8);
        let some = |rng: &mut Rng, drafts: &[Draft]| -> Vec<Draft> {
            drafts.iter().copied().filter(|_| rng.chance(1, 2)).collect()
        };
        let mut kinds = some(rng, &HONEST);
        if media {
            kinds.extend(some(rng, &MEDIA));
        }
        kinds.retain(|draft| draft.classes().iter().any(|&class| accepts.takes(class)));
        let clients = match profile {
            _ if rng.chance(1, 32) => *rng.pick(&[6, 8, 12, MAX_CLIENTS]),
            Profile::Heavy => 4,
            _ if rng.chance(1, 2) => 1,
            _ => *rng.pick(&[2, 2, 3, 4]),
        };
        let last = device.block_count - 1;
        let end_of_file = device.file_length / u64::from(device.block_size);
        let places = [0, last, end_of_file.min(last), last / 2, (1 << 32) / 512, 0];
        let spots = (0..rng.between(1, 3)).map(|_| (*rng.pick(&places)).min(last)).collect();
        let heavy = profile == Profile::Heavy;
        let mut swarm = Swarm {
            weights,
            faults: if kinds.is_empty() {
                0
            } else if heavy {
                256
            } else {
                often
            },
            drops: often_if(heavy || rng.chance(1, 4), 64, accepts.takes(FaultClass::Dropped)),
            crashes: often_if(heavy || rng.chance(1, 3), 40, true),
            kinds,
            clients,
            spots,
            longest: if rng.chance(1, 32) {
                1 << rng.between(6, 11)
            } else {
                *rng.pick(&[1, 2, 4, 8, 32])
            },
            hostile: profile == Profile::Hostile,
            large: false,
            slow: if accepts.makes_many_calls() && rng.chance(1, 8) { 6 } else { 2 },
            steps: 0,
            open_for: 0,
        };
        self.stretch(&mut swarm, device, large);
        swarm
    }

    fn steps(&mut self, swarm: &Swarm, device: &DeviceSpec) -> Vec<Step> {
        let while_open = (swarm.open_for > 0).then(|| swarm.while_open());
        let (mut steps, mut trimmed) = (Vec::new(), 0);
        // Once the device refuses everything, it is soon opened again.
        let mut reopen_in = None;
        for at in 0..swarm.steps {
            let stays_open = while_open.as_ref().filter(|_| at < swarm.open_for);
            let swarm = stays_open.unwrap_or(swarm);
            let due = reopen_in == Some(0);
            reopen_in = reopen_in.and_then(|left: u64| left.checked_sub(1));
            let mut step = if due { self.revival(swarm) } else { self.step(swarm, device) };
            if let Some(before) = steps.last().filter(|_| self.accepts.makes_many_calls()) {
                self.write_before_it_lands(device, before, &mut step);
            }
            if let Op::Trim { length, .. } = step.op
                && length <= device.block_count * u64::from(device.block_size)
            {
                trimmed += length;
                if trimmed > MAX_TRIMMED {
                    step.op = Op::Flush;
                }
            }
            if stays_open.is_some() {
                step.faults.retain(|fault| !ends_service(fault));
            }
            let failed = step.faults.iter().any(ends_service);
            if (failed || step.op == Op::Close) && reopen_in.is_none() {
                reopen_in = Some(self.rng.below(6));
            }
            steps.push(step);
        }
        steps
    }

    /// Opens the device again.
    fn revival(&mut self, swarm: &Swarm) -> Step {
        let op = if self.rng.chance(1, 4) { Op::Reopen } else { self.power_failure(swarm) };
        Step { client: self.client(swarm), ..Step::new(op) }
    }

    fn client(&mut self, swarm: &Swarm) -> u8 {
        let client = self.rng.below(u64::from(swarm.clients));
        u8::try_from(client).unwrap_or(0)
    }

    fn step(&mut self, swarm: &Swarm, device: &DeviceSpec) -> Step {
        let client = self.client(swarm);
        let op = match DRAWS[self.rng.weighted(&swarm.weights)] {
            Draw::Read => {
                let (offset, length) = self.range(swarm, device);
                Op::Read { offset, length }
            }
            draw @ (Draw::Write | Draw::FuaWrite) => {
                let (offset, length) = self.range(swarm, device);
                Op::Write { offset, length, fua: draw == Draw::FuaWrite, data: Data::Unique }
            }
            Draw::Trim => {
                let (offset, length) = self.range(swarm, device);
                let (offset, length) = self.all_of_it(device).unwrap_or((offset, length));
                Op::trim(offset, length)
            }
            Draw::Flush => Op::Flush,
            Draw::Barrier => Op::Barrier,
            Draw::Close => Op::Close,
            Draw::Reopen => Op::Reopen,
            Draw::Crash => self.power_failure(swarm),
            Draw::Bad => self.bad(swarm, device),
        };
        let mut step = Step { client, ..Step::new(op) };
        if self.faults.below(1024) < swarm.faults {
            self.faults(swarm, device, &mut step);
            step.faults.retain(|fault| self.accepts.takes_fault(fault.kind));
        }
        self.take_time(swarm, &mut step);
        if self.crash.below(1024) < swarm.drops {
            self.drop_future(device, &mut step);
        }
        if self.crash.below(1024) < swarm.crashes {
            let (at, survivors) = (self.suspensions(), self.survivors(swarm));
            step.crash_at = self.accepts.takes_crash_in(op, survivors).then_some((at, survivors));
        }
        step
    }

    /// Calls of a device with tasks take their time more often, so that requests overlap between
    /// two calls of another.
    fn take_time(&mut self, swarm: &Swarm, step: &mut Step) {
        if !self.accepts.makes_many_calls() || !self.faults.chance(swarm.slow, 12) {
            return;
        }
        let call = u32::try_from(self.faults.weighted(&[4, 2, 1, 1])).unwrap_or(0);
        let steps = u32::try_from(self.faults.between(1, 12)).unwrap_or(1);
        let kind = match self.faults.chance(1, 2) {
            true => FaultKind::Latency(steps),
            false => FaultKind::LateReturn(steps),
        };
        if step.faults.is_empty() && self.accepts.takes(kind.class()) {
            step.faults.push(Fault { call, kind });
        }
    }

    /// Drops the future of a step: at a suspension, after a wake-up, or before the first poll.
    fn drop_future(&mut self, device: &DeviceSpec, step: &mut Step) {
        if self.accepts.makes_many_calls() && self.drop_before_the_effect(step) {
            return;
        }
        step.drop_at = Some(self.suspensions());
        let drawn = self.crash.weighted(&[8, 6, 1]);
        if drawn == 0 {
            self.drop_after_the_effect(device, step);
            return;
        }
        let at = if drawn == 1 { step.drop_at } else { Some(0) };
        let sooner = Step { drop_at: at, drop_on: DropOn::NextPoll, ..step.clone() };
        if sooner.dropped().is_some_and(|class| self.accepts.takes_drop(class)) {
            *step = sooner;
        }
    }

    /// Now and then a change is dropped while its first raw call is delayed. If a task makes that
    /// call, it lands when newer requests have been served.
    fn drop_before_the_effect(&mut self, step: &mut Step) -> bool {
        let is_change = step.op.request().is_some_and(Request::is_change);
        let steps = u32::try_from(self.crash.between(LATE.into(), 20)).unwrap_or(LATE);
        let kind = FaultKind::Latency(steps);
        let drawn = self.crash.chance(1, 3) && is_change && step.faults.is_empty();
        let applies = drawn && self.accepts.takes_fault(kind);
        if applies {
            step.faults.push(Fault { call: 0, kind });
            step.drop_at = Some(1);
        }
        applies
    }

    /// Where the step before was a change that is dropped before its first raw call takes effect,
    /// often writes the same bytes meanwhile.
    fn write_before_it_lands(&mut self, device: &DeviceSpec, before: &Step, step: &mut Step) {
        let late = before.faults.iter().any(|it| matches!(it.kind, FaultKind::Latency(LATE..)));
        let span = before.op.request().filter(|it| it.is_change()).and_then(Request::span);
        let transfers = matches!(step.op, Op::Read { .. } | Op::Write { .. });
        if late
            && before.drop_at.is_some()
            && transfers
            && let Some((offset, length)) = span
            && length <= u64::from(device.heap)
            && self.crash.chance(1, 2)
        {
            step.op = Op::write(offset, length);
        }
    }

    fn suspensions(&mut self) -> u32 {
        u32::try_from(self.crash.between(1, 4)).unwrap_or(1)
    }

    /// A range that the device has to serve, often at an edge. Offset and length in bytes.
    fn range(&mut self, swarm: &Swarm, device: &DeviceSpec) -> (u64, u64) {
        let rng = &mut self.rng;
        let heap = u64::from(device.heap / device.block_size);
        let longest = swarm.longest.min(device.block_count).min(heap.next_power_of_two());
        let lengths = if swarm.large { [6, 4, 6, 1] } else { [8, 6, 2, 1] };
        let length = match rng.weighted(&lengths) {
            0 => 1,
            1 => rng.between(1, longest),
            2 => longest,
            _ => u64::from(!self.accepts.takes_zero_length()),
        };
        let room = device.block_count - length;
        let offset = match rng.weighted(&[6, 1, 1, 2]) {
            0 => {
                let spot = *rng.pick(&swarm.spots) + rng.below(6);
                spot.saturating_sub(2).min(room)
            }
            1 => 0,
            2 => room,
            _ => rng.between(0, room.min(256)),
        };
        (offset * u64::from(device.block_size), length * u64::from(device.block_size))
    }

    /// Now and then all of a device that is not large. Offset and length in bytes.
    fn all_of_it(&mut self, device: &DeviceSpec) -> Option<(u64, u64)> {
        let size = device.block_count * u64::from(device.block_size);
        let all = size <= LARGEST_TRIM && self.rng.chance(1, 32);
        all.then_some((0, size))
    }

    /// A request that the device has to refuse.
    fn bad(&mut self, swarm: &Swarm, device: &DeviceSpec) -> Op {
        let (good_offset, good_length) = self.range(swarm, device);
        let rng = &mut self.rng;
        let block = u64::from(device.block_size);
        let size = device.block_count * block;
        let blocks = rng.between(1, 2) * block;
        let last = u64::MAX - (block - 1);
        let odd = *rng.pick(&[1, 3, 256, block / 2, block - 1]);
        let (offset, length) = match rng.below(8) {
            0 if odd == 3 && self.accepts.takes_zero_length() => (good_offset + odd, 0),
            0 => (good_offset + odd, blocks),
            1 => (good_offset, good_length + odd),
            2 => (size, blocks),
            3 => (size - block, 2 * block),
            4 => (last, blocks),
            5 => (last - block, 2 * block),
            6 => (1 << 63, blocks),
            // Larger than the heap; the device need not even look at it.
            _ => (0, u64::from(device.heap).next_power_of_two() + block),
        };
        match rng.below(3) {
            0 => Op::Read { offset, length },
            1 => Op::Write { offset, length, fua: rng.chance(1, 4), data: Data::Unique },
            _ => Op::trim(offset, *rng.pick(&[length, last, size + block])),
        }
    }

    /// A power failure or a kill, or a reopening if the device takes none.
    fn power_failure(&mut self, swarm: &Swarm) -> Op {
        let survivors = self.survivors(swarm);
        if self.accepts.takes(survivors.class()) { Op::Crash(survivors) } else { Op::Reopen }
    }

    fn survivors(&mut self, swarm: &Swarm) -> CrashPolicy {
        let seed = self.crash.next_u64() >> 32;
        let damages = swarm.hostile && self.crash.chance(1, 2);
        if damages && self.accepts.takes_crashes_beyond_contract() {
            let beyond = [CrashPolicy::TornBytes, CrashPolicy::Garbage, CrashPolicy::Unreadable];
            return self.crash.pick(&beyond)(seed);
        }
        if self.accepts.takes(FaultClass::Kill) && self.crash.chance(1, 6) {
            return CrashPolicy::Kill;
        }
        // In the order of their numbers.
        let drawn = self.crash.weighted(&[2, 4, 8, 6, 1, 1, 1, 1, 1]);
        CrashPolicy::from_code(drawn as u64, seed).unwrap_or(CrashPolicy::None)
    }
}

/// How often, of 1024 operations, something occurs that this scenario has and the device takes.
fn often_if(has: bool, often: u64, takes: bool) -> u64 {
    if has && takes { often } else { 0 }
}
