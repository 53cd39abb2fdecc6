//! What was expected, what came and how long it took: the demo's last words.

use std::time::Duration;

use crate::tree;

use super::watch::{Expected, Verdict};

/// The verdicts of a demo, in order.
#[derive(Default)]
pub(crate) struct Summary {
    rows: Vec<Row>,
}

struct Row {
    title: String,
    check: &'static str,
    expected: String,
    seen: String,
    /// `None` when the expected did not come.
    took: Option<Duration>,
}

impl Summary {
    pub(crate) fn add(
        &mut self,
        title: &str,
        check: &'static str,
        expected: &Expected,
        took: Option<Duration>,
        seen: Option<&Verdict>,
    ) {
        let words = expected.words.iter().copied();
        let expected: Vec<&str> = [expected.ready].into_iter().chain(expected.reason).chain(words).collect();
        let seen = seen.map_or_else(|| "nothing".to_owned(), |s| format!("{} {}", s.ready, s.reason));
        self.rows.push(Row { title: title.to_owned(), check, expected: expected.join(" "), seen, took });
    }

    /// Whether every expected verdict came.
    pub(crate) fn all_came(&self) -> bool {
        self.rows.iter().all(|r| r.took.is_some())
    }

    pub(crate) fn show(&self) {
        if self.rows.is_empty() {
            return;
        }
        let time =
            |row: &Row| row.took.map_or_else(|| "MISSING".to_owned(), |t| format!("{} ms", t.as_millis()));
        let header = ["STEP", "CHECK", "EXPECTED", "SEEN", "TIME"].map(str::to_owned);
        let cells =
            |r: &Row| [r.title.clone(), r.check.to_owned(), r.expected.clone(), r.seen.clone(), time(r)];
        let table: Vec<_> = [header].into_iter().chain(self.rows.iter().map(cells)).collect();
        let width = |column: usize| table.iter().map(|line| line[column].len()).max().unwrap_or_default();
        let widths = [0, 1, 2, 3].map(width);
        tree::say("");
        for [title, check, expected, seen, time] in &table {
            let [first, second, third, fourth] = widths;
            tree::say(&format!(
                "{title:first$}  {check:second$}  {expected:third$}  {seen:fourth$}  {time:>8}"
            ));
        }
        let missing: Vec<_> = self.rows.iter().filter(|r| r.took.is_none()).collect();
        for row in missing {
            tree::say(&format!(
                "NOT SEEN  {}: expected {} of {}, last saw {}",
                row.title, row.expected, row.check, row.seen
            ));
        }
    }
}
