//! Running test binaries and counting what they report.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Arguments;
use super::binaries::{Level, TestBinary};
use super::report::Counts;
use crate::tree;

/// Runs every binary of a level, each with the command that `start` makes of it.
pub(crate) fn all(
    tests: &[TestBinary],
    level: Level,
    arguments: &Arguments,
    start: impl Fn(&TestBinary) -> Result<Command>,
) -> Result<Counts> {
    let mut counts = Counts::default();
    for test in tests.iter().filter(|t| t.level == level) {
        tree::say(&format!("-- {}", test.name));
        let mut command = start(test)?;
        if level == Level::Cluster {
            // They are marked so that `cargo test` leaves them out.
            command.arg("--ignored");
        }
        command.args(&arguments.arguments).current_dir(&test.folder).env("CARGO_MANIFEST_DIR", &test.folder);
        counts += one(&mut command)?;
    }
    Ok(counts)
}

/// Runs one command, shows what it prints, and adds up its `test result:` lines. A failure without such a line, as
/// of a binary that crashes, counts as one.
pub(crate) fn one(command: &mut Command) -> Result<Counts> {
    watched(command, tree::say)
}

fn watched(command: &mut Command, show: impl Fn(&str)) -> Result<Counts> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the tests")?;
    let mut counts = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("cannot read what the tests print")?;
            let line = String::from_utf8_lossy(&line);
            show(&line);
            counts += summary(&line).unwrap_or_default();
        }
    }
    let status = child.wait().context("cannot wait for the tests")?;
    if !status.success() && counts.failed == 0 {
        show(&format!("`{}` ended without a result: {status}", tree::words(command)));
        counts.failed = 1;
    }
    Ok(counts)
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; ...`
fn summary(line: &str) -> Option<Counts> {
    let (_, results) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |what: &str| {
        results.split("; ").find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<usize>().ok())
    };
    Some(Counts { passed: number("passed")?, failed: number("failed")?, ignored: number("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::{Counts, summary, watched};
    use std::process::Command;

    #[test]
    fn reads_the_line_of_libtest() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.05s";
        assert_eq!(summary(line), Some(Counts { passed: 12, failed: 3, ignored: 1 }));
        assert_eq!(summary("test foo ... ok"), None, "expected other lines to be no summary");
        assert_eq!(summary("test result: nonsense"), None, "expected a broken summary to be none");
    }

    #[test]
    fn a_crash_is_a_failure_and_results_add_up() {
        // Shown, these lines would be counted by the run that this test is part of.
        let run = |script: &str| watched(Command::new("sh").args(["-c", script]), |_| ()).unwrap();
        assert_eq!(run("exit 101"), Counts { passed: 0, failed: 1, ignored: 0 }, "expected a crash to count");
        let twice =
            "for i in 1 2; do echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured'; done";
        assert_eq!(run(twice), Counts { passed: 4, failed: 0, ignored: 0 }, "expected a sum over binaries");
    }
}
