//! What became of each fault, as a table in Markdown: printed, or in `docs/soak.md`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use peerwalk_e2e::measure::table;
use peerwalk_e2e::observer::Counts;
use peerwalk_e2e::rows::{cell, replaced};

use crate::fault::{Fault, RECONNECT, Told, UPGRADE};

/// What was counted from before a fault until after.
pub struct Outcome {
    /// The fault itself.
    pub lasted: Duration,
    /// From its end until every answer was right.
    pub right: Duration,
    /// From a policy to its condition and back, afterwards.
    pub at_work: Duration,
    /// Until a pod started that was made before.
    pub usual_start: Duration,
    /// What was said.
    pub counts: Counts,
    /// Containers of applications that ran before, and how many of them did not go on.
    pub applications: (usize, usize),
    /// Sidecars that were started again.
    pub sidecars: i32,
    /// What the operator counted as lost.
    pub lost: BTreeMap<String, u64>,
    /// What the fault tells of itself, and all that was not as it should be.
    pub told: Told,
}

/// All faults so far.
#[derive(Default)]
pub struct Report(Vec<(&'static str, Result<Outcome>)>);

impl Report {
    pub fn add(&mut self, fault: &'static str, outcome: Result<Outcome>) {
        self.0.push((fault, outcome));
    }

    /// What was not as it should be.
    pub fn failed(&self) -> Vec<String> {
        let failed = self.0.iter().filter_map(|(fault, outcome)| match outcome {
            Ok(outcome) if outcome.told.wrong.is_empty() => None,
            Ok(outcome) => Some(format!("{fault}: {}", outcome.told.wrong.join(", "))),
            Err(error) => Some(format!("{fault}: {error:#}")),
        });
        failed.collect()
    }

    fn rows(&self) -> Vec<Vec<String>> {
        self.0.iter().map(|(fault, outcome)| row(fault, outcome)).collect()
    }

    pub fn print(&self) {
        table(&HEADER, &self.rows());
    }

    /// Replaces the rows of these faults in the document.
    pub fn write(&self) -> Result<()> {
        write(&self.rows())
    }
}

const HEADER: [&str; 13] = [
    "fault",
    "what was done",
    "lasted",
    "answers that changed",
    "wrong",
    "to Unknown",
    "right again after",
    "at work: policy and back",
    "applications restarted",
    "sidecars restarted",
    "a pod starts in: before, meanwhile at most",
    "counted as lost",
    "result",
];

/// Where the last result is.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/soak.md");

/// Replaces rows of the last result.
pub fn write(rows: &[Vec<String>]) -> Result<()> {
    let before = fs::read_to_string(DOCUMENT).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let order: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).chain([RECONNECT, UPGRADE]).collect();
    let after = replaced(&before, &HEADER, rows, &order);
    let after = after.with_context(|| format!("{DOCUMENT} has no place for the table"))?;
    fs::write(DOCUMENT, after).with_context(|| format!("cannot write {DOCUMENT}"))
}

/// A row of a fault that counts little of this.
pub fn short_row(fault: &str, what: &str, lasted: Duration, changes: usize, wrong: &[String]) -> Vec<String> {
    let mut row = vec![fault.to_owned(), cell(what), seconds(lasted), changes.to_string()];
    row.resize(HEADER.len() - 1, "–".to_owned());
    row.push(result(wrong));
    row
}

fn result(wrong: &[String]) -> String {
    /// How much is told; all of it is printed when it happens.
    const TOLD: usize = 4;
    if wrong.is_empty() {
        return "as it should be".to_owned();
    }
    let more = match wrong.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let first: Vec<&str> = wrong.iter().take(TOLD).map(String::as_str).collect();
    cell(&format!("**not so**: {}{more}", first.join("; ")))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn row(fault: &str, outcome: &Result<Outcome>) -> Vec<String> {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            let mut row = vec![fault.to_owned()];
            row.resize(HEADER.len() - 1, "–".to_owned());
            row.push(result(&[format!("{error:#}")]));
            return row;
        }
    };
    let meanwhile = outcome.told.started.map_or_else(|| "–".to_owned(), seconds);
    let lost: Vec<String> = outcome.lost.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let gaps =
        if outcome.counts.gaps > 0 { format!(" ({} lists)", outcome.counts.gaps) } else { String::new() };
    let (applications, restarted) = outcome.applications;
    vec![
        fault.to_owned(),
        cell(&outcome.told.what),
        seconds(outcome.lasted),
        format!("{}{gaps}", outcome.counts.changes),
        outcome.counts.wrong.len().to_string(),
        outcome.counts.doubts.to_string(),
        seconds(outcome.right),
        seconds(outcome.at_work),
        format!("{restarted} of {applications}"),
        outcome.sidecars.to_string(),
        format!("{}, {meanwhile}", seconds(outcome.usual_start)),
        if lost.is_empty() { "–".to_owned() } else { cell(&lost.join(", ")) },
        result(&outcome.told.wrong),
    ]
}
