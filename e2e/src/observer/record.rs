//! What was said, as values: each condition and each target of a check has one answer at a time, and each change of it
//! is counted and judged when it is seen.

use std::collections::{BTreeMap, BTreeSet};

use peerwalk_api::{ConditionStatus, ConnectivityCheck};

#[cfg(test)]
mod tests;

/// An answer that is true: a condition's status or what was observed of a target, such as `True` or `Denied`, and the
/// reason; any reason where that is empty.
pub type Truth = (&'static str, &'static str);

/// What is true of a condition or a target of a check.
pub type Expected = (&'static str, &'static str, &'static [Truth]);

/// Counts of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changes of an answer, of everything that was seen.
    pub changes: usize,
    /// Changes to a confident answer that was not true.
    pub wrong: Vec<String>,
    /// Changes to Unknown of what has a truth.
    pub doubts: usize,
    /// Times the watch had to list again, so that something may have been missed.
    pub gaps: usize,
}

/// A check, and one of its conditions or targets.
type Key = (String, String);

/// An answer and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    says: String,
    reason: String,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) counts: Counts,
    truths: BTreeMap<Key, Vec<Truth>>,
    now: BTreeMap<Key, Answer>,
    /// Beginnings, in seconds of the epoch, of the outages of a target.
    outages: BTreeMap<Key, BTreeSet<i64>>,
    has_listed: bool,
}

impl Record {
    pub(super) fn expect(&mut self, check: &str, of: &str, truths: &[Truth]) {
        self.truths.insert((check.to_owned(), of.to_owned()), truths.to_vec());
    }

    /// Takes a version of a check; gives a line for each change.
    pub(super) fn see(&mut self, check: &ConnectivityCheck) -> Vec<String> {
        let name = check.metadata.name.clone().unwrap_or_default();
        let mut lines = Vec::new();
        for (of, answer) in answers(check) {
            let key = (name.clone(), of);
            let before = self.now.insert(key.clone(), answer.clone());
            if before.as_ref() == Some(&answer) {
                continue;
            }
            let word = self.judge(&key, &answer);
            if let Some(before) = before {
                self.counts.changes += 1;
                lines.push(format!("{} {}: {before} -> {answer}{word}", key.0, key.1));
            }
        }
        for outage in check.status.iter().flat_map(|status| &status.outages) {
            let key = (name.clone(), outage.target.clone());
            self.outages.entry(key).or_default().insert(outage.start.0.as_second());
        }
        lines
    }

    fn judge(&mut self, key: &Key, answer: &Answer) -> &'static str {
        let Some(truths) = self.truths.get(key) else { return "" };
        if answer.is_one_of(truths) {
            return "";
        }
        if answer.says == "Unknown" {
            self.counts.doubts += 1;
            return " (not sure)";
        }
        self.counts.wrong.push(format!("{} {}: {answer}", key.0, key.1));
        " (WRONG)"
    }

    /// A check is gone, and nothing here deletes one.
    pub(super) fn gone(&mut self, check: &str) -> Vec<String> {
        self.only(|other| other != check)
    }

    /// All checks but these are gone.
    pub(super) fn only(&mut self, there: impl Fn(&str) -> bool) -> Vec<String> {
        let gone: BTreeSet<String> =
            self.now.keys().map(|(check, _)| check).filter(|check| !there(check)).cloned().collect();
        self.now.retain(|(check, _), _| !gone.contains(check));
        let lines: Vec<String> = gone.into_iter().map(|check| format!("{check} is gone (WRONG)")).collect();
        self.counts.wrong.extend(lines.iter().cloned());
        lines
    }

    /// A list begins.
    pub(super) fn lists(&mut self) {
        self.counts.gaps += usize::from(std::mem::replace(&mut self.has_listed, true));
    }

    /// What of these says something else.
    pub(super) fn differ(&self, expected: &[Expected]) -> Vec<String> {
        let differs =
            |(check, of, truths): &Expected| self.differs(&((*check).to_owned(), (*of).to_owned()), truths);
        expected.iter().filter_map(differs).collect()
    }

    fn differs(&self, key: &Key, truths: &[Truth]) -> Option<String> {
        let now = self.now.get(key);
        let says = now.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let right = now.is_some_and(|answer| answer.is_one_of(truths));
        (!right).then(|| format!("{} {} says {says}, expected {truths:?}", key.0, key.1))
    }

    pub(super) fn outages(&self, check: &str, target: &str) -> usize {
        self.outages.get(&(check.to_owned(), target.to_owned())).map_or(0, BTreeSet::len)
    }
}

impl Answer {
    fn is_one_of(&self, truths: &[Truth]) -> bool {
        truths
            .iter()
            .any(|(says, reason)| self.says == *says && (reason.is_empty() || self.reason == *reason))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.says, self.reason)
    }
}

/// The answers of a check about its present spec.
fn answers(check: &ConnectivityCheck) -> Vec<(String, Answer)> {
    let Some(status) = &check.status else { return Vec::new() };
    let says = |status: ConditionStatus| match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    };
    let of_spec = status.conditions.iter().filter(|c| c.observed_generation == check.metadata.generation);
    let conditions = of_spec.map(|condition| {
        let answer = Answer { says: says(condition.status).to_owned(), reason: condition.reason.clone() };
        (condition.type_.clone(), answer)
    });
    let targets = status.targets.iter().map(|row| {
        let answer =
            Answer { says: format!("{:?}", row.observed), reason: row.reason.clone().unwrap_or_default() };
        (row.name.clone(), answer)
    });
    conditions.chain(targets).collect()
}
