//! The device under test.

use crate::device::{Device, DeviceError, DynDevice, FileBackedDevice};
use crate::disk::{DISK, FaultClass, Rules, SimFile, World};
use crate::file::BackingFile;
use crate::model::{Promises, TrimEffect};
use crate::scenario::{Accepts, DeviceSpec, Survey, Trim};
use futures::future::LocalBoxFuture;
use std::fmt;
use std::future::Future;

/// A device under test: how its files are made, how it is opened, and what it promises.
///
/// Implement this for a type of your own (usually an empty struct), and pass it to
/// [`check`](super::check). Only [`open`](Self::open) is required:
///
/// | method | called | implement it if |
/// |---|---|---|
/// | [`create`](Self::create) | once in a run, first of all | there is a header, or several files |
/// | [`open`](Self::open) | at the start, after every crash and clean close | always |
/// | [`promises`](Self::promises) | before a run | it keeps more or less than the contract |
/// | [`accepts`](Self::accepts) | before a run | there are sizes or modes that it cannot have |
///
/// The [guide](crate::guide) has five devices to copy from.
///
/// # Example
///
/// A device that exists already, has one file, and promises nothing but the contract:
///
/// ```
/// use blocktwin::device::{DeviceError, DeviceOptions, FileBackedDevice};
/// use blocktwin::disk::{SimFile, World};
/// use blocktwin::lockstep::{Subject, check};
/// use blocktwin::scenario::DeviceSpec;
///
/// struct Mine;
///
/// impl Subject for Mine {
///     type Device = FileBackedDevice<SimFile>; // yours: whatever implements `Device`
///
///     async fn open(
///         &self,
///         world: &World,
///         spec: &DeviceSpec,
///     ) -> Result<Self::Device, DeviceError> {
///         let options = DeviceOptions::new(spec.block_size)
///             .sector_size(spec.sector_size)
///             .block_count(spec.block_count)
///             .read_only(spec.read_only)
///             .allocator(world.heap());
///         FileBackedDevice::with_options(world.disk()?, options).await
///     }
/// }
///
/// check(Mine); // in a `#[test]`
/// ```
pub trait Subject {
    /// The device. It usually stands on [`SimFile`], where in production it stands on
    /// [`std::fs::File`].
    type Device: Device;

    /// Makes the files that have to be there before the device is first opened, as `mkfs` or
    /// `qemu-img create` would. It is called once in a run, in an empty directory. No fault is
    /// injected, and what it did is durable when it returns, also without a sync.
    ///
    /// The default makes one file with the name [`DISK`], which holds
    /// [`file_length`](DeviceSpec::file_length) bytes of zeros. That may be less than the device
    /// holds; see [`Accepts::short_files`].
    ///
    /// # Errors
    ///
    /// Any error fails the test, as a *spurious error*, because no raw call fails here.
    fn create(
        &self,
        world: &World,
        spec: &DeviceSpec,
    ) -> impl Future<Output = Result<(), DeviceError>> {
        async move {
            let file = world.create(DISK).await?;
            if spec.file_length > 0 {
                file.set_len(spec.file_length).await?;
            }
            Ok(())
        }
    }

    /// Opens the device that `spec` describes: at the start, again after every crash, and again
    /// after every clean close that the scenario goes on from. Then it finds the files as the crash
    /// or the close has left them.
    ///
    /// * The device must have the sector size, block size and number of blocks of `spec`, and be
    ///   read-only if and only if `spec` says so. A device with a header should read these from the
    ///   header, so that a lost header is found.
    /// * [`World::disk`] is the one file of a device that has one; [`World::open`] opens others by
    ///   name. Start tasks with [`World::spawn`].
    /// * Transfer buffers come from [`World::heap`], which has [`heap`](DeviceSpec::heap) bytes.
    ///
    /// Raw calls fail here too, the power may fail, and this future may be dropped before it is
    /// done. Then `open` is called again, with another `world` after a power failure.
    ///
    /// # Errors
    ///
    /// The error of a raw call that failed, unless it is one to absorb, such as `EINTR`. Then
    /// `open` is called again. An error without such a cause is a *spurious error*.
    fn open(
        &self,
        world: &World,
        spec: &DeviceSpec,
    ) -> impl Future<Output = Result<Self::Device, DeviceError>>;

    /// What the device promises beyond the [contract](crate::device), and what it waives. The
    /// default is [`Promises::none`]: the whole contract and nothing more.
    ///
    /// The [guide](crate::guide::contract) has a table of what each promise adds.
    fn promises(&self) -> Promises {
        Promises::none()
    }

    /// Which sizes, counts and modes the device can have. The default is
    /// [`Accepts::anything`]. No other scenarios are generated for the device.
    fn accepts(&self) -> Accepts {
        Accepts::default()
    }
}

/// The real one: [`FileBackedDevice`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FileBacked;

impl Subject for FileBacked {
    type Device = FileBackedDevice<SimFile>;

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<Self::Device, DeviceError> {
        let options = spec.options().allocator(world.heap());
        let whole = spec.geometry()?.size() == spec.file_length;
        let options = if whole { options } else { options.block_count(spec.block_count) };
        FileBackedDevice::with_options(world.disk()?, options).await
    }

    fn promises(&self) -> Promises {
        Promises::file_backed()
    }

    fn accepts(&self) -> Accepts {
        Accepts::file_backed()
    }
}

/// A [`Subject`] whose type is not known: one of several by name, say. Every subject is one.
///
/// ```
/// use blocktwin::lockstep::{Check, DynSubject, FileBacked};
///
/// let by_name: [(&str, Box<dyn DynSubject>); 1] = [("file", Box::new(FileBacked))];
/// for (_, subject) in by_name {
///     Check::new(subject).seeds(0..20).run();
/// }
/// ```
pub trait DynSubject: Send + Sync {
    /// [`Subject::create`]
    fn create_dyn<'a>(
        &'a self,
        world: &'a World,
        spec: &'a DeviceSpec,
    ) -> LocalBoxFuture<'a, Result<(), DeviceError>>;

    /// [`Subject::open`]
    fn open_dyn<'a>(
        &'a self,
        world: &'a World,
        spec: &'a DeviceSpec,
    ) -> LocalBoxFuture<'a, Result<DynDevice, DeviceError>>;

    /// [`Subject::promises`]
    fn promises_dyn(&self) -> Promises;

    /// [`Subject::accepts`]
    fn accepts_dyn(&self) -> Accepts;
}

impl<S: Subject<Device: 'static> + Send + Sync> DynSubject for S {
    fn create_dyn<'a>(
        &'a self,
        world: &'a World,
        spec: &'a DeviceSpec,
    ) -> LocalBoxFuture<'a, Result<(), DeviceError>> {
        Box::pin(self.create(world, spec))
    }

    fn open_dyn<'a>(
        &'a self,
        world: &'a World,
        spec: &'a DeviceSpec,
    ) -> LocalBoxFuture<'a, Result<DynDevice, DeviceError>> {
        Box::pin(async { self.open(world, spec).await.map(DynDevice::new) })
    }

    fn promises_dyn(&self) -> Promises {
        self.promises()
    }

    fn accepts_dyn(&self) -> Accepts {
        self.accepts()
    }
}

impl fmt::Debug for dyn DynSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynSubject").finish_non_exhaustive()
    }
}

impl Subject for Box<dyn DynSubject> {
    type Device = DynDevice;

    async fn create(&self, world: &World, spec: &DeviceSpec) -> Result<(), DeviceError> {
        (**self).create_dyn(world, spec).await
    }

    async fn open(&self, world: &World, spec: &DeviceSpec) -> Result<DynDevice, DeviceError> {
        (**self).open_dyn(world, spec).await
    }

    fn promises(&self) -> Promises {
        (**self).promises_dyn()
    }

    fn accepts(&self) -> Accepts {
        (**self).accepts_dyn()
    }
}

/// What the subject promises, of a device that is to trim so. Where the file system cannot punch
/// holes, the device may drop the hint, and nobody knows what a trim leaves.
pub(super) fn promises_of(subject: &impl Subject, trim: Trim, survey: &Survey) -> Promises {
    let promises = subject.promises();
    if survey.cannot_punch {
        return promises.trim(TrimEffect::Unspecified);
    }
    match (promises.trim, trim) {
        (TrimEffect::AsAsked, Trim::Scribble) => promises.trim(TrimEffect::Scribble),
        (TrimEffect::AsAsked, Trim::PunchHole) => promises.trim(TrimEffect::Zeros),
        (TrimEffect::AsAsked, Trim::Ignore) => promises.trim(TrimEffect::Nothing),
        _ => promises,
    }
}

/// The scenarios that are to be generated for a subject: those that it takes, without faults that
/// its device never meets for want of a promise.
///
/// Silent faults of the medium, and sectors that it cannot read, need a device that promises
/// [containment](Promises::containment) or, the silent ones, [integrity](Promises::integrity).
pub fn scenarios_for(subject: &impl Subject) -> Accepts {
    let accepts = subject.accepts();
    let promises = subject.promises();
    let rules = rules_of(&promises, &accepts);
    let absent: Vec<FaultClass> =
        FaultClass::ALL.into_iter().filter(|&class| !rules.allow(class)).collect();
    let accepts = accepts.without_faults(&absent).many_calls(!promises.own_calls);
    let accepts = accepts.ends_of_files(promises.in_place);
    if promises.excuses_harm() || promises.integrity {
        accepts
    } else {
        accepts.crashes_beyond_contract(false)
    }
}

/// How the files behave beneath the device, but for where it ends.
pub(super) fn rules_of(promises: &Promises, accepts: &Accepts) -> Rules {
    let mut rules = Rules {
        own_calls: promises.own_calls,
        // Only there the twin knows which sector a torn one is.
        odd_short_writes: accepts.takes_odd_short_writes()
            && (promises.in_place || promises.waives.sector_atomicity),
        posix_entries: promises.posix_directories,
        ..Rules::default()
    };
    for class in FaultClass::ALL {
        let met = match class {
            FaultClass::LatentSector => promises.excuses_harm(),
            class if class.is_silent() => promises.excuses_harm() || promises.integrity,
            _ => true,
        };
        if !met || !accepts.takes(class) {
            rules = rules.without(class);
        }
    }
    rules
}
