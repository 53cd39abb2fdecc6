//! The table of conditions in `docs/operations.md`: whatever status any of these tests sees has its rows there, and no row
//! is of what is never said.

use std::collections::BTreeSet;

use peerwalk_model::Reason;
use peerwalk_model::reason::ReasonStage;

use super::*;

const PAGE: &str = include_str!("../../../../../docs/operations.md");

/// Reasons that are no codes of the catalogue.
const WORDS: [&str; 6] = ["AsExpected", "Suspended", "Pending", "Settled", "Progressing", "AllReporting"];

struct Row {
    /// A condition and its status, such as `Ready` and `False`.
    holds: Vec<(&'static str, &'static str)>,
    /// The cell with the reasons.
    reasons: &'static str,
}

fn quoted(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

fn rows() -> Vec<Row> {
    let section = PAGE.split("\n## Conditions\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let lines = section.expect("a section on conditions").lines().filter(|line| line.starts_with("| `"));
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "condition, reason, what it means, what to do: {line}");
        let holds = cells[0].split(", ").map(|one| {
            let (condition, status) = one.split_once(' ').expect("a condition and its status");
            (condition.trim_matches('`'), status)
        });
        Row { holds: holds.collect(), reasons: cells[1] }
    };
    lines.map(row).collect()
}

/// Whether the row tells of this reason, where Ready has that one.
fn tells(row: &Row, reason: &str, of_ready: &str) -> bool {
    match row.reasons {
        "a code" | "another code" => {
            reason.parse::<Reason>().is_ok_and(|reason| reason.stage() != ReasonStage::Coverage)
        }
        "as `Ready`" => reason == of_ready,
        names => quoted(names).any(|name| name == reason),
    }
}

/// Every condition of what is written has a row.
pub(super) fn has(outputs: &[Output]) {
    let rows = rows();
    let written = outputs.iter().filter_map(|output| match output {
        Output::Status(_, write) => Some(&write.status),
        _ => None,
    });
    for status in written {
        let of_ready = status.condition(READY).map_or("", |ready| ready.reason.as_str());
        for condition in &status.conditions {
            let holds = (condition.type_.as_str(), condition.status.as_str());
            let told =
                rows.iter().any(|row| row.holds.contains(&holds) && tells(row, &condition.reason, of_ready));
            assert!(told, "docs/operations.md has no row for {holds:?} {}", condition.reason);
        }
    }
}

#[test]
fn each_row_is_of_something_that_is_said() {
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(row.reasons)).collect();
    for name in &named {
        let known = name.parse::<Reason>().is_ok() || WORDS.contains(name) || *name == READY;
        assert!(known, "no condition has the reason {name}");
    }
    for word in WORDS {
        assert!(named.contains(word), "{word} has a row");
    }
    for reason in Reason::ALL.iter().filter(|reason| reason.stage() == ReasonStage::Coverage) {
        let ready = rows.iter().filter(|row| row.holds[0].0 == READY);
        let told = ready.into_iter().any(|row| quoted(row.reasons).any(|name| name == reason.code()));
        assert!(told, "Ready with {reason:?} has a row");
    }
    for row in &rows {
        for (condition, status) in &row.holds {
            assert!([READY, RECONCILING, STALLED, COVERED].contains(condition), "there is no {condition}");
            assert!(["True", "False", "Unknown"].contains(status), "{condition} is never {status}");
        }
    }
}
