//! What became of each fault, as a table in Markdown.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use peerwalk_e2e::measure::table;
use peerwalk_e2e::observer::Counts;

use crate::fault::Told;

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
    /// Containers of applications that ran all the time.
    pub applications: usize,
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

    pub fn print(&self) {
        let rows: Vec<Vec<String>> = self.0.iter().map(|(fault, outcome)| row(fault, outcome)).collect();
        table(
            &[
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
                "a pod starts in: before, meanwhile",
                "counted as lost",
            ],
            &rows,
        );
    }
}

fn row(fault: &str, outcome: &Result<Outcome>) -> Vec<String> {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return vec![fault.to_owned(), format!("FAILED: {error:#}")],
    };
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let meanwhile = outcome.told.started.map_or_else(|| "–".to_owned(), seconds);
    let lost: Vec<String> = outcome.lost.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let gaps =
        if outcome.counts.gaps > 0 { format!(" ({} lists)", outcome.counts.gaps) } else { String::new() };
    vec![
        fault.to_owned(),
        outcome.told.what.clone(),
        seconds(outcome.lasted),
        format!("{}{gaps}", outcome.counts.changes),
        outcome.counts.wrong.len().to_string(),
        outcome.counts.doubts.to_string(),
        seconds(outcome.right),
        seconds(outcome.at_work),
        format!("0 of {}", outcome.applications),
        outcome.sidecars.to_string(),
        format!("{}, {meanwhile}", seconds(outcome.usual_start)),
        if lost.is_empty() { "–".to_owned() } else { lost.join(", ") },
    ]
}
