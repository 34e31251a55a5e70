//! Which scenarios a device can take.
//!
//! The format of a scenario can say more than many devices can do: a device may have sectors of
//! 4096 bytes only, or at least eight blocks. [`Accepts`] says what a device can do. Then the
//! generator draws nothing else for it ([`generate_for`](super::generate_for)), the shrinker tries
//! nothing else on it, and a scenario from elsewhere is refused ([`Accepts::check`]) or changed to
//! the nearest that the device can take ([`Accepts::fit`]).

mod fit;
mod limits;
mod places;
mod sizes;

#[cfg(test)]
mod tests;

use super::{DeviceSpec, Scenario, Trim};
use crate::disk::{FaultClass, FaultKind};
use crate::model::Request;
use limits::Limits;
use std::collections::BTreeSet;
use std::ops::RangeBounds;

/// Sector sizes of the format, in bytes.
const SECTORS: [u32; 2] = [512, 4096];

/// Trim modes of the format.
const TRIMS: [Trim; 3] = [Trim::Scribble, Trim::PunchHole, Trim::Ignore];

/// Which scenarios a device can take: sizes, counts and modes.
///
/// [`anything`](Self::anything) is everything that a scenario can say. Each method restricts one
/// thing; if you call the same method twice, the second call counts. Return the result from
/// [`Subject::accepts`](crate::lockstep::Subject::accepts). To take faults away, see
/// [`without_faults`](Self::without_faults).
///
/// | what | unless you restrict it |
/// |---|---|
/// | [`sector_sizes`](Self::sector_sizes) | 512 and 4096 bytes |
/// | [`block_sizes`](Self::block_sizes) | every power of two bytes from one sector on |
/// | [`blocks`](Self::blocks) | one or more, up to a device of `i64::MAX` bytes |
/// | [`heap`](Self::heap) | from one block to 32 MiB |
/// | [`trims`](Self::trims) | all three modes |
/// | [`read_only`](Self::read_only), [`writable`](Self::writable) | both |
/// | [`zero_length`](Self::zero_length) | yes |
/// | [`short_files`](Self::short_files) | yes |
/// | [`odd_short_writes`](Self::odd_short_writes) | no |
/// | [`used_files`](Self::used_files) | no |
///
/// # Example
///
/// ```
/// use blocktwin::scenario::{Accepts, Profile, generate, generate_for};
///
/// // Sectors of 4096 bytes, and at least eight blocks.
/// let accepts = Accepts::anything().sector_sizes(&[4096]).blocks(8..=1024);
/// assert!(accepts.check(&generate_for(7, Profile::Default, &accepts)).is_ok());
///
/// let mut scenario = generate(7, Profile::Default);
/// scenario.device.block_count = 4;
/// assert!(accepts.check(&scenario).is_err());
/// accepts.fit(&mut scenario);
/// assert!(accepts.check(&scenario).is_ok());
/// assert_eq!(scenario.device.block_count, 8);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepts {
    sectors: BTreeSet<u32>,
    /// Bytes of a block, both powers of two.
    block: Limits,
    /// Blocks of the device.
    blocks: Limits,
    /// Bytes of the transfer heap.
    heap: Limits,
    trims: BTreeSet<Trim>,
    read_only: bool,
    writable: bool,
    zero_length: bool,
    short_files: bool,
    odd_short_writes: bool,
    used_files: bool,
    crashes_beyond_contract: bool,
    many_calls: bool,
    /// Devices up to the last byte that a file can have are drawn.
    ends_of_files: bool,
    without: BTreeSet<FaultClass>,
}

impl Default for Accepts {
    /// As [`anything`](Self::anything).
    fn default() -> Self {
        Self::anything()
    }
}

/// The device cannot take the scenario, for the reason that this says in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAccepted(String);

impl Accepts {
    /// Everything that the format can say, except that no write stops inside a sector and that the
    /// file is a new one; see [`odd_short_writes`](Self::odd_short_writes) and
    /// [`used_files`](Self::used_files).
    pub fn anything() -> Self {
        Self {
            sectors: SECTORS.into(),
            block: Limits::BLOCK,
            blocks: Limits::BLOCKS,
            heap: Limits::HEAP,
            trims: TRIMS.into(),
            read_only: true,
            writable: true,
            zero_length: true,
            short_files: true,
            odd_short_writes: false,
            used_files: false,
            crashes_beyond_contract: true,
            many_calls: false,
            ends_of_files: false,
            without: BTreeSet::new(),
        }
    }

    /// Takes sectors of these sizes, in bytes: 512, 4096 or both. Other sizes are ignored.
    #[must_use]
    pub fn sector_sizes(self, sizes: &[u32]) -> Self {
        let known = SECTORS.into_iter().filter(|size| sizes.contains(size));
        Self { sectors: known.collect(), ..self }
    }

    /// Takes blocks of these sizes, in bytes: the powers of two in the range that are multiples of
    /// the sector.
    ///
    /// ```
    /// # use blocktwin::scenario::Accepts;
    /// let one_size = Accepts::anything().block_sizes(65536..=65536);
    /// let several = Accepts::anything().block_sizes(4096..=65536);
    /// let large = Accepts::anything().block_sizes(4096..);
    /// ```
    #[must_use]
    pub fn block_sizes(self, sizes: impl RangeBounds<u32>) -> Self {
        Self { block: Limits::of_u32(&sizes).within(Limits::BLOCK).to_powers_of_two(), ..self }
    }

    /// Takes devices of this many blocks.
    #[must_use]
    pub fn blocks(self, count: impl RangeBounds<u64>) -> Self {
        Self { blocks: Limits::of(&count).within(Limits::BLOCKS), ..self }
    }

    /// Takes transfer heaps of this many bytes.
    #[must_use]
    pub fn heap(self, bytes: impl RangeBounds<u32>) -> Self {
        Self { heap: Limits::of_u32(&bytes).within(Limits::HEAP), ..self }
    }

    /// Whether the device can be opened read-only.
    #[must_use]
    pub fn read_only(self, can: bool) -> Self {
        Self { read_only: can, ..self }
    }

    /// Whether the device can be opened for writing.
    #[must_use]
    pub fn writable(self, can: bool) -> Self {
        Self { writable: can, ..self }
    }

    /// Whether the device gets requests of zero bytes. The contract says that they are checked like
    /// any other, and are then `Ok`.
    #[must_use]
    pub fn zero_length(self, can: bool) -> Self {
        Self { zero_length: can, ..self }
    }

    /// Takes these trim modes. This matters only to a device that looks at
    /// [`DeviceSpec::trim`](DeviceSpec::trim).
    #[must_use]
    pub fn trims(self, modes: &[Trim]) -> Self {
        Self { trims: modes.iter().copied().collect(), ..self }
    }

    /// Whether [`DeviceSpec::file_length`] may be less than the size of the device: the file that
    /// the default [`Subject::create`](crate::lockstep::Subject::create) makes is then shorter than
    /// the device, and the rest reads as zeros. A `create` of your own need not look at it.
    #[must_use]
    pub fn short_files(self, can: bool) -> Self {
        Self { short_files: can, ..self }
    }

    /// Whether a write to a file may stop inside a sector. Linux does that only at a limit of the
    /// file's size or at a bad page of memory. Say yes if your device guards against it, and
    /// promises to be [in place](crate::model::Promises::in_place) or waives the atomicity of
    /// sectors; otherwise it changes nothing.
    ///
    /// The default is no: a [`FaultKind::ShortWrite`] then takes whole sectors, at least one.
    #[must_use]
    pub fn odd_short_writes(self, can: bool) -> Self {
        Self { odd_short_writes: can, ..self }
    }

    /// Whether a power failure may tear sectors, fill them with garbage or make them unreadable:
    /// [`CrashPolicy::is_beyond_contract`](crate::disk::CrashPolicy::is_beyond_contract).
    #[must_use]
    pub fn crashes_beyond_contract(self, can: bool) -> Self {
        Self { crashes_beyond_contract: can, ..self }
    }

    /// Faults of these classes are never drawn for the device. Faults that its
    /// [promises](crate::model::Promises) rule out need not be listed.
    ///
    /// Without [`FaultClass::Dropped`] no future is dropped, at whatever moment. Without
    /// [`FaultClass::Crash`] the power never fails, and the device is reopened instead. Without
    /// [`FaultClass::CrashInOpen`] the power never fails while the device is being opened, nor does
    /// the process die. Without [`FaultClass::Kill`] the process never dies.
    #[must_use]
    pub fn without_faults(self, classes: &[FaultClass]) -> Self {
        Self { without: classes.iter().copied().collect(), ..self }
    }

    /// Whether an operation may make many raw calls, so that faults are drawn for late ones too.
    #[must_use]
    pub(crate) fn many_calls(self, many: bool) -> Self {
        Self { many_calls: many, ..self }
    }

    /// Whether devices up to the last byte that a file can have are drawn. A device that keeps
    /// something before its blocks cannot be so large.
    #[must_use]
    pub(crate) fn ends_of_files(self, can: bool) -> Self {
        Self { ends_of_files: can, ..self }
    }

    pub(super) fn makes_many_calls(&self) -> bool {
        self.many_calls
    }

    /// Whether the file [`DISK`](crate::disk::DISK) may have been used before the device is first
    /// opened: it then has [contents](DeviceSpec::contents), which the device has to show, and may
    /// be longer than the device. They are put there after
    /// [`Subject::create`](crate::lockstep::Subject::create). Say yes for a raw image that promises
    /// to be [in place](crate::model::Promises::in_place); otherwise it changes nothing.
    ///
    /// The default is no, as a device that keeps a map of what was written would not see them.
    #[must_use]
    pub fn used_files(self, can: bool) -> Self {
        Self { used_files: can, ..self }
    }

    /// What [`FileBackedDevice`](crate::device::FileBackedDevice) takes: everything that the format
    /// can say.
    #[must_use]
    pub fn file_backed() -> Self {
        Self::anything().odd_short_writes(true).used_files(true).ends_of_files(true)
    }

    /// Whether faults of this kind may be drawn for the device. Where no write may stop inside a
    /// sector, that says nothing of the count of a [`FaultKind::ShortWrite`].
    pub fn takes_fault(&self, kind: FaultKind) -> bool {
        self.takes(kind.class())
    }

    /// Whether a write to the file may stop inside a sector.
    pub fn takes_odd_short_writes(&self) -> bool {
        self.odd_short_writes
    }

    /// Whether faults of this class may be drawn for the device.
    pub fn takes(&self, class: FaultClass) -> bool {
        !self.without.contains(&class)
    }

    /// Whether requests of zero bytes are made.
    pub(super) fn takes_zero_length(&self) -> bool {
        self.zero_length
    }

    /// Whether crashes may do what is beyond the contract.
    pub(super) fn takes_crashes_beyond_contract(&self) -> bool {
        self.crashes_beyond_contract
    }

    /// Whether the device can take this scenario: its [`DeviceSpec`], and its requests of zero
    /// bytes. Faults are not looked at: what is not drawn may still be written by hand.
    ///
    /// # Errors
    ///
    /// If the device cannot take it, with the first reason.
    ///
    /// ```
    /// use blocktwin::scenario::{Accepts, Profile, generate};
    ///
    /// let mut scenario = generate(7, Profile::Default);
    /// scenario.device.block_size = 512;
    /// let refused = Accepts::anything().block_sizes(4096..=65536).check(&scenario);
    /// let line = refused.expect_err("too small").to_string();
    /// assert_eq!(line, "the device takes blocks of 4096 to 65536 bytes; the scenario has 512");
    /// ```
    pub fn check(&self, scenario: &Scenario) -> Result<(), NotAccepted> {
        let refusal = self
            .emptiness()
            .map(|what| format!("the device takes no {what} at all"))
            .or_else(|| self.refuse_device(&scenario.device))
            .or_else(|| self.refuse_requests(scenario));
        refusal.map_or(Ok(()), |line| Err(NotAccepted(line)))
    }

    /// What the device takes none of, so that it takes no scenario.
    fn emptiness(&self) -> Option<&'static str> {
        let is_none = [
            (self.sectors.is_empty(), "sector size"),
            (self.pairs().next().is_none(), "block size"),
            (self.blocks.is_empty(), "number of blocks"),
            (self.heap.is_empty(), "size of a heap"),
            (self.trims.is_empty(), "trim mode"),
            (!self.read_only && !self.writable, "way to open it"),
        ];
        is_none.into_iter().find(|(is_none, _)| *is_none).map(|(_, what)| what)
    }

    fn refuse_device(&self, spec: &DeviceSpec) -> Option<String> {
        let DeviceSpec { sector_size, block_size, block_count, heap, .. } = *spec;
        if !self.sectors.contains(&sector_size) {
            let sizes: Vec<_> = self.sectors.iter().map(u32::to_string).collect();
            let sizes = sizes.join(" or ");
            let line = "the device takes sectors of";
            return Some(format!("{line} {sizes} bytes; the scenario has {sector_size}"));
        }
        if !self.block.contains(block_size.into()) {
            let sizes = self.block.words(Limits::BLOCK);
            let line = "the device takes blocks of";
            return Some(format!("{line} {sizes} bytes; the scenario has {block_size}"));
        }
        if !self.blocks.contains(block_count) {
            let counts = self.blocks.words(Limits::BLOCKS);
            return Some(format!(
                "the device takes {counts} blocks; the scenario has {block_count}"
            ));
        }
        if !self.heap.contains(heap.into()) {
            let sizes = self.heap.words(Limits::HEAP);
            return Some(format!(
                "the device takes a heap of {sizes} bytes; the scenario has {heap}"
            ));
        }
        self.refuse_modes(spec).or_else(|| impossible(spec))
    }

    fn refuse_modes(&self, spec: &DeviceSpec) -> Option<String> {
        let size = spec.size();
        if spec.read_only && !self.read_only {
            let line = "the device cannot be opened read-only; the scenario opens it so";
            return Some(line.to_owned());
        }
        if !spec.read_only && !self.writable {
            let line = "the device can only be opened read-only; the scenario opens it for writing";
            return Some(line.to_owned());
        }
        if !self.trims.contains(&spec.trim) {
            return Some(format!("the device does not take the trim mode {:?}", spec.trim));
        }
        if spec.used && !self.used_files {
            return Some("the device takes no used file; the scenario has one".to_owned());
        }
        if spec.file_length < size && !self.short_files {
            let length = spec.file_length;
            let line = "the device takes no file that is shorter than itself";
            return Some(format!("{line}; the scenario has {length} of {size} bytes"));
        }
        None
    }

    fn refuse_requests(&self, scenario: &Scenario) -> Option<String> {
        if self.zero_length {
            return None;
        }
        let spans = scenario.steps.iter().map(|step| step.op.request().and_then(Request::span));
        let is_empty = |span: &Option<(u64, u64)>| span.is_some_and(|(_, length)| length == 0);
        let (_, op) = spans.zip(1_u64..).find(|(span, _)| is_empty(span))?;
        Some(format!("the device takes no request of zero bytes; operation {op} is one"))
    }
}

/// Why there can be no such device.
fn impossible(spec: &DeviceSpec) -> Option<String> {
    if let Err(error) = spec.geometry() {
        return Some(error.to_string());
    }
    if let Err(line) = spec.check_file() {
        return Some(line);
    }
    let (heap, block) = (spec.heap, spec.block_size);
    (heap < block).then(|| format!("the heap has {heap} bytes, fewer than a block of {block}"))
}
