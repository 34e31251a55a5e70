//! A file in memory that answers as it is told to.

use crate::exec::yield_now;
use crate::file::BackingFile;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

/// What a raw call is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// As it should be.
    Right,
    /// This error, and nothing is done.
    Error(Errno),
    /// An error of this kind without an errno, and nothing is done.
    Kind(io::ErrorKind),
    /// As it should be, after the call has suspended this many more times.
    Slow(u32),
    /// A transfer stops after this many bytes.
    Short(usize),
    /// A transfer claims this many bytes, and does nothing.
    Claim(usize),
}

/// A raw call that was made: offset and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    Read(u64, usize),
    Write(u64, usize),
    Sync,
    Len,
    Punch(u64, u64),
    Zero(u64, u64),
    Data(u64),
}

/// The file. Every raw call is a scheduling point before it takes effect.
#[derive(Default)]
pub(super) struct Script(Mutex<State>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    answers: VecDeque<Answer>,
    /// What follows when all answers are given.
    forever: Option<Answer>,
    calls: Vec<Raw>,
}

impl State {
    fn clear(&mut self, offset: u64, length: u64) {
        let size = self.bytes.len();
        let at = |offset: u64| usize::try_from(offset).unwrap().min(size);
        self.bytes[at(offset)..at(offset + length)].fill(0);
    }
}

impl Script {
    /// A file of `length` zeros that does everything right.
    pub(super) fn new(length: usize) -> Self {
        Self(Mutex::new(State { bytes: vec![0; length], ..State::default() }))
    }

    /// The next raw calls get these answers, and those after them the right one.
    pub(super) fn plan(&self, answers: &[Answer]) {
        self.lock().answers = answers.iter().copied().collect();
    }

    /// All raw calls from now on get this answer.
    pub(super) fn answer_for_ever(&self, answer: Answer) {
        self.lock().forever = Some(answer);
    }

    /// The raw calls that took effect since the last time.
    pub(super) fn raw_calls(&self) -> Vec<Raw> {
        std::mem::take(&mut self.lock().calls)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    pub(super) fn truncate(&self, length: usize) {
        self.lock().bytes.truncate(length);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Waits for the turn of this call, and finds its answer.
    async fn turn(&self, call: Raw) -> io::Result<(MutexGuard<'_, State>, Answer)> {
        yield_now().await;
        let answer = self.next_answer();
        if let Answer::Slow(times) = answer {
            for _ in 0..times {
                yield_now().await;
            }
        }
        let mut state = self.lock();
        state.calls.push(call);
        match answer {
            Answer::Error(errno) => Err(errno.into()),
            Answer::Kind(kind) => Err(kind.into()),
            answer => Ok((state, answer)),
        }
    }

    fn next_answer(&self) -> Answer {
        let mut state = self.lock();
        let next = state.answers.pop_front().or(state.forever);
        next.unwrap_or(Answer::Right)
    }
}

/// How many of `length` bytes are transferred; or the claim instead.
fn count(answer: Answer, length: usize) -> Result<usize, usize> {
    match answer {
        Answer::Short(most) => Ok(length.min(most)),
        Answer::Claim(count) => Err(count),
        Answer::Right | Answer::Slow(_) | Answer::Error(_) | Answer::Kind(_) => Ok(length),
    }
}

impl BackingFile for Script {
    async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (state, answer) = self.turn(Raw::Read(offset, buffer.len())).await?;
        let start = usize::try_from(offset).unwrap().min(state.bytes.len());
        let left = &state.bytes[start..];
        Ok(count(answer, buffer.len().min(left.len())).map_or_else(
            |claim| claim,
            |count| {
                buffer[..count].copy_from_slice(&left[..count]);
                count
            },
        ))
    }

    async fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let (mut state, answer) = self.turn(Raw::Write(offset, buffer.len())).await?;
        let start = usize::try_from(offset).unwrap();
        Ok(count(answer, buffer.len()).map_or_else(
            |claim| claim,
            |count| {
                let end = state.bytes.len().max(start + count);
                state.bytes.resize(end, 0);
                state.bytes[start..start + count].copy_from_slice(&buffer[..count]);
                count
            },
        ))
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.turn(Raw::Sync).await.map(|_| ())
    }

    async fn sync_all(&self) -> io::Result<()> {
        self.turn(Raw::Sync).await.map(|_| ())
    }

    async fn len(&self) -> io::Result<u64> {
        let (state, _) = self.turn(Raw::Len).await?;
        Ok(state.bytes.len() as u64)
    }

    /// No device may change the length of its file.
    async fn set_len(&self, length: u64) -> io::Result<()> {
        panic!("the device set the length of its file to {length}")
    }

    async fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        let (mut state, _) = self.turn(Raw::Punch(offset, length)).await?;
        state.clear(offset, length);
        Ok(())
    }

    async fn zero_range(&self, offset: u64, length: u64) -> io::Result<()> {
        let (mut state, _) = self.turn(Raw::Zero(offset, length)).await?;
        state.clear(offset, length);
        Ok(())
    }

    /// What is not zero, byte by byte.
    async fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let (state, _) = self.turn(Raw::Data(offset)).await?;
        let from = usize::try_from(offset).unwrap().min(state.bytes.len());
        let Some(start) = state.bytes[from..].iter().position(|&byte| byte != 0) else {
            return Ok(None);
        };
        let start = from + start;
        let end = state.bytes[start..].iter().position(|&byte| byte == 0);
        let end = end.map_or(state.bytes.len(), |length| start + length);
        Ok(Some(start as u64..end as u64))
    }
}
