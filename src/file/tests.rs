//! One suite, run over every file there is.

use super::BackingFile;
use crate::device::{
    Device, DeviceError, DeviceOptions, FileBackedDevice, MutableBufferRef, WriteOptions,
};
use futures::executor::block_on;
use futures::stream::{FuturesUnordered, StreamExt};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use tempfile::{NamedTempFile, tempfile};

#[cfg(any(feature = "blocking", all(feature = "io-uring", target_os = "linux")))]
mod dropped;

type Make<F> = fn(File) -> io::Result<F>;

/// The tests named, over each file.
macro_rules! over_each {
    ($($test:ident)*) => {
        mod std_file {
            $(#[test]
            fn $test() {
                super::$test(Ok);
            })*
        }

        #[cfg(feature = "blocking")]
        mod pool_file {
            $(#[test]
            fn $test() {
                super::$test(|file| Ok(crate::file::PoolFile::new(file)));
            })*
        }

        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        mod ring_file {
            $(#[test]
            fn $test() {
                if super::has_ring() {
                    super::$test(crate::file::RingFile::new);
                }
            })*
        }

        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        mod ring_only {
            $(#[test]
            fn $test() {
                if super::has_ring() {
                    super::$test(|file| crate::file::RingFile::with(file, false));
                }
            })*
        }
    };
}

over_each! {
    transfers_move_bytes
    long_transfers_are_whole
    holes_are_punched_and_found
    zeros_are_written
    errors_keep_their_errno
    several_pieces_are_one_call
    more_requests_than_slots
    a_device_opens_closes_and_opens_again
    a_device_does_direct_io
}

#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub(super) fn has_ring() -> bool {
    let ring = crate::file::RingFile::new(tempfile().unwrap());
    if let Err(error) = &ring {
        use std::io::Write as _;
        let _ = writeln!(io::stderr(), "skipped, as this kernel gives no io_uring: {error}");
    }
    ring.is_ok()
}

fn transfers_move_bytes<F: BackingFile>(make: Make<F>) {
    let file = Arc::new(make(tempfile().unwrap()).unwrap());
    block_on(async {
        assert_eq!(file.write_at(&[7; 8192], 4096).await.unwrap(), 8192);
        assert_eq!(file.len().await.unwrap(), 12288);
        file.sync_data().await.unwrap();
        file.sync_all().await.unwrap();
        let mut buffer = [1; 8192];
        assert_eq!(file.read_at(&mut buffer, 0).await.unwrap(), 8192);
        assert!(buffer[..4096].iter().all(|&b| b == 0) && buffer[4096..].iter().all(|&b| b == 7));
        assert_eq!(file.read_at(&mut buffer, 12287).await.unwrap(), 1, "a short read");
        assert_eq!(file.read_at(&mut buffer, 12288).await.unwrap(), 0, "the end");
        assert_eq!(file.read_at(&mut [], 0).await.unwrap(), 0);
        assert_eq!(file.write_at(&[], 1 << 20).await.unwrap(), 0);
        assert_eq!(file.len().await.unwrap(), 12288);
        file.set_len(4096).await.unwrap();
        assert_eq!(file.read_at(&mut buffer, 4096).await.unwrap(), 0);
        file.set_len(1 << 30).await.unwrap();
        assert_eq!(file.len().await.unwrap(), 1 << 30);
        assert_eq!(file.alignment().await.unwrap(), 1);
        file.settle().await;
    });
}

fn long_transfers_are_whole<F: BackingFile>(make: Make<F>) {
    let file = make(tempfile().unwrap()).unwrap();
    for length in [65_535, 65_536, 65_537, 3 << 20] {
        let data: Vec<u8> = (0..length).map(|n: usize| n.to_le_bytes()[n % 3] | 1).collect();
        assert_eq!(block_on(file.write_at(&data, 1)).unwrap(), length);
        let mut buffer = vec![0; length];
        assert_eq!(block_on(file.read_at(&mut buffer, 1)).unwrap(), length);
        assert!(buffer == data);
    }
}

fn holes_are_punched_and_found<F: BackingFile>(make: Make<F>) {
    let file = make(tempfile().unwrap()).unwrap();
    block_on(async {
        file.write_at(&[7; 3 << 16], 0).await.unwrap();
        match file.punch_hole(1 << 16, 1 << 16).await {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return,
            done => done.unwrap(),
        }
        let mut buffer = [1; 1 << 16];
        assert_eq!(file.read_at(&mut buffer, 1 << 16).await.unwrap(), 1 << 16);
        assert!(buffer.iter().all(|&byte| byte == 0));
        assert_eq!(file.next_data(0).await.unwrap(), Some(0..1 << 16));
        assert_eq!(file.next_data(1 << 16).await.unwrap(), Some(2 << 16..3 << 16));
        assert_eq!(file.next_data(3 << 16).await.unwrap(), None);
        file.punch_hole(1 << 20, 4096).await.unwrap();
        assert_eq!(file.len().await.unwrap(), 3 << 16, "the length is kept");
    });
}

fn zeros_are_written<F: BackingFile>(make: Make<F>) {
    let file = make(tempfile().unwrap()).unwrap();
    block_on(async {
        file.write_at(&[7; 8192], 0).await.unwrap();
        match file.zero_range(4096, 8192).await {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return,
            done => done.unwrap(),
        }
        let mut buffer = [1; 8192];
        assert_eq!(file.read_at(&mut buffer, 0).await.unwrap(), 8192, "the length is kept");
        assert!(buffer[..4096].iter().all(|&b| b == 7) && buffer[4096..].iter().all(|&b| b == 0));
    });
}

fn errors_keep_their_errno<F: BackingFile>(make: Make<F>) {
    fn errno<T: std::fmt::Debug>(answer: io::Result<T>) -> Option<i32> {
        answer.unwrap_err().raw_os_error()
    }
    use rustix::io::Errno;
    let (bad, invalid) = (Some(Errno::BADF.raw_os_error()), Some(Errno::INVAL.raw_os_error()));
    let named = NamedTempFile::new().unwrap();
    let file = make(File::open(named.path()).unwrap()).unwrap();
    block_on(async {
        assert_eq!(errno(file.write_at(b"x", 0).await), bad);
        assert_eq!(errno(file.write_vectored_at(&[IoSlice::new(b"x")], 0).await), bad);
        assert_eq!(errno(file.punch_hole(0, 4096).await), bad);
        assert_eq!(errno(file.zero_range(0, 4096).await), bad);
        assert_eq!(errno(file.set_len(0).await), invalid);
        assert_eq!(errno(file.read_at(&mut [0], u64::MAX).await), invalid);
        assert_eq!(errno(file.write_at(&[0], 1 << 63).await), invalid);
        assert_eq!(file.read_at(&mut [0], 0).await.unwrap(), 0, "it stays usable");
        file.settle().await;
    });
}

fn several_pieces_are_one_call<F: BackingFile>(make: Make<F>) {
    let file = make(tempfile().unwrap()).unwrap();
    block_on(async {
        let pieces = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdefg")];
        assert_eq!(file.write_vectored_at(&pieces, 3).await.unwrap(), 7);
        let (mut front, mut back) = ([9; 4], [9; 8]);
        let mut pieces = [IoSliceMut::new(&mut front), IoSliceMut::new(&mut back)];
        assert_eq!(file.read_vectored_at(&mut pieces, 2).await.unwrap(), 8, "short");
        assert_eq!(&front, b"\0abc");
        assert_eq!(&back[..5], b"defg\x09");
        let many = vec![IoSlice::new(b"1"); super::MOST_PIECES + 1];
        assert_eq!(file.write_vectored_at(&many, 0).await.unwrap(), super::MOST_PIECES);
        assert_eq!(file.read_vectored_at(&mut [], 0).await.unwrap(), 0);
    });
}

fn more_requests_than_slots<F: BackingFile>(make: Make<F>) {
    let file = make(tempfile().unwrap()).unwrap();
    let data: Vec<_> = (0..1000_u64).map(|number| [number.to_le_bytes(); 64].concat()).collect();
    block_on(async {
        let writes = data.iter().zip(0_u64..).map(|(data, number)| {
            let write = file.write_at(data, number * 512);
            async { assert_eq!(write.await.unwrap(), 512) }
        });
        writes.collect::<FuturesUnordered<_>>().collect::<Vec<()>>().await;
        let reads = data.iter().zip(0_u64..).map(async |(data, number)| {
            let mut buffer = [0; 512];
            assert_eq!(file.read_at(&mut buffer, number * 512).await.unwrap(), 512);
            assert!(buffer[..] == data[..]);
        });
        reads.collect::<FuturesUnordered<_>>().collect::<Vec<()>>().await;
    });
}

/// Reads `buffer` from the device, and checks that it is all `byte`.
async fn expect<D: Device>(device: &D, buffer: MutableBufferRef<'_>, byte: u8) {
    let mut buffer = buffer;
    device.read(4096, buffer.reborrow()).await.unwrap();
    assert!(buffer.as_mut_slice().iter().all(|&found| found == byte));
}

fn a_device_opens_closes_and_opens_again<F: BackingFile>(make: Make<F>) {
    let named = NamedTempFile::new().unwrap();
    named.as_file().set_len(1 << 20).unwrap();
    // Again and again: a lock that is given back late is not noticed every time.
    for byte in 1..20 {
        let options = DeviceOptions::new(4096);
        let device = FileBackedDevice::open_with(&named, options.clone(), make).unwrap();
        let again = FileBackedDevice::open_with(&named, options, make);
        assert!(matches!(again, Err(error) if error.error() == DeviceError::Locked));
        block_on(async {
            let mut buffer = device.allocate_buffer(8192).await.unwrap();
            buffer.as_mut_slice().fill(byte);
            device.write(4096, buffer.as_ref(), WriteOptions::FUA).await.unwrap();
            buffer.as_mut_slice().fill(0);
            expect(&device, buffer.as_mut(), byte).await;
            device.trim(4096, 8192).await.unwrap();
            device.barrier().await.unwrap();
            device.flush().await.unwrap();
            if byte % 2 == 0 {
                device.close().await.unwrap();
            }
        });
    }
}

fn a_device_does_direct_io<F: BackingFile>(make: Make<F>) {
    let named = NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    named.as_file().set_len(1 << 20).unwrap();
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
    let opened = OpenOptions::new().read(true).write(true).custom_flags(direct).open(&named);
    let Ok(file) = opened else { return };
    let file = make(file).unwrap();
    block_on(async {
        assert!(file.alignment().await.unwrap() >= 512);
        let device = FileBackedDevice::new(file, 4096).await.unwrap();
        let mut buffer = device.allocate_buffer(128 << 10).await.unwrap();
        for byte in 1..10 {
            let mut part = buffer.as_mut();
            part.as_mut_slice().fill(byte);
            device.write(4096, buffer.as_ref(), WriteOptions::FUA).await.unwrap();
            buffer.as_mut_slice().fill(0);
            expect(&device, buffer.as_mut(), byte).await;
        }
        device.close().await.unwrap();
    });
}
