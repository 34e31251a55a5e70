//! The shape of a device.

use super::{DeviceError, GeometryError};
use std::ops::Range;

/// Sector size, block size and block count of a device: valid by construction.
///
/// A *sector* (512 or 4096 bytes) is what is written or lost as a whole; a *block* is what offsets
/// and lengths are multiples of. A block is one sector or more, and both are powers of two.
///
/// ```
/// use blocktwin::device::Geometry;
///
/// let geometry = Geometry::new(512, 4096, 256)?;
/// assert_eq!(geometry.size(), 1 << 20);
/// assert!(Geometry::new(512, 4095, 256).is_err());
/// # Ok::<(), blocktwin::device::GeometryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    sector_size: u32,
    physical_sector_size: u32,
    block_size: u32,
    block_count: u64,
}

impl Geometry {
    /// A geometry of `block_count` blocks of `block_size` bytes, in sectors of `sector_size` bytes.
    ///
    /// # Errors
    ///
    /// Where the sizes are not as the type says, or the device would be larger than `i64::MAX`
    /// bytes, which no file can be.
    pub fn new(sector_size: u32, block_size: u32, block_count: u64) -> Result<Self, GeometryError> {
        if sector_size != 512 && sector_size != 4096 {
            return Err(GeometryError::SectorSize(sector_size));
        }
        if !block_size.is_power_of_two() || block_size < sector_size {
            return Err(GeometryError::BlockSize { block_size, sector_size });
        }
        let size = block_count.checked_mul(u64::from(block_size));
        if size.is_none_or(|size| i64::try_from(size).is_err()) {
            return Err(GeometryError::TooLarge { block_size, block_count });
        }
        Ok(Self { sector_size, physical_sector_size: sector_size, block_size, block_count })
    }

    /// The same with another number of blocks, which has to be one that can be.
    #[inline]
    pub(super) fn with_block_count(self, block_count: u64) -> Self {
        Self { block_count, ..self }
    }

    /// The same with physical sectors of so many bytes, at least a sector.
    #[must_use]
    pub fn with_physical_sectors(self, size: u32) -> Self {
        Self { physical_sector_size: size.max(self.sector_size), ..self }
    }

    /// The geometry of a device that fills a file of `file_length` bytes.
    ///
    /// # Errors
    ///
    /// As [`Geometry::new`], and where the file does not hold a whole number of blocks, one at
    /// least.
    pub fn of_file(
        sector_size: u32,
        block_size: u32,
        file_length: u64,
    ) -> Result<Self, GeometryError> {
        let geometry = Self::new(sector_size, block_size, 1)?;
        let (block_count, rest) =
            (file_length / u64::from(block_size), file_length % u64::from(block_size));
        if rest != 0 || block_count == 0 {
            return Err(GeometryError::FileLength { file_length, block_size });
        }
        Self::new(geometry.sector_size, block_size, block_count)
    }

    /// The unit of atomicity, in bytes: 512 or 4096.
    pub fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// What the medium reads and writes at once, in bytes, as it says itself: a hint, to which a
    /// guest may align its requests. A sector where nobody says.
    pub fn physical_sector_size(&self) -> u32 {
        self.physical_sector_size
    }

    /// What offsets and lengths are multiples of, in bytes.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// How many blocks the device has.
    pub fn block_count(&self) -> u64 {
        self.block_count
    }

    /// The size of the device, in bytes.
    pub fn size(&self) -> u64 {
        self.block_count * u64::from(self.block_size)
    }

    /// The sectors that cover the bytes of `range`, by number.
    pub fn sectors(&self, range: &Range<u64>) -> Range<u64> {
        let sector = u64::from(self.sector_size);
        range.start / sector..range.end.div_ceil(sector)
    }

    /// The byte range of a request of `length` bytes at `offset`, where the device can serve it.
    ///
    /// A request of no bytes is checked like any other.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Misaligned`] before [`DeviceError::OutOfRange`]; offsets near `u64::MAX` are
    /// out of range like any other.
    #[inline]
    pub fn check(&self, offset: u64, length: u64) -> Result<Range<u64>, DeviceError> {
        // Of a power of two, which needs no division.
        let within_block = u64::from(self.block_size) - 1;
        if (offset | length) & within_block != 0 {
            return Err(DeviceError::Misaligned { offset, length, block_size: self.block_size });
        }
        match offset.checked_add(length) {
            Some(end) if end <= self.size() => Ok(offset..end),
            _ => Err(DeviceError::OutOfRange { offset, length, size: self.size() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_geometries_are_refused() {
        assert_eq!(Geometry::new(513, 4096, 1), Err(GeometryError::SectorSize(513)));
        for block_size in [0, 256, 1000, 4097] {
            let refused = GeometryError::BlockSize { block_size, sector_size: 512 };
            assert_eq!(Geometry::new(512, block_size, 1), Err(refused));
        }
        assert!(Geometry::new(4096, 512, 1).is_err());
        assert!(Geometry::new(512, 512, u64::MAX).is_err());
        assert!(Geometry::new(512, 512, 1 << 54).is_err());
        assert_eq!(Geometry::new(512, 512, (1 << 54) - 1).unwrap().size(), (1 << 63) - 512);
    }

    #[test]
    fn a_file_has_to_hold_whole_blocks() {
        assert_eq!(Geometry::of_file(512, 4096, 8192).unwrap().block_count(), 2);
        for file_length in [0, 100, 4095, 8193] {
            let refused = GeometryError::FileLength { file_length, block_size: 4096 };
            assert_eq!(Geometry::of_file(512, 4096, file_length), Err(refused));
        }
    }

    #[test]
    fn requests_are_checked_without_overflow() {
        let geometry = Geometry::new(512, 4096, 4).unwrap();
        assert_eq!(geometry.check(4096, 8192), Ok(4096..12288));
        assert_eq!(geometry.check(16384, 0), Ok(16384..16384));
        let last = u64::MAX - 4095;
        for (offset, length) in [(16384, 4096), (0, 20480), (20480, 0), (last, 4096), (last, last)]
        {
            let refused = DeviceError::OutOfRange { offset, length, size: 16384 };
            assert_eq!(geometry.check(offset, length), Err(refused));
        }
        for (offset, length) in [(1, 4096), (512, 4096), (0, 100), (u64::MAX, 4096), (100, 0)] {
            let refused = DeviceError::Misaligned { offset, length, block_size: 4096 };
            assert_eq!(geometry.check(offset, length), Err(refused));
        }
    }
}
