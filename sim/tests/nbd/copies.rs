//! Clients that describe, copy, compare and verify.

use super::server::{Place, Server, ios};
use super::tools::{have, output, run};
use std::fs;

const LENGTH: usize = 24 << 20;

#[tokio::test]
async fn nbdinfo_is_told_what_the_device_is() {
    if !have(&["nbdinfo"]) {
        return;
    }
    for io in ios() {
        let place = Place::new();
        let image = place.image("image", 1 << 20);
        let server = Server::start(&place, &image, io, &["--block-size", "4096"]).await;
        let told = run("nbdinfo", &[&place.uri()]).await;
        for line in [
            "export-size: 1048576",
            "is_read_only: false",
            "can_flush: true",
            "can_fua: true",
            "can_multi_conn: true",
            "can_trim: true",
            "can_zero: true",
            "block_size_minimum: 4096",
            "block_size_maximum: 33554432",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert!(run("nbdinfo", &["--list", &place.uri()]).await.contains("export=\"\""));
        let other = place.uri().replace(":///", ":///other");
        assert!(!output("nbdinfo", &[&other]).await.status.success());
        server.stop().await;
        let server = Server::start(&place, &image, io, &["--read-only"]).await;
        assert!(run("nbdinfo", &[&place.uri()]).await.contains("is_read_only: true"));
        server.stop().await;
    }
}

#[tokio::test]
async fn nbdcopy_and_qemu_img_bring_back_what_they_brought() {
    if !have(&["nbdcopy", "qemu-img"]) {
        return;
    }
    for io in ios() {
        let place = Place::new();
        let noise = place.noise("noise", LENGTH);
        let image = place.image("image", LENGTH as u64);
        let server = Server::start(&place, &image, io, &[]).await;
        let (noise_path, uri) = (place.text("noise"), place.uri());
        run("nbdcopy", &["--flush", "--connections=4", &noise_path, &uri]).await;
        run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &noise_path, &uri]).await;
        run("nbdcopy", &["--connections=4", &uri, &place.text("copied")]).await;
        assert!(fs::read(place.path("copied")).expect("a copy") == noise, "copied out");
        let qcow = place.text("qcow");
        run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &uri, &qcow]).await;
        run("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", &qcow, &uri]).await;
        server.stop().await;
        assert!(fs::read(&image).expect("an image") == noise, "copied in");
        let image = place.image("image", LENGTH as u64);
        let server = Server::start(&place, &image, io, &[]).await;
        run("qemu-img", &["convert", "-n", "-f", "qcow2", "-O", "raw", &qcow, &uri]).await;
        server.stop().await;
        assert!(fs::read(&image).expect("an image") == noise, "converted in");
    }
}

#[tokio::test]
async fn qemu_io_reads_what_it_wrote() {
    if !have(&["qemu-io"]) {
        return;
    }
    let commands = [
        "write -P 1 0 4M",
        "write -f -P 2 64k 64k",
        "write -z 128k 64k",
        "write -z -u 256k 1M",
        "write -f -z 2M 512",
        "discard 3M 512k",
        "write -P 3 3M 4k",
        "flush",
        "read -P 1 0 64k",
        "read -P 2 64k 64k",
        "read -P 0 128k 64k",
        "read -P 1 192k 64k",
        "read -P 0 256k 1M",
        "read -P 0 2M 512",
        "read -P 1 2098664 512",
        "read -P 3 3M 4k",
        "read -P 1 3670016 512k",
        "aio_write -P 4 4M 1M",
        "aio_write -P 5 5M 1M",
        "aio_flush",
        "read -P 4 4M 1M",
        "read -P 5 5M 1M",
    ];
    for io in ios() {
        let place = Place::new();
        let image = place.image("image", 8 << 20);
        let server = Server::start(&place, &image, io, &[]).await;
        let uri = place.uri();
        let mut arguments = vec!["-f", "raw", &uri];
        arguments.extend(commands.iter().flat_map(|command| ["-c", command]));
        let told = run("qemu-io", &arguments).await;
        assert!(!told.contains("failed"), "{told}");
        server.stop().await;
    }
}

#[tokio::test]
async fn fio_verifies_what_it_wrote() {
    if !have(&["fio"]) {
        return;
    }
    for io in ios() {
        let place = Place::new();
        let image = place.image("image", 32 << 20);
        let server = Server::start(&place, &image, io, &[]).await;
        let uri = format!("--uri={}", place.uri());
        // Several jobs, each with a connection and a part of its own.
        let common = ["--ioengine=nbd", &uri, "--iodepth=32", "--thread", "--numjobs=3"];
        let common = [&common[..], &["--size=8M", "--offset_increment=8M"]].concat();
        // The state would be a file in whatever directory this is.
        let verified = ["--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"];
        let jobs: [&[&str]; 2] = [
            &["--name=small", "--rw=randwrite", "--bs=4k", "--fsync=256"],
            &["--name=mixed", "--rw=randrw", "--bsrange=512-128k", "--ba=512"],
        ];
        for job in jobs {
            run("fio", &[job, &common, &verified].concat()).await;
        }
        server.stop().await;
    }
}
