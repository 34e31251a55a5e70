//! How weak a model device is.

/// How a [`ModelDevice`](super::ModelDevice) behaves where the contract leaves it a choice.
///
/// The default is as weak as the contract, with the seed 0.
///
/// # Example
///
/// ```
/// use blocktwin::device::{Geometry, GeometryError};
/// use blocktwin::model::{ModelDevice, ModelOptions, Weak};
///
/// // Trims leave zeros; everything else is as weak as the contract.
/// let weak = Weak { trim: false, ..Weak::ALL };
/// let options = ModelOptions { seed: 7, weak };
/// let device = ModelDevice::with_options(Geometry::new(512, 4096, 16)?, options);
/// # Ok::<(), GeometryError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// The seed of every choice that the device makes, except what a crash leaves. The same seed
    /// and the same requests, polled in the same order, give the same answers.
    pub seed: u64,
    /// Which of the weak forms the device has.
    pub weak: Weak,
}

/// What a device may do under the contract, and a stronger device would not. Each field that is
/// `false` gives the strong form.
///
/// Test with [`Weak::ALL`], the default. Switch a form off only if the code under test is meant for
/// devices that promise the strong form.
///
/// # Example
///
/// ```
/// use blocktwin::model::Weak;
///
/// assert_eq!(Weak::default(), Weak::ALL);
/// let weak = Weak { barrier: false, ..Weak::ALL };
/// assert!(weak.fua && !weak.barrier && !Weak::NONE.fua);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weak {
    /// A request suspends before it takes effect and again before it answers, so it may be dropped,
    /// or the power may fail, in between. Writes and reads may take effect in two parts, with other
    /// requests between them. Strong: the future is ready when it is first polled.
    pub suspends: bool,
    /// A write that was dropped may land later, as contract clause 3 allows. Strong: it never does.
    pub dropped_write: bool,
    /// A barrier orders, and makes nothing durable (clause 5). Strong: it is a flush.
    pub barrier: bool,
    /// [`fua`](crate::device::WriteOptions::fua) makes only its own write durable, and what a
    /// barrier has put before it. Strong: it makes everything durable that was written.
    pub fua: bool,
    /// A trim leaves each sector as it was, zeros, or bytes of `0xab` (clause 8). A trim of more
    /// than 1 MiB does not touch what was never written. Strong: zeros.
    pub trim: bool,
    /// A write that fails leaves each sector old or new (clause 3). Strong: all are old.
    pub failed_write: bool,
    /// A read that fails leaves anything in the buffer. Strong: the buffer stays as it was.
    pub failed_read: bool,
}

impl Weak {
    /// Every weak form: as weak as the contract.
    pub const ALL: Self = Self {
        suspends: true,
        dropped_write: true,
        barrier: true,
        fua: true,
        trim: true,
        failed_write: true,
        failed_read: true,
    };

    /// No weak form: the strongest device. It still loses in a crash what was not synced.
    pub const NONE: Self = Self {
        suspends: false,
        dropped_write: false,
        barrier: false,
        fua: false,
        trim: false,
        failed_write: false,
        failed_read: false,
    };
}

impl Default for Weak {
    /// [`Weak::ALL`].
    fn default() -> Self {
        Self::ALL
    }
}
