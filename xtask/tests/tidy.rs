//! What every Rust file of the tree looks like.

#![allow(clippy::unwrap_used)] // a test like any other, but Clippy sees helpers of test binaries as library code

use std::fs;
use std::path::{Path, PathBuf};

/// Longer files than this have more than one idea. Tests may be as long as they like.
const LINES: usize = 600;

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
