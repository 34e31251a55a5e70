//! What lives in the zoo, class by class.

use super::Variant::{
    Bounds, Cache, Calls, Contention, Direct, Drains, FairLock, Headers, Limits, LockOutlivesCrash,
    Plain, PunchHole, RealFile, Sequences, SizeFromFile, SizedAtOpen, Syncs, Vectored, WriteBack,
    Zeroes,
};
use super::drains::Bug as D;
use super::fair_lock::Bug as F;
use super::{Class, ZooDevice};
use super::{bounds::Bug as B, cache::Bug as K, calls::Bug as C, contention::Bug as T};
use super::{
    headers::Bug as H, limits::Bug as L, plain::Bug as P, sequences::Bug as Q, syncs::Bug as S,
};
use super::{real_file::Way, vectored::Bug as V, write_back::Bug as W, zeroes::Bug as Z};

/// The entry of that name.
pub(crate) fn find(name: &str) -> Option<&'static ZooDevice> {
    catalogue().find(|entry| entry.name == name)
}

/// Every device of the zoo.
pub(crate) fn catalogue() -> impl Iterator<Item = &'static ZooDevice> {
    CATALOGUE.iter().chain(super::shapes::SHAPES.iter().copied().flatten())
}

/// One entry of two lines each; rustfmt would make it seven.
macro_rules! catalogue {
    ($($class:ident { $($name:literal $variant:expr, $origin:literal;)* })*) => {
        &[$($(
            ZooDevice { name: $name, class: Class::$class, origin: $origin, variant: $variant }
        ),*),*]
    };
}

static CATALOGUE: &[ZooDevice] = catalogue! {
    Durability {
        "fsync-no-op" Calls(C::SyncNoOp),
            "File::flush() taken for fsync: it is a no-op on std::fs::File";
        "flush-no-op" Syncs(S::FlushNoOp),
            "a flush that VMMs answered without a sync, as it were only a cache hint";
        "flush-of-old-handle" Calls(C::SyncOfOldHandle),
            "the handle that is synced is not the one that is written to: classic";
        "fua-ignored" Syncs(S::FuaIgnored),
            "a flag dropped on the way down: classic";
        "fua-syncs-first" Syncs(S::FuaSyncsFirst),
            "sync before the write instead of after it: classic";
        "dirty-cleared-early" Syncs(S::DirtyClearedEarly),
            "a flush that clears what a write under way has set";
        "error-marks-clean" Syncs(S::ErrorMarksClean),
            "an engine that marked its file clean after a transient I/O error";
        "close-without-sync" Syncs(S::CloseWithoutSync),
            "close(2) taken for a sync: classic";
        "flush-joins-another" Syncs(S::FlushJoinsAnother),
            "group commit that joins a sync which began before the write";
        "second-flush-lies" Syncs(S::FlushLiesAfterFailure),
            "fsyncgate, 2018: the error is told once, and the next flush says Ok";
        "failed-sync-forgotten" Plain(Some(P::FailedSyncForgotten)),
            "PostgreSQL until 2018: a failed fsync is retryable";
        "failed-sync-unheard" Plain(Some(P::FailedSyncUnheard)),
            "a cancelled fsync takes its error with it; FileBackedDevice had it until 2026";
        "failed-sync-writes-go-on" Plain(Some(P::WritesGoOnAfterFailedSync)),
            "fsyncgate, seen from the writers";
        "syncs-unserialised" Plain(Some(P::SyncsUnserialised)),
            "the kernel reports to one caller only; the other one's sync is Ok";
        "checkpoint-taken-for-flush" Sequences(Q::CheckpointTakenForFlush),
            "a flush skipped after a checkpoint, which was to have synced everything";
        "zeroes-fua-ignored" Zeroes(Z::FuaIgnored),
            "FUA honoured by the write path, and not by the one beside it: classic";
        "zeroes-leave-clean" Zeroes(Z::LeavesClean),
            "a dirty flag that writes set and nothing else does: flushes are skipped";
        "trim-fua-ignored" Drains(D::TrimFuaIgnored),
            "NBD_CMD_FLAG_FUA on a trim dropped, as trims are only advice: classic";
        "trim-fua-syncs-first" Drains(D::TrimFuaSyncsFirst),
            "a flush before the discard instead of after it: classic";
        "unchanged-not-synced" Plain(Some(P::UnchangedNotSynced)),
            "a write of what is there already is skipped, and its FUA with it: write elision";
        "sequence-of-8-bits" Limits(L::SequenceWraps),
            "`newer than` without wrap-around: a generation in a byte is older after 256 writes";
    }
    Ordering {
        "barrier-no-op" Syncs(S::BarrierNoOp),
            "a layer in the stack that drops barriers: classic";
        "barrier-late" Syncs(S::BarrierLate),
            "a barrier on the wrong side of the write: classic";
        "barrier-lost-after-reopen" Syncs(S::BarrierLostAfterReopen),
            "a feature negotiated once, and not again after a reset";
        "barrier-ignores-cache" WriteBack(Some(W::BarrierIgnoresIt)),
            "ordering kept beneath a cache, and not through it";
    }
    ShortIo {
        "vectored-write-restarts-piece" Vectored(V::ShortWriteRestartsPiece),
            "pwritev resumed by whole segments only: IoSlice without advance, classic";
        "vectored-read-restarts-piece" Vectored(V::ShortReadRestartsPiece),
            "preadv resumed by whole segments only: classic";
        "vectored-empty-piece-ends" Vectored(V::EmptyPieceEnds),
            "a guest's descriptor of no bytes taken for the end of the chain";
        "vectored-fourth-piece-lost" Vectored(V::FourthPieceLost),
            "an array of segments that is one too short: classic";
        "short-write-ignored" Calls(C::ShortWriteIgnored),
            "the count of pwrite(2) not looked at: CERT FIO, classic";
        "short-write-rounded-up" Calls(C::ShortWriteRoundedUp),
            "counts kept in sectors, rounded the wrong way";
        "short-write-from-start" Plain(Some(P::WriteResumedFromStart)),
            "the offset is advanced and the buffer is not: classic";
        "short-write-past-sector" Plain(Some(P::WriteResumedPastSector)),
            "the torn sector is taken for written";
        "short-write-in-sector" Plain(Some(P::WriteResumedInSector)),
            "resumed at an odd byte: std's write_all_at";
        "no-last-attempt" Plain(Some(P::NoLastAttempt)),
            "an error after a short write leaves a sector torn";
        "stuck-write-believed" Plain(Some(P::StuckIsDone)),
            "a bounded retry loop that ends in success when its attempts are used up: classic";
        "short-read-ignored" Calls(C::ShortReadIgnored),
            "the count of pread(2) not looked at: classic";
        "short-read-is-eof" Calls(C::ShortReadIsEndOfFile),
            "a short read taken for the end of the file: classic";
        "short-read-from-start" Plain(Some(P::ReadResumedAtStart)),
            "the offset is advanced and the buffer is not: classic";
        "eof-is-error" Plain(Some(P::EndOfFileIsError)),
            "a sparse image shorter than its disk";
        "eof-not-zeroed" Plain(Some(P::EndOfFileNotZeroed)),
            "memory of other requests past the end of the file";
    }
    Transient {
        "eintr-surfaced-by-sync" Calls(C::EintrSurfacedBySync),
            "EINTR is an error like any other: classic";
        "eintr-surfaced-by-read" Calls(C::EintrSurfacedByRead),
            "EINTR is an error like any other: classic";
        "eintr-surfaced-by-write" Calls(C::EintrSurfacedByWrite),
            "EINTR is an error like any other: classic";
        "eintr-ends-read" Calls(C::EintrEndsRead),
            "a loop left by break where it should continue";
        "eagain-is-done" Calls(C::AgainIsDone),
            "a write that was to be tried again taken for one under way";
        "eintr-ends-write" Calls(C::EintrEndsWrite),
            "a loop left by break where it should continue";
        "eintr-ends-sync" Calls(C::EintrEndsSync),
            "a loop left by break where it should continue";
        "eintr-advances-write" Calls(C::EintrAdvancesWrite),
            "the offset is advanced before the result is looked at";
        "eintr-loops-forever" Plain(Some(P::EintrLoopsForever)),
            "a retry with nothing left to write";
        "write-zero-retried" Calls(C::WriteZeroRetried),
            "a loop around a write that returns 0: classic";
    }
    Loud {
        "sync-error-swallowed" Calls(C::SyncErrorSwallowed),
            "the result of fsync not looked at: classic";
        "sync-retried" Calls(C::SyncRetried),
            "fsync repeated until it says Ok: what fsyncgate was about";
        "sync-no-space-retried" Calls(C::SyncNoSpaceRetried),
            "ENOSPC of a sync taken for one that passes: the pages are clean by then";
        "flush-error-swallowed" Syncs(S::FlushErrorSwallowed),
            "an error logged and dropped";
        "barrier-error-swallowed" Syncs(S::BarrierErrorSwallowed),
            "an error logged and dropped";
        "fua-error-swallowed" Syncs(S::FuaErrorSwallowed),
            "an error logged and dropped";
        "close-error-swallowed" Syncs(S::CloseErrorSwallowed),
            "a destructor that cannot fail";
        "read-error-swallowed" Calls(C::ReadErrorSwallowed),
            "zeros instead of an error";
        "read-error-retried" Calls(C::ReadErrorRetried),
            "EIO retried until it goes away, and never told";
        "write-error-swallowed" Calls(C::WriteErrorSwallowed),
            "an error logged and dropped";
        "write-errno-lost" Calls(C::WriteErrnoLost),
            "every failure becomes EIO, so that no guest pauses on ENOSPC";
        "trim-error-swallowed" Calls(C::PunchErrorSwallowed),
            "discard is only advice, and so is EIO";
        "trim-errno-lost" Calls(C::PunchErrnoLost),
            "EOPNOTSUPP told as EIO, upon which a guest takes its disk offline";
        "no-space-retried" Calls(C::NoSpaceRetried),
            "ENOSPC retried until there is space";
        "no-space-poisons" Bounds(B::NoSpacePoisons),
            "a full disk taken for a failed one";
        "sync-failure-ends-reads" Bounds(B::ReadsRefusedAfterSyncFailure),
            "reads refused although they harm nobody";
    }
    Bounds {
        "zeroes-by-trim" Zeroes(Z::Trimmed),
            "discard_zeroes_data: a discard trusted to leave zeros, until Linux 4.12";
        "zeroes-whole-pages" Zeroes(Z::PagesOnly),
            "rounded to what the file system clears at once, and the ends forgotten";
        "zeroes-tail-left" Zeroes(Z::TailLeft),
            "the rest of a division by the size of a piece: classic";
        "last-block-refused" Bounds(B::LastBlockRefused),
            "off by one at the last block: classic";
        "overflow-accepted" Bounds(B::OverflowAccepted),
            "offset + length wraps around: classic";
        "overflow-panics" Bounds(B::OverflowPanics),
            "offset + length with overflow checks: a guest stops its VMM";
        "misaligned-trim-rounded" Bounds(B::MisalignedTrimRounded),
            "rounded instead of refused";
        "read-only-ignored" Bounds(B::ReadOnlyIgnored),
            "a flag dropped on the way down: classic";
        "used-after-close" Bounds(B::UsedAfterClose),
            "close that is only a flush";
        "second-close-fails" Bounds(B::SecondCloseFails),
            "close that is not idempotent";
        "four-blocks-cut-short" Bounds(B::FourBlocksCutShort),
            "wrong on lengths of exactly N blocks: classic";
        "cut-at-one-mebibyte" Limits(L::CutAtMebibyte),
            "a request cut to what one bio or iovec takes (256 pages), and the rest never sent";
        "trim-clamped" Bounds(B::TrimClamped),
            "a trim past the end cut to fit";
        "trim-one-too-many" Bounds(B::TrimOneTooMany),
            "an inclusive end: classic";
        "trim-one-too-few" Bounds(B::TrimOneTooFew),
            "an exclusive end, twice: classic";
        "trim-rounded-outward" Bounds(B::TrimRounded),
            "a discard rounded outward to clusters";
        "trim-delayed" Bounds(B::TrimDelayed),
            "a delayed hole punch that erased what was written since";
        "offset-31-bits" Calls(C::OffsetBits(31)),
            "off_t of 32 bits: classic";
        "offset-32-bits" Calls(C::OffsetBits(32)),
            "an offset kept in a u32: classic";
        "zeros-as-trim" Plain(Some(P::ZerosAsTrim)),
            "detect-zeroes=unmap over a discard that need not leave zeros";
        "offset-40-bits" Calls(C::OffsetBits(40)),
            "an offset packed into 5 bytes";
        "offset-44-bits" Calls(C::OffsetBits(44)),
            "32-bit numbers of 4 KiB blocks: ext4 without 64bit ends at 16 TiB";
    }
    Caching {
        "cache-stale-after-trim" Cache(Some(K::StaleAfterTrim)),
            "an invalidation forgotten on the rare path: classic";
        "cache-stale-after-write" Cache(Some(K::StaleAfterWrite)),
            "only the first block of a write invalidated: classic";
        "zeros-skipped" Plain(Some(P::ZerosSkipped)),
            "zeros left out for the sake of a sparse image, also where it had been written: cp";
        "zeros-by-sample" Plain(Some(P::ZerosBySample)),
            "a write is taken for zeros by a look at its beginning";
        "cache-stale-after-reopen" Cache(Some(K::StaleAfterReopen)),
            "a cache saved at close, older than the disk after a crash";
        "cache-served-after-crash" Cache(Some(K::ServedAfterCrash)),
            "read-ahead that outlives the power failure of what is beneath";
        "cache-holds-failed-write" Cache(Some(K::FailedWriteCached)),
            "the cache is filled before the write, and not emptied after it";
        "cache-stale-after-failed-write" Cache(Some(K::StaleAfterFailedWrite)),
            "a write that failed is taken to have changed nothing, and may have landed";
        "cache-fill-overtaken" Cache(Some(K::FillOvertaken)),
            "a fill that a write overtakes: the classic race of look-aside caches";
        "read-ahead-stale" Sequences(Q::ReadAheadStale),
            "a write into the middle of what was read ahead: classic";
        "write-back-lost-on-close" WriteBack(Some(W::DroppedOnClose)),
            "a cache dropped with its device";
        "write-back-clean-too-soon" WriteBack(Some(W::CleanBeforeWritten)),
            "clean before it is written: Linux marks pages so on EIO";
        "write-back-error-swallowed" WriteBack(Some(W::ErrorSwallowed)),
            "a background write fails, and nobody is told";
        "write-back-not-read" WriteBack(Some(W::ReadPastIt)),
            "reads that go past a dirty cache: O_DIRECT beside buffered I/O";
    }
    Concurrency {
        "drain-at-once" Drains(D::AtOnce),
            "a method that is there for the trait's sake, and does nothing: classic";
        "drain-taken-for-flush" Drains(D::TakenForFlush),
            "bdrv_flush where bdrv_drain is meant: a snapshot of an image still written to";
        "drain-waits-for-one" Drains(D::WaitsForOne),
            "`if` where `while` is meant: the first completion ends the wait";
        "drain-forgets-reads" Drains(D::ReadsForgotten),
            "a count of writes under way, and memory that is freed under a read: classic";
        "drain-not-forwarded" Drains(D::NotForwarded),
            "a layer around the device that leaves a method to its default: classic";
        "ring-loses-last" Limits(L::RequestLost(1024)),
            "a ring that loses the entry at which it wraps around: off by one, classic";
        "queue-of-twelve" Limits(L::QueueOfTwelve),
            "a submission queue that is full, and nobody looks: io_uring_get_sqe gives NULL";
        "shared-cursor" Calls(C::SharedCursor),
            "lseek and read instead of pread: classic";
        "page-unlocked" Contention(T::PageUnlocked),
            "read-modify-write without a lock: classic";
        "page-lock-too-narrow" Contention(T::PageLockTooNarrow),
            "only the first page of a request is locked";
        "sums-of-racing-sectors" Contention(T::SumsOfRacingSectors),
            "a checksum checked against a read that saw a write in part: btrfs, uncopied";
        "bounce-buffer-shared" Contention(T::BounceBufferShared),
            "two requests in one buffer: classic";
        "bounce-buffer-on-loan" Contention(T::BounceBufferUnderLoan),
            "a second buffer asked for while holding one: deadlock in a full heap";
        "buffer-leak-when-dropped" Contention(T::BufferLeakedWhenDropped),
            "cancellation is the path without tests";
        "buffer-leak-on-error" Contention(T::BufferLeakedOnError),
            "an early return before the release: classic";
        "lock-order" Contention(T::LocksInBothOrders),
            "flush and write take two locks, each in its own order: classic";
        "lock-kept-when-dropped" Contention(T::LockKeptWhenDropped),
            "a flag instead of a guard: classic in async code";
        "wake-up-lost" Contention(T::WakeUpLost),
            "one slot for the wakers of many: AtomicWaker misused";
        "queue-jumped" Contention(T::QueueJumped),
            "a fast path past those who wait: barging, as unfair locks have it";
        "first-waker-kept" FairLock(Some(F::FirstWakerKept)),
            "a waker stored at the first poll and not renewed: classic in futures by hand";
        "needless-poll-believed" FairLock(Some(F::NeedlessPollTakenForTurn)),
            "a second poll taken for the wake-up: a future by hand without a flag";
        "turn-lost-when-dropped" FairLock(Some(F::TurnLostWhenDropped)),
            "a lock handed to a future that is dropped before it sees it: classic of fair locks";
    }
    Reopen {
        "size-from-file" SizeFromFile,
            "the size of a sparse file taken for the size of the disk";
        "sized-at-open" SizedAtOpen,
            "ftruncate to the size asked for: cuts off what lies behind a partition";
        "header-at-close-only" Headers(H::WrittenAtCloseOnly),
            "a stale header after a crash";
        "header-one-flush-late" Headers(H::OneFlushLate),
            "growth is not durable when what relies on it is";
        "flush-lost-after-reopen" Syncs(S::FlushLostAfterReopen),
            "a feature negotiated once, and not again after a reset";
        "lock-outlives-crash" LockOutlivesCrash,
            "a lock file instead of a lock: classic";
        "clean-after-kill" Calls(C::SyncOfOwnWritesOnly),
            "a dirty flag in memory: what a killed process left in the page cache is never synced";
    }
    Silent {
        "word-reversed" Calls(C::WordReversed),
            "byte order, for one length";
        "copy-off-by-one" Calls(C::CopyOffByOne),
            "a copy that begins one byte late, from the second sector on";
        "sectors-swapped" Calls(C::SectorsSwapped),
            "neighbours swapped in transfers of four: a scatter list out of order";
        "third-boot" Calls(C::SyncNoOpAfterTwoCrashes),
            "shows only after two crashes";
    }
    Legal {
        "write-through" Syncs(S::WriteThrough),
            "every write is durable when it returns";
        "write-back" WriteBack(None),
            "a cache that honours the contract";
        "read-cache" Cache(None),
            "what was read is kept in memory until it is written";
        "fair-lock" FairLock(None),
            "a lock that is handed over on release, also by a future that is dropped";
        "punch-hole" PunchHole,
            "every trim punches a hole";
        "file-direct" Direct,
            "a file with O_DIRECT, as long as the device, under the real device";
        "sector-pieces" Calls(C::SectorPieces),
            "no call writes more than one sector";
        "plain" Plain(None),
            "the contract, written a second time";
        "by-name" RealFile(Way::ByName),
            "a real file, opened by its name and locked; no fault reaches it";
        "in-hand" RealFile(Way::InHand),
            "a real file, shared with whoever opened it; no fault reaches it";
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_origins_are_told() {
        let mut names: Vec<_> = CATALOGUE.iter().map(|it| it.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(CATALOGUE.iter().all(|it| !it.origin.is_empty()));
        assert!(find("file").is_none(), "that is the real device");
    }
}
