//! The table.

use crate::fio::Fio;
use crate::{NAMES, Row};
use std::fmt::Write;

pub(crate) fn print(rows: &[Row], fio: &Fio) -> String {
    let [file, pool, ring, last] = NAMES;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "Speeds as multiples of that of bare system calls.\n");
    let _ = writeln!(
        text,
        "{:<32}{:>13}{file:>8}{pool:>10}{ring:>10}{last:>8}",
        "row, size x depth", "bare"
    );
    for Row { name, bare, ratios } in rows {
        let [file, pool, ring, last] = ratios.map(told);
        let _ = writeln!(text, "{name:<32}{bare:>13}{file:>8}{pool:>10}{ring:>10}{last:>8}");
    }
    match &fio.0 {
        Some(version) => {
            let _ = writeln!(text, "\n{version}: psync at depth 1 and for FUA, io_uring deeper.");
        }
        None => text.push_str("\nfio is not installed, so it has no figures.\n"),
    }
    text
}

fn told(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}
