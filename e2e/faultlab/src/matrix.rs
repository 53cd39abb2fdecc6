//! What was expected against what was said, over all cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use crate::run::{Grade, Played};

/// Counts by the cause expected and the one given, and the times of the right answers.
#[derive(Debug, Default)]
pub struct Matrix {
    cells: BTreeMap<(String, String), usize>,
    grades: BTreeMap<Grade, usize>,
    times: BTreeMap<String, Vec<Duration>>,
    again: u32,
}

impl Matrix {
    /// Takes in one case.
    pub fn add(&mut self, played: &Played) {
        *self.cells.entry((played.expected.clone(), played.given.clone())).or_default() += 1;
        *self.grades.entry(played.grade).or_default() += 1;
        self.again += played.again;
        if played.grade == Grade::Right {
            self.times.entry(played.expected.clone()).or_default().push(played.elapsed);
        }
    }

    /// How many cases got this grade.
    pub fn count(&self, grade: Grade) -> usize {
        self.grades.get(&grade).copied().unwrap_or_default()
    }

    /// Tables in Markdown: the counts, the matrix without its empty rows, the times.
    pub fn markdown(&self) -> String {
        let mut text =
            "| right | honestly unknown | otherwise off | confidently wrong |\n|---|---|---|---|\n|"
                .to_owned();
        for grade in [Grade::Right, Grade::Unknown, Grade::Off, Grade::Wrong] {
            let _ = write!(text, " {} |", self.count(grade));
        }
        let again = self.again;
        let _ = write!(text, "\n\nPlayed again, since the machine kept the probe from running: {again}.");
        text += "\n\n| expected | given | times |\n|---|---|---|\n";
        for ((expected, given), count) in &self.cells {
            let _ = writeln!(text, "| {expected} | {given} | {count} |");
        }
        text += "\n| cause | p50 | max | cases |\n|---|---|---|---|\n";
        let causes: BTreeSet<&String> = self.times.keys().collect();
        for cause in causes {
            let mut times = self.times[cause].clone();
            times.sort_unstable();
            let (p50, max) = (times[times.len() / 2], times[times.len() - 1]);
            let _ = writeln!(
                text,
                "| {cause} | {} ms | {} ms | {} |",
                p50.as_millis(),
                max.as_millis(),
                times.len()
            );
        }
        text
    }
}
