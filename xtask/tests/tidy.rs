//! What every Rust file of the tree looks like, and what those of the pure crates must not reach for.

#![allow(clippy::unwrap_used)] // a test like any other, but Clippy sees helpers of test binaries as library code

use std::fs;
use std::path::{Path, PathBuf};

/// Longer files than this have more than one idea. Tests may be as long as they like.
const LINES: usize = 600;

/// The crates whose answers depend on their inputs alone. Their dependencies are held in `architecture.rs`; the
/// standard library, which every crate has, is held here.
const PURE: [&str; 4] = ["crates/model/src", "crates/wire/src", "crates/netpol/src", "crates/diagnosis/src"];

/// Clocks, sockets, and the modules of `std` that see more than their arguments. Imports in braces could hide one.
const IMPURE: [&str; 10] = [
    "SystemTime",
    "Instant",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "std::{",
];

/// Every Rust file below the workspace, but what cargo builds.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "expected to find the tree's files, found {}", found.len());
    found
}

fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n == "tests.rs") || path.components().any(|c| c.as_os_str() == "tests")
}

fn wrong(rule: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let broken = |path: &PathBuf| rule(path, &fs::read_to_string(path).unwrap());
    files().iter().filter(|p| broken(p)).map(|p| p.display().to_string()).collect()
}

#[test]
fn each_opens_with_what_it_is_for() {
    let without = wrong(|_, text| !text.starts_with("//! "));
    assert!(without.is_empty(), "expected `//!` and what it is for as the first line of {without:#?}");
}

#[test]
fn none_is_too_long() {
    let long = wrong(|path, text| !is_test(path) && text.lines().count() > LINES);
    assert!(long.is_empty(), "expected at most {LINES} lines in {long:#?}");
}

#[test]
fn modules_are_named_by_their_files() {
    let named = wrong(|path, _| path.file_name().is_some_and(|n| n == "mod.rs"));
    assert!(named.is_empty(), "expected foo.rs beside foo/ instead of {named:#?}");
}

/// A file's text without its module of tests and without lines of comments.
fn code(text: &str) -> String {
    let (before, tests) = text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((text, ""));
    // Formatted, it ends with the first brace at the beginning of a line.
    let after = tests.split_once("\n}").map_or("", |(_, after)| after);
    let lines = before.lines().chain(after.lines());
    lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// What of `IMPURE` is in a text, as a whole word.
fn impure(text: &str) -> Vec<&'static str> {
    let code = code(text);
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |word: &str, at: usize| {
        !code[..at].ends_with(part) && (word.ends_with('{') || !code[at + word.len()..].starts_with(part))
    };
    let found = |word: &&str| code.match_indices(*word).any(|(at, _)| whole(word, at));
    IMPURE.into_iter().filter(found).collect()
}

#[test]
fn pure_crates_see_nothing_but_their_arguments() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seen = [0; PURE.len()];
    for path in files() {
        let Some(at) = PURE.iter().position(|folder| path.starts_with(root.join(folder))) else { continue };
        seen[at] += 1;
        if !is_test(&path) {
            let found = impure(&fs::read_to_string(&path).unwrap());
            assert!(found.is_empty(), "{} must not use {found:?}: take it as an argument", path.display());
        }
    }
    assert!(seen.iter().all(|files| *files > 2), "expected files in each of {PURE:?}, found {seen:?}");
}

#[test]
fn the_impure_would_be_found() {
    let tests = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
    for (text, found) in [
        ("let now = std::time::SystemTime::now();", &["SystemTime"][..]),
        ("use std::time::{Duration, Instant};", &["Instant"]),
        ("use std::{collections::BTreeMap, env};", &["std::{"]),
        ("let home = std::env::var(\"HOME\");\nstd::thread::spawn(f);", &["std::env", "std::thread"]),
        ("use std::net::{IpAddr, UdpSocket};", &["UdpSocket"]),
        ("let instantly = Instantly::now(); let a_std::envelope;", &[]),
        ("// Instant\n    /// std::fs\nlet x;", &[]),
        ("use std::net::IpAddr;\nuse std::time::Duration;", &[]),
        (tests, &[]),
        (&format!("{tests}\nuse std::fs;\n"), &["std::fs"]),
    ] {
        assert_eq!(impure(text), found, "in {text:?}");
    }
}

#[test]
fn documents_lead_to_files_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders = vec![root.join("docs")];
    let mut documents = Vec::new();
    let above = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(above.filter(|path| path.extension().is_some_and(|e| e == "md")));
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                documents.push(path);
            }
        }
    }
    let (mut links, mut dead) = (0, Vec::new());
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            links += 1;
            if !document.parent().unwrap().join(target).exists() {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(links > 50, "expected to find the links of the documents, found {links}");
    assert!(dead.is_empty(), "expected a file where each of these leads to: {dead:#?}");
}

#[test]
fn the_chart_and_the_changelog_have_the_version_of_the_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let chart = fs::read_to_string(root.join("charts/peerwalk/Chart.yaml")).unwrap();
    for line in [format!("version: {version}"), format!("appVersion: \"{version}\"")] {
        assert!(chart.lines().any(|found| found == line), "expected `{line}` in Chart.yaml:\n{chart}");
    }
    let changes = fs::read_to_string(root.join("CHANGELOG.md")).unwrap();
    let latest = changes.lines().find(|line| line.starts_with("## ")).unwrap();
    assert!(latest.starts_with(&format!("## {version}")), "expected {version} first, found `{latest}`");
}
