//! Fixed newstyle negotiation: what a client may ask before it sends requests.

use super::server::Reader;
use super::transmission::MOST_BYTES;
use blocktwin::device::Geometry;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;

const MAGIC: u64 = u64::from_be_bytes(*b"NBDMAGIC");
const OPTION_MAGIC: u64 = u64::from_be_bytes(*b"IHAVEOPT");
const REPLY_MAGIC: u64 = 0x3_e889_0455_65a9;

/// Flags of the handshake, of server and client.
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

const OPTION_EXPORT_NAME: u32 = 1;
const OPTION_ABORT: u32 = 2;
const OPTION_LIST: u32 = 3;
const OPTION_INFO: u32 = 6;
const OPTION_GO: u32 = 7;

const REPLY_ACK: u32 = 1;
const REPLY_SERVER: u32 = 2;
const REPLY_INFO: u32 = 3;
const ERROR_UNSUPPORTED: u32 = 1 << 31 | 1;
const ERROR_INVALID: u32 = 1 << 31 | 3;
const ERROR_UNKNOWN: u32 = 1 << 31 | 6;
const ERROR_TOO_BIG: u32 = 1 << 31 | 9;

const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// Flags of an export.
const HAS_FLAGS: u16 = 1 << 0;
const READ_ONLY: u16 = 1 << 1;
const SEND_FLUSH: u16 = 1 << 2;
const SEND_FUA: u16 = 1 << 3;
const SEND_TRIM: u16 = 1 << 5;
const SEND_WRITE_ZEROES: u16 = 1 << 6;
const CAN_MULTI_CONN: u16 = 1 << 8;

/// The longest option that is looked at, in bytes: a name of 4096 and some wishes.
const LONGEST_OPTION: u32 = 8 << 10;

/// What a client that is fond of longer ones may still send, to be told that they are too big.
const LONGEST_IGNORED: u32 = 1 << 20;

/// A client that asks more than this only keeps the server busy.
const MOST_OPTIONS: u32 = 1000;

/// What is told of the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Export {
    pub(crate) size: u64,
    pub(crate) block_size: u32,
    flags: u16,
}

impl Export {
    pub(crate) fn of(geometry: Geometry, is_read_only: bool) -> Self {
        let changes = SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES;
        // A flush of one connection is one of the device, hence of what all others were told.
        let flags = HAS_FLAGS | SEND_FLUSH | CAN_MULTI_CONN;
        let flags = flags | if is_read_only { READ_ONLY } else { changes };
        Self { size: geometry.size(), block_size: geometry.block_size(), flags }
    }
}

/// How a negotiation ended.
pub(crate) enum Agreed {
    /// Requests follow.
    Serve,
    /// The client has seen enough.
    Leave,
}

/// What the answer to an option leads to.
enum Next {
    Option,
    End(Agreed),
}

/// Answers the options of a client until it wants to be served, or to leave.
pub(crate) async fn negotiate(
    reader: &mut Reader,
    writer: &mut OwnedWriteHalf,
    export: Export,
) -> io::Result<Agreed> {
    let mut greeting = Vec::from(MAGIC.to_be_bytes());
    greeting.extend(OPTION_MAGIC.to_be_bytes());
    greeting.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    writer.write_all(&greeting).await?;
    let flags = match reader.read_u32().await {
        // Somebody wanted to know whether there is a server.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Agreed::Leave),
        flags => flags?,
    };
    if flags & !u32::from(FIXED_NEWSTYLE | NO_ZEROES) != 0 {
        return Err(invalid("flags of a client that are not known"));
    }
    let pads = flags & u32::from(NO_ZEROES) == 0;
    for _ in 0..MOST_OPTIONS {
        if let Next::End(agreed) = answer(reader, writer, export, pads).await? {
            return Ok(agreed);
        }
    }
    Err(invalid("too many options"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads one option and answers it.
async fn answer(
    reader: &mut Reader,
    writer: &mut OwnedWriteHalf,
    export: Export,
    pads: bool,
) -> io::Result<Next> {
    let magic = match reader.read_u64().await {
        // Not polite, but usual.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(Next::End(Agreed::Leave));
        }
        magic => magic?,
    };
    if magic != OPTION_MAGIC {
        return Err(invalid("not an option"));
    }
    let (option, length) = (reader.read_u32().await?, reader.read_u32().await?);
    let mut data = Vec::new();
    let mut limited = reader.take(length.min(LONGEST_OPTION).into());
    if limited.read_to_end(&mut data).await? < length.min(LONGEST_OPTION) as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut answers = Answers { option, bytes: Vec::new() };
    let next = if length > LONGEST_OPTION {
        if length > LONGEST_IGNORED || option == OPTION_EXPORT_NAME {
            return Err(invalid("an option of excessive length"));
        }
        skip(reader, (length - LONGEST_OPTION).into()).await?;
        answers.add(ERROR_TOO_BIG, &[]);
        Next::Option
    } else {
        answers.answer(&data, export, pads)?
    };
    writer.write_all(&answers.bytes).await?;
    Ok(next)
}

/// Reads `length` bytes that nobody wants.
pub(crate) async fn skip(reader: &mut Reader, length: u64) -> io::Result<()> {
    let copied = tokio::io::copy_buf(&mut reader.take(length), &mut tokio::io::sink()).await?;
    if copied < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// What an option is answered.
struct Answers {
    option: u32,
    bytes: Vec<u8>,
}

impl Answers {
    fn add(&mut self, kind: u32, data: &[u8]) {
        let Ok(length) = u32::try_from(data.len()) else { unreachable!("answers are short") };
        self.bytes.extend(REPLY_MAGIC.to_be_bytes());
        self.bytes.extend([self.option, kind, length].map(u32::to_be_bytes).concat());
        self.bytes.extend(data);
    }

    fn answer(&mut self, data: &[u8], export: Export, pads: bool) -> io::Result<Next> {
        match self.option {
            // The one option that cannot be answered with an error.
            OPTION_EXPORT_NAME if !data.is_empty() => Err(invalid("an export of another name")),
            OPTION_EXPORT_NAME => {
                self.bytes.extend(export.size.to_be_bytes());
                self.bytes.extend(export.flags.to_be_bytes());
                self.bytes.extend(pads.then_some([0; 124]).into_iter().flatten());
                Ok(Next::End(Agreed::Serve))
            }
            OPTION_ABORT => {
                self.add(REPLY_ACK, &[]);
                Ok(Next::End(Agreed::Leave))
            }
            OPTION_LIST if data.is_empty() => {
                // One export, whose name is empty.
                self.add(REPLY_SERVER, &0_u32.to_be_bytes());
                self.add(REPLY_ACK, &[]);
                Ok(Next::Option)
            }
            OPTION_LIST => Ok(self.refuse(ERROR_INVALID)),
            OPTION_INFO | OPTION_GO => Ok(self.describe(data, export)),
            _ => Ok(self.refuse(ERROR_UNSUPPORTED)),
        }
    }

    fn refuse(&mut self, error: u32) -> Next {
        self.add(error, &[]);
        Next::Option
    }

    /// Tells of an export, and begins to serve it where that is wanted.
    fn describe(&mut self, data: &[u8], export: Export) -> Next {
        match export_name(data) {
            None => return self.refuse(ERROR_INVALID),
            Some(name) if !name.is_empty() => return self.refuse(ERROR_UNKNOWN),
            Some(_) => {}
        }
        let mut info = Vec::from(INFO_EXPORT.to_be_bytes());
        info.extend(export.size.to_be_bytes());
        info.extend(export.flags.to_be_bytes());
        self.add(REPLY_INFO, &info);
        // Whether asked for or not: who does not heed them meets errors.
        let sizes = [export.block_size, export.block_size.max(4096), MOST_BYTES];
        let mut info = Vec::from(INFO_BLOCK_SIZE.to_be_bytes());
        info.extend(sizes.map(u32::to_be_bytes).concat());
        self.add(REPLY_INFO, &info);
        self.add(REPLY_ACK, &[]);
        if self.option == OPTION_GO { Next::End(Agreed::Serve) } else { Next::Option }
    }
}

/// The name in the data of an option that wants an export; what else it wants is told anyway.
fn export_name(data: &[u8]) -> Option<&[u8]> {
    let (length, rest) = data.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (name, rest) = rest.split_at_checked(length)?;
    let (count, wishes) = rest.split_first_chunk()?;
    (wishes.len() == 2 * usize::from(u16::from_be_bytes(*count))).then_some(name)
}
