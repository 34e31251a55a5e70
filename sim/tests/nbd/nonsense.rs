//! Clients that do not keep to the protocol, and servers that cannot start.

use super::client::{Client, FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES};
use super::server::{PATIENCE, Place, Server, ios};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

const NOT_PERMITTED: u32 = 1;
const INVALID: u32 = 22;
const NO_SPACE: u32 = 28;

const SIZE: u64 = 1 << 20;

/// Whether the server has hung up, whatever it says before.
async fn hangs_up(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    // It may hang up before it has read everything, which resets the connection.
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.is_ok()
}

/// Requests that make no sense, and the errors that they get.
const REFUSED: [((u16, u16), u64, u32, u32); 15] = [
    ((READ, 0), SIZE, 512, INVALID),
    ((READ, 0), u64::MAX - 511, 512, INVALID),
    ((READ, 0), 1, 512, INVALID),
    ((READ, 0), 0, 513, INVALID),
    ((READ, 0), 0, (32 << 20) + 512, INVALID),
    ((READ, 0), 0, u32::MAX, INVALID),
    ((READ, 1 << 15), 0, 512, INVALID),
    ((FLUSH, 0), 512, 512, INVALID),
    ((TRIM, 0), SIZE, 512, INVALID),
    ((TRIM, FUA), 0, u32::MAX - 511, INVALID),
    ((TRIM, 2), 0, 512, INVALID),
    ((WRITE_ZEROES, 0), SIZE - 512, 1024, NO_SPACE),
    ((WRITE_ZEROES, 1 << 4), 0, 512, INVALID),
    ((5, 0), 0, 512, INVALID),
    ((u16::MAX, u16::MAX), u64::MAX, u32::MAX, INVALID),
];

#[tokio::test]
async fn nonsense_is_refused_and_the_rest_served() {
    for io in ios() {
        let place = Place::new();
        let image = place.image("image", SIZE);
        let server = Server::start(&place, &image, io, &[]).await;
        let mut client = Client::connect(&place).await;
        for (what, offset, length, error) in REFUSED {
            let answered = client.call(what, offset, length, &[]).await.expect("an answer");
            assert_eq!(answered, error, "{what:?} of {length} at {offset}");
        }
        let writes = [(SIZE, 512, 0, NO_SPACE), (7, 512, 0, INVALID), (0, 512, 1 << 3, INVALID)];
        for (offset, length, flags, error) in writes {
            let data = vec![9; length as usize];
            let answered = client.call((WRITE, flags), offset, length, &data).await;
            assert_eq!(answered.expect("an answer"), error, "a write at {offset}");
        }
        let large = vec![9; (32 << 20) + 512];
        let length = u32::try_from(large.len()).expect("it fits");
        assert_eq!(client.call((WRITE, 0), 0, length, &large).await.expect("an answer"), INVALID);
        // After all that, the device is as it was, and in order.
        assert_eq!(client.call((FLUSH, FUA), 0, 0, &[]).await.expect("an answer"), 0);
        let all = client.read(0, 1 << 20).await.expect("an answer");
        assert!(all.iter().all(|&byte| byte == 0));
        // What cannot be a request ends the connection, and no other.
        let mut other = Client::connect(&place).await;
        client.stream.write_all(&[0xee; 28]).await.expect("a server that listens");
        assert!(hangs_up(&mut client.stream).await);
        assert_eq!(other.call((WRITE, FUA), 0, 512, &[1; 512]).await.expect("an answer"), 0);
        server.stop().await;
    }
}

#[tokio::test]
async fn nonsense_in_a_negotiation_ends_it() {
    let place = Place::new();
    let image = place.image("image", SIZE);
    let server = Server::start(&place, &image, "std", &[]).await;
    let flags = [0, 0, 0, 3];
    let name = [&flags[..], b"IHAVEOPT", &[0, 0, 0, 1]].concat();
    for said in [
        vec![0xff; 4],
        [&flags[..], b"IHAVENOT", &[0; 8]].concat(),
        [&name[..], &[0, 0, 0, 5], b"other"].concat(),
        [&name[..], &[0xff; 4]].concat(),
        [&flags[..], b"IHAVEOPT", &[0, 0, 0, 7], &[0xff; 4]].concat(),
    ] {
        let mut stream = Client::greet(&place).await;
        stream.write_all(&said).await.expect("a server that listens");
        stream.write_all(&vec![0; 9 << 10]).await.unwrap_or_default();
        assert!(hangs_up(&mut stream).await, "{said:?}");
    }
    // What is only not known, or badly put, is refused, and the next option heard.
    let mut stream = Client::greet(&place).await;
    stream.write_all(&flags).await.expect("a server that listens");
    let bad_name = [0xff, 0xff, 0xff, 0xff, 0, 0];
    let options: [(u32, &[u8], u32); 5] = [
        (7, &bad_name, 1 << 31 | 3),
        (6, &[0, 0, 0, 1, b'x', 0, 0], 1 << 31 | 6),
        (8, &[], 1 << 31 | 1),
        (3, &[0], 1 << 31 | 3),
        (4711, &[0; 9000], 1 << 31 | 9),
    ];
    for (option, data, error) in options {
        let length = u32::try_from(data.len()).expect("it fits").to_be_bytes();
        let said = [b"IHAVEOPT", &option.to_be_bytes()[..], &length, data].concat();
        stream.write_all(&said).await.expect("a server that listens");
        assert_eq!(stream.read_u64().await.expect("an answer"), 0x3_e889_0455_65a9);
        assert_eq!(stream.read_u32().await.expect("an answer"), option);
        assert_eq!(stream.read_u32().await.expect("an answer"), error, "option {option}");
        assert_eq!(stream.read_u32().await.expect("an answer"), 0);
    }
    // One who only looks on does not keep the server from stopping.
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_may_not_write_does_not() {
    for io in ios() {
        let place = Place::new();
        let image = place.image("image", SIZE);
        let server = Server::start(&place, &image, io, &["--read-only"]).await;
        let mut client = Client::connect(&place).await;
        for what in [(TRIM, 0), (WRITE_ZEROES, 0)] {
            let answered = client.call(what, 0, 512, &[]).await.expect("an answer");
            assert_eq!(answered, NOT_PERMITTED);
        }
        let answered = client.call((WRITE, 0), 0, 512, &[1; 512]).await.expect("an answer");
        assert_eq!(answered, NOT_PERMITTED);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_server_takes_no_place_of_another() {
    let place = Place::new();
    let (image, other) = (place.image("image", SIZE), place.image("other", SIZE));
    let odd = place.image("odd", SIZE + 1);
    let server = Server::start(&place, &image, "std", &[]).await;
    assert!(Server::fail(&place, &other, &[]).await.contains("another server is listening"));
    assert!(Server::fail(&place, &image, &[]).await.contains("locked"));
    assert!(Server::fail(&place, &odd, &[]).await.contains("whole number"));
    // The socket is still the first one's.
    Client::connect(&place).await;
    server.stop().await;
    std::fs::write(place.path("socket"), "a letter").expect("a file");
    assert!(Server::fail(&place, &image, &[]).await.contains("no socket"));
    assert_eq!(std::fs::read(place.path("socket")).expect("a file"), b"a letter");
}
