//! Rows as texts: a table, JSON, CSV and Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

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

/// Sources, each of which reaches each of the destinations.
#[derive(Serialize)]
struct Block {
    from: Vec<String>,
    to: Vec<String>,
    ports: String,
}

/// The JSON form.
#[derive(Serialize)]
struct Document<'a> {
    profile: &'a str,
    rows: Vec<Block>,
}

/// Sources that reach the same destinations on the same ports are told together.
pub fn json(rows: &[Row], profile: &str) -> Result<String> {
    let mut by_source: BTreeMap<(&Peer, &str), Vec<&Peer>> = BTreeMap::new();
    for row in rows {
        by_source.entry((&row.from, &row.ports)).or_default().push(&row.to);
    }
    let mut alike: BTreeMap<(&str, Vec<&Peer>), Vec<&Peer>> = BTreeMap::new();
    for ((from, ports), to) in by_source {
        alike.entry((ports, to)).or_default().push(from);
    }
    let mut blocks: Vec<(Vec<&Peer>, Vec<&Peer>, &str)> =
        alike.into_iter().map(|((ports, to), from)| (from, to, ports)).collect();
    blocks.sort();
    let named = |peers: Vec<&Peer>| peers.into_iter().map(ToString::to_string).collect();
    let rows = blocks
        .into_iter()
        .map(|(from, to, ports)| Block { from: named(from), to: named(to), ports: ports.to_owned() })
        .collect();
    Ok(serde_json::to_string_pretty(&Document { profile, rows })? + "\n")
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
