//! A table in a document of which each row is replaced by itself: by its first cell.

use crate::measure::markdown;

/// The lines between which the table is.
const BEGIN: &str = "<!-- table -->";
const END: &str = "<!-- /table -->";

/// The document with these rows in its table; those of before stay that have another first cell, in the order of
/// `order`. With another header they go. `None` where the document has no place for a table.
pub fn replaced(document: &str, header: &[&str], rows: &[Vec<String>], order: &[&str]) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (table, after) = rest.split_once(END)?;
    let mut lines = table.lines().filter(|line| line.starts_with('|')).map(cells);
    let same = lines.next().is_some_and(|first| first == header);
    let old: Vec<Vec<String>> = if same { lines.skip(1).collect() } else { Vec::new() };
    let of = |name: &str, rows: &[Vec<String>]| {
        rows.iter().find(|row| row.first().is_some_and(|first| first == name)).cloned()
    };
    let rows: Vec<Vec<String>> =
        order.iter().filter_map(|name| of(name, rows).or_else(|| of(name, &old))).collect();
    Some(format!("{before}{BEGIN}\n{}{END}{after}", markdown(header, &rows)))
}

/// A text that fits into one cell.
pub fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/")
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{cell, replaced};

    const HEADER: [&str; 2] = ["fault", "wrong"];
    const ORDER: [&str; 3] = ["a", "b", "c"];

    fn row(fault: &str, wrong: &str) -> Vec<String> {
        vec![fault.to_owned(), cell(wrong)]
    }

    #[test]
    fn rows_are_replaced_one_by_one() {
        let empty = "text\n<!-- table -->\n<!-- /table -->\nmore\n";
        let first = replaced(empty, &HEADER, &[row("b", "1"), row("a", "x|\ny")], &ORDER).unwrap();
        let expected = "text\n<!-- table -->\n| fault | wrong |\n|---|---|\n| a | x/ y |\n| b | 1 |\n<!-- /table -->\nmore\n";
        assert_eq!(first, expected);
        let second = replaced(&first, &HEADER, &[row("c", "0"), row("b", "0")], &ORDER).unwrap();
        assert_eq!(second, expected.replace("| b | 1 |\n", "| b | 0 |\n| c | 0 |\n"));
        let gone = replaced(&second, &HEADER, &[], &["c"]).unwrap();
        assert!(
            !gone.contains("| a |") && gone.contains("| c | 0 |"),
            "what is no fault any more goes: {gone}"
        );
        let other = replaced(&second, &["fault", "other"], &[row("a", "0")], &ORDER).unwrap();
        assert!(!other.contains("| b |"), "what was counted under other heads: {other}");
        assert_eq!(replaced("no table", &HEADER, &[], &ORDER), None);
    }
}
