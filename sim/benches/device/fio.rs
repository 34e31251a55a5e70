//! The same requests, made by fio.

use crate::cells::{Cell, Kind};
use anyhow::{Context, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// As `fio --version` says, where there is one.
pub(crate) struct Fio(pub(crate) Option<String>);

impl Fio {
    pub(crate) fn find() -> Self {
        let output = Command::new("fio").arg("--version").stderr(Stdio::null()).output();
        let output = output.ok().filter(|output| output.status.success());
        Self(output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned()))
    }

    /// Requests a second, of those requests that fio can make.
    pub(crate) fn speed(
        &self,
        path: &Path,
        cell: Cell,
        seconds: f64,
    ) -> anyhow::Result<Option<f64>> {
        if self.0.is_none() {
            return Ok(None);
        }
        let output = Command::new("fio").args(arguments(cell, seconds)).arg(file(path)).output()?;
        // Before its figures fio may print notes.
        let text = String::from_utf8_lossy(&output.stdout);
        let figures = text.find('{').map_or("", |start| &text[start..]);
        if !output.status.success() {
            bail!("fio has failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let figures: serde_json::Value = serde_json::from_str(figures)?;
        let kind = if cell.kind == Kind::Read { "read" } else { "write" };
        let speed = figures["jobs"][0][kind]["iops"].as_f64();
        Ok(Some(speed.context("fio gives no figure")?))
    }
}

fn file(path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("--filename=");
    argument.push(path);
    argument
}

fn arguments(cell: Cell, seconds: f64) -> Vec<String> {
    let Cell { random, kind, size, depth } = cell;
    let write = if kind == Kind::Read { "read" } else { "write" };
    let pattern = if random { format!("rand{write}") } else { write.to_owned() };
    let mut arguments = vec![
        "--name=device".to_owned(),
        "--output-format=json".to_owned(),
        "--thread".to_owned(),
        "--time_based".to_owned(),
        "--norandommap".to_owned(),
        "--fadvise_hint=0".to_owned(),
        "--invalidate=0".to_owned(),
        "--overwrite=1".to_owned(),
        format!("--rw={pattern}"),
        format!("--bs={size}"),
        format!("--runtime={}ms", (seconds * 1000.0).ceil()),
    ];
    let more: &[&str] = match kind {
        Kind::Fua => &["--ioengine=psync", "--fdatasync=1", "--group_reporting"],
        _ if depth == 1 => &["--ioengine=psync"],
        // As the ring of the library, which registers so much.
        _ if size <= 64 << 10 => &["--ioengine=io_uring", "--registerfiles", "--fixedbufs"],
        _ => &["--ioengine=io_uring", "--registerfiles"],
    };
    arguments.extend(more.iter().map(|&it| it.to_owned()));
    arguments.push(match kind {
        Kind::Fua => format!("--numjobs={depth}"),
        _ => format!("--iodepth={depth}"),
    });
    arguments
}
