//! Rows as texts: a table, CSV and Markdown.

use std::fmt::Write as _;

use crate::pairs::Peer;
use crate::print;

/// One pair that is open.
pub struct Row {
    /// Who connects.
    pub from: Peer,
    /// Who is connected to.
    pub to: Peer,
    /// On which ports.
    pub ports: String,
}

/// Columns.
pub fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no pair is open\n".to_owned();
    }
    let mut cells = vec![["FROM", "TO", "PORTS"].map(str::to_owned).to_vec()];
    let row = |row: &Row| vec![clean(&row.from), clean(&row.to), row.ports.clone()];
    cells.extend(rows.iter().map(row));
    print::columns(&cells)
}

fn clean(peer: &Peer) -> String {
    print::clean(&peer.to_string())
}

/// Comma-separated values (RFC 4180).
pub fn csv(rows: &[Row]) -> String {
    let mut text = "from,to,ports\n".to_owned();
    for row in rows {
        let cells = [row.from.to_string(), row.to.to_string(), row.ports.clone()].map(|cell| quoted(&cell));
        let _ = writeln!(text, "{}", cells.join(","));
    }
    text
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// A table of Markdown.
pub fn md(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No pair is open.\n".to_owned();
    }
    let mut text = "| From | To | Ports |\n|---|---|---|\n".to_owned();
    for row in rows {
        let _ = writeln!(text, "| {} | {} | {} |", cell(&row.from), cell(&row.to), row.ports);
    }
    text
}

/// A cell of Markdown: nothing in it ends the cell.
fn cell(peer: &Peer) -> String {
    format!("`{}`", print::clean(&peer.to_string()).replace('`', "'").replace('|', "\\|"))
}
