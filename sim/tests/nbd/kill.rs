//! A server that is killed under load: what was flushed is there.

use super::client::{Client, FLUSH, FUA, WRITE};
use super::server::{Place, Server, ios};
use std::io;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Each client writes to blocks of its own.
const CLIENTS: usize = 4;
const BLOCKS: u64 = 32;
const BLOCK: u32 = 4096;

/// So often a server is killed.
const KILLS: u64 = 4;

/// How far the writes of a client have come. Round *n* writes *n* to all its blocks.
#[derive(Clone, Copy, Debug, Default)]
struct Rounds {
    /// The last that was begun.
    begun: u64,
    /// The last whose writes were durable, as the client was told.
    durable: u64,
}

/// A block says in every word whose it is, which one, and in what round it was written.
fn content(client: u64, block: u64, round: u64) -> Vec<u8> {
    let word = client << 56 | block << 40 | round;
    word.to_le_bytes().repeat(BLOCK as usize / 8)
}

fn offset(client: u64, block: u64) -> u64 {
    (client * BLOCKS + block) * u64::from(BLOCK)
}

/// Writes rounds until the server is gone.
async fn write(place: &Place, client: u64, rounds: &mut Rounds) -> io::Result<()> {
    let mut connection = Client::connect(place).await;
    loop {
        rounds.begun += 1;
        // By turns, either way to have it durable.
        let fua = rounds.begun.is_multiple_of(2);
        for block in 0..BLOCKS {
            let data = content(client, block, rounds.begun);
            let what = (WRITE, if fua { FUA } else { 0 });
            connection.send(what, offset(client, block), BLOCK, &data).await?;
        }
        for _ in 0..BLOCKS {
            assert_eq!(connection.answer().await?.1, 0);
        }
        if !fua {
            assert_eq!(connection.call((FLUSH, 0), 0, 0, &[]).await?, 0);
        }
        rounds.durable = rounds.begun;
    }
}

/// Asserts that each block is of a round that it may be of, sector by sector.
async fn check(place: &Place, client: u64, rounds: Rounds) {
    let mut connection = Client::connect(place).await;
    for block in 0..BLOCKS {
        let data = connection.read(offset(client, block), BLOCK).await.expect("a block");
        let legal: Vec<_> = (rounds.durable..=rounds.begun)
            .map(|round| if round == 0 { vec![0; 4096] } else { content(client, block, round) })
            .collect();
        for (sector, place) in data.chunks(512).zip((0..).step_by(512)) {
            let is_legal = legal.iter().any(|legal| &legal[place..place + 512] == sector);
            let word = &sector[..8];
            assert!(is_legal, "block {block} of client {client} at {place}: {word:?}, {rounds:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_flushed_survives_a_kill() {
    for io in ios() {
        let place = std::sync::Arc::new(Place::new());
        let image = place.image("image", offset(CLIENTS as u64, 0));
        let mut rounds = [Rounds::default(); CLIENTS];
        for turn in 0..KILLS {
            // In place of a socket that the one before has left, from the second turn on.
            let server = Server::restart(&place, &image, io).await;
            let mut clients = JoinSet::new();
            for (client, rounds) in rounds.into_iter().enumerate() {
                check(&place, client as u64, rounds).await;
                let place = std::sync::Arc::clone(&place);
                clients.spawn(async move {
                    let mut rounds = rounds;
                    let ended = write(&place, client as u64, &mut rounds).await;
                    (client, rounds, ended.expect_err("the server is killed"))
                });
            }
            sleep(Duration::from_millis(100 + 70 * turn)).await;
            server.kill().await;
            for (client, after, _) in clients.join_all().await {
                rounds[client] = after;
            }
        }
        let server = Server::restart(&place, &image, io).await;
        for (client, rounds) in rounds.into_iter().enumerate() {
            assert!(rounds.durable > 0, "client {client} got nowhere: {rounds:?}");
            check(&place, client as u64, rounds).await;
        }
        server.stop().await;
    }
}
