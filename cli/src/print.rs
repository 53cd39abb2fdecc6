//! What is printed: answers on the standard output, remarks on the standard error, colours on terminals only.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};

/// Prints an answer. A reader that has gone away is no failure: `peerwalk … | head` is a way to ask.
///
/// # Errors
/// Where the standard output takes nothing.
pub fn out(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Says something about it, one line.
pub fn note(text: &str) {
    // There is nowhere to say that this cannot be said.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A word in the colour of what it says.
pub fn paint(word: &str) -> String {
    let colour = match word {
        "True" | "AsExpected" => AnsiColor::Green,
        "False" | "Failed" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    let style = Style::new().fg_color(Some(colour.into())).bold();
    format!("{style}{word}{style:#}")
}

/// A text of the cluster, without what would move a terminal's cursor.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Rows in columns, two blanks between them; nothing follows the last cell.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| seen(cell)).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 2 - seen(cell)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How many places a cell takes: colours take none.
fn seen(cell: &str) -> usize {
    let mut places = 0;
    let mut escaped = false;
    for c in cell.chars() {
        match c {
            '\u{1b}' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            _ => places += 1,
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::{clean, columns, paint};

    #[test]
    fn columns_are_as_wide_as_what_is_seen() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["A", "READY", "MESSAGE"]), vec!["check".into(), paint("True"), String::new()]];
        let plain = anstream::adapter::strip_str(&columns(&rows)).to_string();
        assert_eq!(plain, "A      READY  MESSAGE\ncheck  True\n");
        assert_eq!(columns(&[]), "");
    }

    #[test]
    fn nothing_of_the_cluster_moves_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{9b}d"), "a [2Jb c d");
    }
}
