//! What a scenario, or a step of it, could be replaced by. Whether it may be, a run has to show;
//! whether it is smaller at all, [`Measure`](super::measure::Measure) says.

use crate::device::Geometry;
use crate::disk::{CrashPolicy, Dirty, Fault, FaultKind};
use crate::model::Data;
use crate::model::Request;
use crate::scenario::{Accepts, DeviceSpec, DropOn, Op, Scenario, Step, Trim};
use std::ops::RangeInclusive;

/// Of so many operations at most, orders are tried out.
const FEW: usize = 16;

/// Whole scenarios that are simpler, the greatest leaps first. Where only the device changes, it is
/// already the nearest that is accepted. The others still have to be fitted.
pub(super) fn scenarios(scenario: &Scenario, accepts: &Accepts) -> Vec<Scenario> {
    let mut simpler = Vec::new();
    simpler.extend(fewer_clients(scenario));
    let calm: [fn(&mut Step); 3] =
        [|step| step.faults.clear(), Step::keep, |step| step.crash_at = None];
    simpler.extend(calm.map(|calm| changed(scenario, |it| it.steps.iter_mut().for_each(calm))));
    simpler.extend(sectors_of_512(scenario));
    simpler.extend(smaller_blocks(scenario));
    simpler.extend([compacted(scenario, false), compacted(scenario, true)].into_iter().flatten());
    let devices = devices(&scenario.device).map(|device| accepts.nearest(&device));
    simpler.extend(devices.map(|device| Scenario { device, ..scenario.clone() }));
    simpler.extend((0..16).map(|schedule| Scenario { schedule, ..scenario.clone() }));
    simpler.push(Scenario { salt: 1, ..scenario.clone() });
    simpler.push(Scenario { in_pieces: false, ..scenario.clone() });
    simpler
}

fn changed(scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut changed = scenario.clone();
    change(&mut changed);
    changed
}

/// All clients as one, with two neighbouring operations in the other order where need be; the
/// numbers of the clients without gaps; and any two clients as one.
fn fewer_clients(scenario: &Scenario) -> Vec<Scenario> {
    let clients = scenario.clients();
    let renumbered = |number: &dyn Fn(u8) -> u8| {
        let renumber = |step: &mut Step| step.client = number(step.client);
        changed(scenario, |it| it.steps.iter_mut().for_each(renumber))
    };
    let mut used: Vec<u8> = scenario.steps.iter().map(|step| step.client).collect();
    used.sort_unstable();
    used.dedup();
    let place = |client| (0..).zip(&used).find(|(_, used)| **used == client);
    let mut fewer = vec![
        renumbered(&|_| 0),
        renumbered(&|client| place(client).map_or(client, |(number, _)| number)),
    ];
    let swaps = if clients > 1 { 1..scenario.steps.len().min(FEW) } else { 0..0 };
    let merged = fewer[0].clone();
    fewer.extend(swaps.map(|at| changed(&merged, |it| it.steps.swap(at - 1, at))));
    for from in 1..clients {
        fewer.extend((0..from).map(|to| renumbered(&|it| if it == from { to } else { it })));
    }
    fewer
}

fn sectors_of_512(scenario: &Scenario) -> Option<Scenario> {
    let device = DeviceSpec { sector_size: 512, ..scenario.device };
    (device != scenario.device).then(|| Scenario { device, ..scenario.clone() })
}

/// Blocks of a sector, or of half the size: with everything else scaled down alike, and with more
/// of them instead.
fn smaller_blocks(scenario: &Scenario) -> Vec<Scenario> {
    let DeviceSpec { block_size, sector_size, .. } = scenario.device;
    let scaled = |to: u32| {
        let by = block_size / to;
        let divided = |it: u64| if it.is_multiple_of(by.into()) { it / u64::from(by) } else { it };
        changed(scenario, |it| {
            let device = &mut it.device;
            (device.block_size, device.heap) = (to, (device.heap / by).max(to));
            device.file_length /= u64::from(by);
            for step in &mut it.steps {
                change_span(&mut step.op, |span| span.map(divided));
            }
        })
    };
    let divided = |to: u32| {
        let block_count = scenario.device.block_count * u64::from(block_size / to);
        let device = DeviceSpec { block_size: to, block_count, ..scenario.device };
        Scenario { device, ..scenario.clone() }
    };
    let sizes = [sector_size, block_size / 2].into_iter();
    let sizes = sizes.filter(|size| (sector_size..block_size).contains(size));
    sizes.flat_map(|size| [scaled(size), divided(size)]).collect()
}

/// Changes offset and length, where there are any.
fn change_span(op: &mut Op, change: impl FnOnce([u64; 2]) -> [u64; 2]) {
    let (Op::Read { offset, length }
    | Op::Write { offset, length, .. }
    | Op::Trim { offset, length, .. }) = op
    else {
        return;
    };
    [*offset, *length] = change([*offset, *length]);
}

/// With every stretch of blocks in which no request begins or ends as one block, so that what
/// overlapped overlaps still. With `framed`, the first block, the end of the file and that of the
/// device count too; without, the file is as long as the device.
fn compacted(scenario: &Scenario, framed: bool) -> Option<Scenario> {
    let device = &scenario.device;
    let geometry = device.geometry().ok()?;
    let block = u64::from(device.block_size);
    let mut edges: Vec<u64> = if framed {
        vec![0, device.file_length / block * block, geometry.size()]
    } else {
        Vec::new()
    };
    for step in &scenario.steps {
        edges
            .extend(served(&geometry, step.op).into_iter().flat_map(|it| [*it.start(), *it.end()]));
    }
    edges.sort_unstable();
    edges.dedup();
    let place = |edge| edges.partition_point(|&it| it < edge) as u64 * block;
    let mut compacted = scenario.clone();
    compacted.device.block_count = (edges.len() as u64).saturating_sub(1).max(1);
    let size = compacted.device.block_count * block;
    compacted.device.file_length =
        if framed { place(device.file_length / block * block) } else { size };
    for step in &mut compacted.steps {
        if let Some(range) = served(&geometry, step.op) {
            let (start, end) = (place(*range.start()), place(*range.end()));
            change_span(&mut step.op, |_| [start, end - start]);
        }
    }
    Some(compacted)
}

/// From where to where a request reaches that the device has to serve.
fn served(geometry: &Geometry, op: Op) -> Option<RangeInclusive<u64>> {
    let (offset, length) = op.request()?.span()?;
    let range = geometry.check(offset, length).ok()?;
    Some(range.start..=range.end)
}

/// Simpler devices, under the same operations.
fn devices(device: &DeviceSpec) -> impl Iterator<Item = DeviceSpec> {
    let (device, block) = (*device, u64::from(device.block_size));
    let counts = [1, 2, 4, device.block_count / 2, device.block_count - 1].into_iter();
    let resized = counts.filter(move |count| (1..device.block_count).contains(count));
    let resized = resized.flat_map(move |block_count| {
        let size = block_count * block;
        [size, device.file_length.min(size)].map(|file_length| DeviceSpec {
            block_count,
            file_length,
            ..device
        })
    });
    let size = device.block_count * block;
    let lengths = [size, 0, device.file_length / block * block, device.file_length / 512 * 512];
    let lengths = lengths.map(|file_length| DeviceSpec { file_length, ..device });
    let trims = [Trim::Scribble, Trim::PunchHole].map(|trim| DeviceSpec { trim, ..device });
    let blocks = [1, 2, 4, 8].map(|blocks| device.block_size.saturating_mul(blocks));
    let heaps = blocks.map(|heap| DeviceSpec { heap: heap.min(device.heap), ..device });
    let writable = DeviceSpec { read_only: false, ..device };
    let unused = DeviceSpec { used: false, file_length: device.file_length.min(size), ..device };
    resized.chain(lengths).chain([unused, writable]).chain(trims).chain(heaps)
}

/// Steps that are simpler than this one, the greatest leaps first.
pub(super) fn steps(step: &Step, device: &DeviceSpec) -> Vec<Step> {
    let mut simpler = Vec::new();
    let mut add = |change: &dyn Fn(&mut Step)| {
        let mut changed = step.clone();
        change(&mut changed);
        simpler.push(changed);
    };
    for client in 0..step.client {
        add(&|it| it.client = client);
    }
    for index in 0..step.faults.len() {
        add(&|it| {
            it.faults.remove(index);
        });
    }
    add(&Step::keep);
    add(&|it| it.drop_on = DropOn::Suspension);
    add(&|it| it.crash_at = None);
    for op in ops(step.op, device) {
        add(&|it| it.op = op);
    }
    for (index, &fault) in step.faults.iter().enumerate() {
        for call in smaller(fault.call) {
            add(&|it| it.faults[index].call = call);
        }
        for kind in kinds(fault.kind) {
            add(&|it| it.faults[index] = Fault { kind, ..fault });
        }
    }
    // After no suspension at all there is only the first poll.
    let fewest = u32::from(step.drop_on == DropOn::Suspension);
    for at in step.drop_at.into_iter().flat_map(smaller).filter(|&at| at >= fewest) {
        add(&|it| it.drop_at = Some(at));
    }
    if let Some((at, kept)) = step.crash_at {
        for at in smaller(at).into_iter().filter(|&at| at > 0) {
            add(&|it| it.crash_at = Some((at, kept)));
        }
        for kept in policies() {
            add(&|it| it.crash_at = Some((at, kept)));
        }
    }
    simpler
}

fn ops(op: Op, device: &DeviceSpec) -> Vec<Op> {
    let spans = op.request().and_then(Request::span);
    let spans = spans.map(|span| simpler_spans(span, device)).unwrap_or_default();
    let moved = spans.into_iter().map(|span| {
        let mut moved = op;
        change_span(&mut moved, |_| span);
        moved
    });
    let other = match op {
        Op::Write { offset, length, fua, data } => {
            let plain = fua.then_some(Op::Write { offset, length, fua: false, data });
            let unique = Op::Write { offset, length, fua, data: Data::Unique };
            plain.into_iter().chain((op != unique).then_some(unique)).collect()
        }
        Op::Crash(_) => policies().map(Op::Crash).collect(),
        _ => Vec::new(),
    };
    other.into_iter().chain(moved).collect()
}

/// Shorter, or nearer to the start of the device. What has to be refused may become what is to be
/// served; then the run tells.
fn simpler_spans((offset, length): (u64, u64), device: &DeviceSpec) -> Vec<[u64; 2]> {
    let block = u64::from(device.block_size);
    let size = device.block_count * block;
    let aligned = |it: u64| it / block * block;
    let last = offset.saturating_add(length).saturating_sub(block);
    let lengths = [0, 1, block, aligned(length / 2), length.saturating_sub(block), size + block];
    let shorter = lengths.into_iter().filter(|&it| it < length).map(|length| [offset, length]);
    let starts = [0, 1, block, size, aligned(offset / 2), offset.saturating_sub(block)];
    let nearer = starts.into_iter().filter(|&it| it < offset).map(|offset| [offset, length]);
    let tail = Some([last, block]).filter(|_| length > block);
    shorter.chain(tail).chain(nearer).collect()
}

/// Policies of what survives a crash, with small seeds.
fn policies() -> impl Iterator<Item = CrashPolicy> {
    let plain =
        [CrashPolicy::None, CrashPolicy::All, CrashPolicy::NewestKept, CrashPolicy::NewestLost]
            .into_iter();
    let seeded: [fn(u64) -> CrashPolicy; 8] = [
        CrashPolicy::Mask,
        CrashPolicy::OneKept,
        CrashPolicy::OneLost,
        CrashPolicy::Runs,
        CrashPolicy::Random,
        CrashPolicy::TornBytes,
        CrashPolicy::Garbage,
        CrashPolicy::Unreadable,
    ];
    plain.chain(seeded.into_iter().flat_map(|policy| (0..4).map(policy)))
}

/// The same kind with smaller numbers, and kinds that do less.
fn kinds(kind: FaultKind) -> Vec<FaultKind> {
    let with = |number: u32, kind: fn(u32) -> FaultKind| smaller(number).map(kind).to_vec();
    let misdirected = |kind: fn(i32) -> FaultKind| vec![kind(1), kind(-1)];
    match kind {
        FaultKind::ShortRead(count) => with(count, FaultKind::ShortRead),
        FaultKind::ShortWrite(count) => with(count, FaultKind::ShortWrite),
        FaultKind::TornRead(count) => with(count, FaultKind::TornRead),
        FaultKind::Enospc
        | FaultKind::Edquot
        | FaultKind::Efbig
        | FaultKind::EioStays
        | FaultKind::ReadOnlyStays => vec![FaultKind::Eio],
        FaultKind::EnospcFor(calls) => {
            let mut simpler = vec![FaultKind::Eio, FaultKind::Enospc];
            simpler.extend(with(calls, FaultKind::EnospcFor));
            simpler
        }
        FaultKind::SizeLimit(fits) => {
            let mut simpler = vec![FaultKind::Efbig];
            simpler.extend(with(fits, FaultKind::SizeLimit));
            simpler
        }
        FaultKind::EioLanded(_) => {
            vec![FaultKind::Eio, FaultKind::EioLanded(1), FaultKind::EioLanded(u64::MAX)]
        }
        kind if kind.dirty().is_some() => {
            [Dirty::Kept, Dirty::Dropped, Dirty::Partly(0), Dirty::Partly(1)]
                .map(FaultKind::SyncFailed)
                .to_vec()
        }
        FaultKind::BitFlip(bit) => with(bit, FaultKind::BitFlip),
        FaultKind::MisdirectedWrite(_) => misdirected(FaultKind::MisdirectedWrite),
        FaultKind::MisdirectedRead(_) => misdirected(FaultKind::MisdirectedRead),
        FaultKind::LatentSector(sector) => with(sector, FaultKind::LatentSector),
        FaultKind::Latency(steps) => with(steps, FaultKind::Latency),
        FaultKind::LateReturn(steps) => with(steps, FaultKind::LateReturn),
        _ => Vec::new(),
    }
}

/// Numbers to try instead of this one.
fn smaller(number: u32) -> [u32; 4] {
    [0, 1, number / 2, number.saturating_sub(1)]
}
