//! A file system of others: made, filled and checked through the server.

use super::server::{PATIENCE, Place, Server, ios};
use super::tools::{command, find, have, output, run, skipped};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const LENGTH: u64 = 32 << 20;

/// Between looks at what another process is to do.
const APART: Duration = Duration::from_millis(20);

/// Makes a file system with a file of noise in it.
async fn make(place: &Place, image: &str) {
    fs::create_dir_all(place.path("files")).expect("a directory");
    place.noise("files/noise", 3 << 20);
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", &place.text("files"), image]).await;
}

/// Asserts that the file system is in order, and its file what it should be.
async fn check(place: &Place, image: &str) {
    run("e2fsck", &["-fn", image]).await;
    let found = place.text("found");
    run("debugfs", &["-R", &format!("dump noise {found}"), image]).await;
    let read = |name| fs::read(place.path(name)).expect("a file");
    assert!(read("found") == read("files/noise"), "the file has changed");
}

#[tokio::test]
async fn a_file_system_is_copied_in_and_out() {
    if !have(&["mke2fs", "e2fsck", "debugfs", "nbdcopy"]) {
        return;
    }
    for io in ios() {
        let place = Place::new();
        let image = place.image("image", LENGTH);
        place.image("made", LENGTH);
        make(&place, &place.text("made")).await;
        let server = Server::start(&place, &image, io, &[]).await;
        run("nbdcopy", &["--flush", &place.text("made"), &place.uri()]).await;
        server.stop().await;
        check(&place, &place.text("image")).await;
        let server = Server::start(&place, &image, io, &["--read-only"]).await;
        run("nbdcopy", &[&place.uri(), &place.text("copied")]).await;
        server.stop().await;
        check(&place, &place.text("copied")).await;
    }
}

#[tokio::test]
async fn a_file_system_is_made_through_the_server() {
    // Not every container may mount, so this is no error in CI.
    let missing = ["nbdfuse", "fusermount3"].into_iter().find(|name| find(name).is_none());
    let missing = missing.or_else(|| (!Path::new("/dev/fuse").exists()).then_some("/dev/fuse"));
    if let Some(missing) = missing {
        return skipped(missing);
    }
    if !have(&["mke2fs", "e2fsck", "debugfs"]) {
        return;
    }
    for io in ios() {
        let place = Place::new();
        let image = place.image("image", LENGTH);
        let server = Server::start(&place, &image, io, &[]).await;
        fs::create_dir(place.path("mount")).expect("a directory");
        let mount = place.text("mount");
        let mut nbdfuse = command("nbdfuse", &[&mount, &place.uri()]).spawn().expect("nbdfuse");
        let device = place.text("mount/nbd");
        let mounted = async {
            while !Path::new(&device).exists() && nbdfuse.try_wait().is_ok_and(|it| it.is_none()) {
                sleep(APART).await;
            }
        };
        timeout(PATIENCE, mounted).await.expect("in time");
        if !Path::new(&device).exists() {
            skipped("right to mount by FUSE");
        } else {
            make(&place, &device).await;
            check(&place, &device).await;
            unmount(&mount).await;
            timeout(PATIENCE, nbdfuse.wait()).await.expect("in time").expect("a status");
        }
        server.stop().await;
        if place.path("files").exists() {
            check(&place, &place.text("image")).await;
        }
    }
}

/// Others may look at a new file system for a moment, which keeps it busy.
async fn unmount(mount: &str) {
    let unmounted = async {
        while !output("fusermount3", &["-u", mount]).await.status.success() {
            sleep(APART).await;
        }
    };
    timeout(PATIENCE, unmounted).await.expect("unmounted in time");
}
