//! The shape of the project: who imports whom, and how long things get.
//!
//! Every check has a test that it finds what it is there for.

mod source;

use source::{code, item_end, line, without_tests, word, words};
use std::fs;
use std::path::{Path, PathBuf};

const MOST_COLUMNS: usize = 100;
const MOST_LINES: usize = 600;
const MOST_LINES_OF_A_FUNCTION: usize = 70;

/// The files that may have `unsafe` code: memory that is lent, and a ring.
const UNSAFE_FILES: [&str; 3] =
    ["src/device/source.rs", "src/file/ring/kernel.rs", "src/file/ring/slab.rs"];

/// What each module of the library may import, as DESIGN.md has it under "Layers".
const LAYERS: [(&str, &[&str]); 10] = [
    ("rng", &[]),
    ("sparse", &[]),
    ("file", &[]),
    ("guide", &[]),
    ("device", &["file"]),
    ("model", &["device", "rng", "sparse"]),
    ("exec", &["rng"]),
    ("disk", &["device", "exec", "file", "rng", "sparse"]),
    ("scenario", &["device", "disk", "model", "rng"]),
    ("lockstep", &["device", "disk", "exec", "file", "model", "rng", "scenario", "sparse"]),
];

/// What a module must not know although it may import where it is: the model, to be independent,
/// knows devices, and neither the real one nor the files beneath it.
const UNKNOWN: [(&str, &[&str]); 1] =
    [("model", &["FileBackedDevice", "BackingFile", "SimFile", "SimDisk"])];

/// A file of Rust.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
    /// Without comments and what is between quotes.
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: code(text) }
    }

    /// The module of the library that it is of, and how deep in the crate its own path is.
    fn module(&self) -> Option<(&str, usize)> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        let module = path.split('/').next().filter(|&module| module != "lib")?;
        Some((module, path.split('/').count()))
    }

    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// A complaint about the place `at` of the code.
    fn complaint(&self, at: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, line(&self.code, at))
    }
}

/// Says what is wrong with a file.
type Check = fn(&Source) -> Vec<String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files under a directory, but for what was built or is hidden, by their paths from the root.
#[track_caller]
fn files(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(directory)).expect("a directory of the repository") {
        let entry = entry.expect("an entry of the repository");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = format!("{directory}/{name}");
        match entry.file_type().expect("a kind of entry").is_dir() {
            _ if name.starts_with('.') || name == "target" => {}
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Every file of Rust in the workspace.
#[track_caller]
fn sources() -> Vec<Source> {
    let paths = ["src", "sim", "fuzz"].into_iter().flat_map(files);
    let sources = paths.filter(|path| path.ends_with(".rs")).map(|path| {
        let text = fs::read_to_string(root().join(&path)).expect("a file of Rust");
        Source::new(&path, &text)
    });
    sources.collect()
}

/// Asserts that no file gives cause for complaint.
#[track_caller]
fn assert_tidy(check: Check) {
    let complaints: Vec<_> = sources().iter().flat_map(check).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Asserts that a file with this text gives just this cause for complaint, or none.
#[track_caller]
fn assert_found(check: Check, path: &str, text: &str, complaints: &[&str]) {
    assert_eq!(check(&Source::new(path, text)), complaints, "{text}");
}

/// Imports against [`LAYERS`].
fn layers(source: &Source) -> Vec<String> {
    let Some((module, depth)) = source.module().filter(|_| !source.is_test()) else {
        return Vec::new();
    };
    let Some((_, allowed)) = LAYERS.into_iter().find(|&(name, _)| name == module) else {
        return vec![format!("{}: {module} has no layer in sim/tests/tidy.rs", source.path)];
    };
    let code = without_tests(&source.code);
    let wrong = |(_, name): &(usize, &str)| *name != module && !allowed.contains(name);
    let imports = imports(&code, depth).into_iter().filter(wrong);
    let imports =
        imports.map(|(at, name)| source.complaint(at, &format!("{module} must not import {name}")));
    let unknown = UNKNOWN.into_iter().filter(|&(name, _)| name == module);
    let unknown = unknown.flat_map(|(_, names)| names).flat_map(|name| {
        let complain = move |at| source.complaint(at, &format!("{module} must not know of {name}"));
        words(&code, name).map(complain).collect::<Vec<_>>()
    });
    imports.chain(unknown).collect()
}

/// The modules of the crate that code so deep in it names, and where.
fn imports(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let up = "super::".repeat(depth);
    let roots = words(code, "crate::").map(|at| at + "crate::".len());
    let roots = roots.chain(words(code, &up).map(|at| at + up.len()));
    roots.flat_map(|at| names(&code[at..]).into_iter().map(move |name| (at, name))).collect()
}

/// The first names of the path, or of the paths in braces, that `code` begins with.
fn names(code: &str) -> Vec<&str> {
    let Some(group) = code.strip_prefix('{') else {
        return vec![name(code)];
    };
    let mut depth = 0_usize;
    let mut starts = vec![0];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    let names = starts.into_iter().map(|at| name(group[at..].trim_start()));
    names.filter(|name| !name.is_empty()).collect()
}

/// The word that a path begins with, or its star.
fn name(path: &str) -> &str {
    if path.starts_with('*') { "*" } else { word(path) }
}

/// What is compiled or not, in the code that users run, by anything but the platform. Whole files
/// that need a crate of their own are compiled where their feature is on.
fn hooks(source: &Source) -> Vec<String> {
    let is_real = matches!(source.module(), Some(("device" | "file", _)));
    if !is_real || source.is_test() {
        return Vec::new();
    }
    let code = &source.code;
    let gates = ["cfg", "cfg_attr"].into_iter().flat_map(|gate| words(code, gate));
    let is_hook = |&at: &usize| {
        let gate = &code[at..];
        let tests = gate.strip_prefix("cfg(test)]").map(str::trim_start);
        let gated = gate.split_once(']').map_or("", |(_, gated)| gated.trim_start());
        let is_file = source.path == "src/file.rs"
            && gate.contains("feature")
            && (gated.starts_with("mod ") || gated.starts_with("pub use "));
        !(is_file
            || tests.is_some_and(|it| it.starts_with("mod tests"))
            || gate.starts_with("cfg(target_os")
            || gate.starts_with("cfg(not(target_os"))
    };
    gates.filter(is_hook).map(|at| source.complaint(at, "a hook in what users run")).collect()
}

fn long_files(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let long = (lines > MOST_LINES).then(|| format!("{}: {lines} lines", source.path));
    long.into_iter().collect()
}

fn long_lines(source: &Source) -> Vec<String> {
    let lines = source.text.lines().map(|line| line.chars().count()).zip(1..);
    let long = lines.filter(|&(columns, _)| columns > MOST_COLUMNS);
    long.map(|(columns, line)| format!("{}:{line}: {columns} columns", source.path)).collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    let code = &source.code;
    let functions = words(code, "fn ").filter(|at| !word(&code[at + "fn ".len()..]).is_empty());
    let lengths = functions.map(|at| (at, code[at..item_end(code, at)].lines().count()));
    let long = lengths.filter(|&(_, lines)| lines > MOST_LINES_OF_A_FUNCTION);
    long.map(|(at, lines)| source.complaint(at, &format!("a function of {lines} lines"))).collect()
}

fn unsafe_code(source: &Source) -> Vec<String> {
    if UNSAFE_FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let found = words(&source.code, "unsafe");
    found.map(|at| source.complaint(at, "unsafe code")).collect()
}

/// Whether a scenario may be called so: `kebab-case.ron` or `snake_case.ron`.
fn is_scenario_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let stem = name.strip_suffix(".ron");
    stem.is_some_and(|stem| ['-', '_'].iter().any(|&gap| stem.split(gap).all(is_part)))
}

#[test]
fn imports_follow_the_layers() {
    assert_tidy(layers);
}

#[test]
fn an_import_against_the_layers_is_found() {
    for (path, text, complaints) in [
        ("src/file.rs", "use crate::exec::block_on;", &["file must not import exec"][..]),
        ("src/disk/a.rs", "let it = crate::model::Kind;", &["disk must not import model"]),
        ("src/rng.rs", "use crate::*;", &["rng must not import *"]),
        ("src/exec/a.rs", "use super::super::disk;", &["exec must not import disk"]),
        ("src/sparse.rs", "pub(crate) use super::rng::Rng;", &["sparse must not import rng"]),
        (
            "src/model/mod.rs",
            "use crate::{device::{self, FileBackedDevice}, disk::{A, b::{C}}, rng, file, };",
            &[
                "model must not import disk",
                "model must not import file",
                "model must not know of FileBackedDevice",
            ],
        ),
    ] {
        let complaints: Vec<_> = complaints.iter().map(|it| format!("{path}:1: {it}")).collect();
        let complaints: Vec<_> = complaints.iter().map(String::as_str).collect();
        assert_found(layers, path, text, &complaints);
    }
    let unknown = "src/new/a.rs: new has no layer in sim/tests/tidy.rs";
    assert_found(layers, "src/new/a.rs", "", &[unknown]);
}

#[test]
fn comments_quotes_and_tests_import_nothing() {
    let gated = "#[cfg(test)]\nmod tests {\n    fn f() { use crate::disk::A; }\n}\n";
    let quoted = "/// crate::disk\nconst A: (&str, char) = (r#\"\"crate::disk\"#, '\"');\n";
    let commented = "/* /* */ crate::disk */ use crate::file::B; // crate::disk\n";
    let own = "use super::super::device::C; use super::disk; fn f<'a>(it: &'a str) {}\n";
    let text = [gated, quoted, commented, own].concat();
    assert_found(layers, "src/device/a.rs", &text, &[]);
    let late = "src/device/a.rs:11: device must not import disk";
    assert_found(layers, "src/device/a.rs", &(text + "\n\nuse crate::disk;"), &[late]);
    assert_found(layers, "src/device/tests/a.rs", "use crate::disk;", &[]);
    assert_found(layers, "src/device/a/tests.rs", "use crate::disk;", &[]);
    assert_found(layers, "sim/src/a.rs", "use crate::disk;", &[]);
}

#[test]
fn every_layer_is_a_module() {
    let sources = sources();
    for (module, _) in LAYERS {
        let found = sources.iter().any(|it| it.module().is_some_and(|(name, _)| name == module));
        assert!(found, "{module}");
    }
}

#[test]
fn what_users_run_has_no_hooks() {
    assert_tidy(hooks);
}

#[test]
fn a_hook_is_found() {
    let found = "src/device/a.rs:1: a hook in what users run";
    for text in [
        "#[cfg(test)] fn crash() {}",
        "#[cfg(feature = \"sim\")] mod tests {}",
        "if cfg!(debug_assertions) {}",
        "#[cfg_attr(test, derive(Debug))] struct A;",
    ] {
        assert_found(hooks, "src/device/a.rs", text, &[found]);
    }
    let fine = "#[cfg(not(target_os = \"linux\"))] mod a;\n#[cfg(test)]\nmod tests;";
    assert_found(hooks, "src/file.rs", fine, &[]);
}

#[test]
fn nothing_is_too_long() {
    assert_tidy(long_files);
    assert_tidy(long_lines);
    assert_tidy(long_functions);
}

#[test]
fn what_is_too_long_is_found() {
    assert_found(long_files, "fuzz/a.rs", &"\n".repeat(600), &[]);
    assert_found(long_files, "fuzz/a.rs", &"\n".repeat(601), &["fuzz/a.rs: 601 lines"]);

    let (fits, over) = ("é".repeat(100), "é".repeat(101));
    assert_found(
        long_lines,
        "sim/a.rs",
        &format!("{fits}\n{over}\n"),
        &["sim/a.rs:2: 101 columns"],
    );

    let function = |lines: usize| {
        let body = "    let brace = '{'; // {\n".repeat(lines - 2);
        format!("type F = fn(u8);\nfn short(it: [u8; 4]);\nfn long(it: [u8; 4]) {{\n{body}}}\n")
    };
    assert_found(long_functions, "src/a.rs", &function(70), &[]);
    let found = "src/a.rs:3: a function of 71 lines";
    assert_found(long_functions, "src/a.rs", &function(71), &[found]);
}

#[test]
fn no_other_file_is_unsafe() {
    assert_tidy(unsafe_code);
}

#[test]
fn unsafe_code_is_found() {
    let text = "#![deny(unsafe_code)]\n// unsafe\nunsafe { a() }";
    assert_found(unsafe_code, "src/a.rs", text, &["src/a.rs:3: unsafe code"]);
    assert_found(unsafe_code, UNSAFE_FILES[0], text, &[]);
}

#[test]
fn scenarios_are_called_as_they_should() {
    for path in files("corpus") {
        let (directory, name) = path.rsplit_once('/').expect("a directory and a name");
        let holds_scenarios = ["corpus/regressions", "corpus/known_bugs"].contains(&directory);
        let fits = is_scenario_name(name) || !(holds_scenarios || name.ends_with(".ron"));
        assert!(fits, "{path}: neither kebab-case.ron nor snake_case.ron");
    }
}

#[test]
fn a_bad_name_of_a_scenario_is_found() {
    for name in ["a.ron", "lost-write-2.ron", "lost_write_2.ron"] {
        assert!(is_scenario_name(name), "{name}");
    }
    for name in ["A.ron", "a b.ron", "a-b_c.ron", "-a.ron", "a--b.ron", ".ron", "a.txt", "a.b.ron"]
    {
        assert!(!is_scenario_name(name), "{name}");
    }
}
