//! The table, and what it comes to.

use crate::{Find, Row, TOOLS};
use std::array::from_fn;
use std::fmt::Write;

const NAMES: [&str; TOOLS.len()] = ["lockstep", "state machine", "fuzz loop"];

/// What somebody has to write for each tool: the test in the README, and the files here.
const SOURCES: [&[&str]; TOOLS.len()] = [
    &[],
    &[
        include_str!("state_machine.rs"),
        include_str!("state_machine/contents.rs"),
        include_str!("state_machine/steps.rs"),
    ],
    &[include_str!("fuzz_loop.rs")],
];

/// The table, with what each tool complained of where that is asked for.
pub(crate) fn print(rows: &[Row], budget: f64, complaints: bool) -> String {
    let mut text = "Milliseconds of processor time until found:\n\n".to_owned();
    line(&mut text, "device", "class", NAMES);
    for row in rows {
        let (name, class) = row.entry.map_or(("file", "legal"), |it| (it.name, it.class.name()));
        let is_bug = row.bug().is_some();
        line(&mut text, name, class, row.finds.each_ref().map(|find| told(find, is_bug)));
        let said = NAMES.iter().zip(&row.finds).filter(|_| complaints || row.is_false());
        for (tool, complaint) in said.filter_map(|(tool, it)| Some((tool, it.complaint.as_ref()?)))
        {
            let _ = writeln!(text, "    {tool}: {}", complaint.lines().next().unwrap_or_default());
        }
    }
    text + "\n" + &totals(rows, budget)
}

/// Writing to a string cannot fail.
fn line(text: &mut String, name: &str, class: &str, [a, b, c]: [impl AsRef<str>; TOOLS.len()]) {
    let (a, b, c) = (a.as_ref(), b.as_ref(), c.as_ref());
    let _ = writeln!(text, "{name:<28}{class:<13}{a:>10}{b:>15}{c:>11}");
}

fn told(find: &Find, is_bug: bool) -> String {
    match (find.seconds, &find.complaint) {
        (_, Some(_)) if !is_bug => "ACCUSED".to_owned(),
        (_, None) if !is_bug => "passed".to_owned(),
        (Some(seconds), _) => milliseconds(seconds),
        // From one base seed of three.
        (None, Some(_)) => "rarely".to_owned(),
        (None, None) => "-".to_owned(),
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2}", seconds * 1000.0)
}

fn totals(rows: &[Row], budget: f64) -> String {
    let (bugs, legal): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.bug().is_some());
    let common = bugs.iter().copied();
    let common = common.filter(|row| row.finds.iter().all(|find| find.seconds.is_some()));
    let common: Vec<&Row> = common.collect();
    let class = |row: &&Row| row.bug().map_or("legal", |bug| bug.class.name());

    let mut text = String::new();
    line(&mut text, &format!("found within {budget} s"), "class", NAMES);
    for bugs in bugs.chunk_by(|one, next| class(one) == class(next)) {
        line(&mut text, "", class(&bugs[0]), from_fn(|tool| found(bugs, tool)));
    }
    line(&mut text, "", "all", from_fn(|tool| found(&bugs, tool)));
    line(&mut text, "accused falsely", "legal", from_fn(|tool| accused(&legal, tool)));
    text.push('\n');
    line(&mut text, "of those that it found", "median ms", from_fn(|tool| median(&bugs, tool)));
    let those = format!("of the {} that all found", common.len());
    line(&mut text, &those, "median ms", from_fn(|tool| median(&common, tool)));
    line(&mut text, "found before the others", "bugs", from_fn(|tool| firsts(&bugs, tool)));
    line(&mut text, "to be written", "lines", from_fn(|tool| lines(tool).to_string()));
    text.trim_end().to_owned()
}

fn found(bugs: &[&Row], tool: usize) -> String {
    let found = bugs.iter().filter(|row| row.finds[tool].seconds.is_some()).count();
    format!("{found} of {}", bugs.len())
}

/// However rarely.
fn accused(legal: &[&Row], tool: usize) -> String {
    let accused = legal.iter().filter(|row| row.finds[tool].complaint.is_some()).count();
    format!("{accused} of {}", legal.len())
}

fn median(rows: &[&Row], tool: usize) -> String {
    let mut times: Vec<f64> = rows.iter().filter_map(|row| row.finds[tool].seconds).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).map_or_else(|| "-".to_owned(), |&seconds| milliseconds(seconds))
}

/// How many bugs the tool was the quickest to find.
fn firsts(rows: &[&Row], tool: usize) -> String {
    let time = |find: &Find| find.seconds.unwrap_or(f64::INFINITY);
    let is_first = |row: &&&Row| {
        let own = time(&row.finds[tool]);
        let others = row.finds.iter().enumerate().filter(|&(other, _)| other != tool);
        own.is_finite() && others.into_iter().all(|(_, find)| own < time(find))
    };
    rows.iter().filter(is_first).count().to_string()
}

/// Lines of code, without blank ones and comments.
fn lines(tool: usize) -> usize {
    let readme = include_str!("../../../README.md");
    let test = readme.split("```").find(|block| block.contains("impl Subject for Mine"));
    let test = test.and_then(|block| block.split_once('\n')).map(|(_, code)| code);
    let sources = SOURCES[tool].iter().copied().chain(test.filter(|_| tool == 0));
    let code = sources.flat_map(str::lines).map(str::trim);
    code.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}
