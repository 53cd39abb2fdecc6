//! The checks, one a line.

use jiff::Timestamp;
use peerwalk_api::CheckResult;

use crate::age::age;
use crate::check::Check;
use crate::print::{clean, columns, paint};

/// A message in the table has at most this many characters; the check alone has all of it.
const MESSAGE: usize = 90;

/// Failures first, then what is not known, then the rest; in each by name.
pub(super) fn sort(checks: &mut [Check]) {
    let rank = |check: &Check| match check.status.result {
        CheckResult::Failed => 0,
        CheckResult::Unknown => 1,
        CheckResult::Suspended => 2,
        CheckResult::AsExpected => 3,
    };
    checks.sort_by(|a, b| (rank(a), &a.namespace, &a.name).cmp(&(rank(b), &b.namespace, &b.name)));
}

/// The table.
pub(super) fn text(checks: &[Check], everywhere: bool, now: Timestamp) -> String {
    if checks.is_empty() {
        return "no ConnectivityChecks are here\n".to_owned();
    }
    let head = ["NAMESPACE", "CHECK", "READY", "REASON", "OK", "SINCE", "MESSAGE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(checks.iter().map(|check| row(check, now)));
    if !everywhere {
        for row in &mut rows {
            row.remove(0);
        }
    }
    columns(&rows)
}

fn row(check: &Check, now: Timestamp) -> Vec<String> {
    let ready = check.ready();
    let word = ready.map_or("Unknown", |ready| ready.status.as_str());
    let reason = ready.map_or(String::new(), |ready| clean(&ready.reason));
    let since = check.status.since.as_ref().map_or("-".to_owned(), |since| age(since.0, now));
    let message = match ready {
        _ if !check.current => format!("not yet said of generation {}", check.generation),
        Some(ready) => short(&clean(&ready.message)),
        None => String::new(),
    };
    let ok = check.status.summary.as_ref().map_or("-".to_owned(), |summary| clean(&summary.ok));
    vec![check.namespace.clone(), check.name.clone(), paint(word), reason, ok, since, message]
}

fn short(message: &str) -> String {
    if message.chars().count() <= MESSAGE {
        return message.to_owned();
    }
    message.chars().take(MESSAGE - 1).chain(['…']).collect()
}
