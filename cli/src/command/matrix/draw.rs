//! Rows as pictures: a graph for Graphviz, a grid, and a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::list::Row;
use crate::pairs::Peer;
use crate::print;

/// How many ends a picture has room for, on each side.
const ENDS: usize = 300;

/// Sizes in pixels.
const CELL: usize = 18;
const LETTER: usize = 7;

/// A graph with a box for each namespace.
pub fn dot(rows: &[Row]) -> String {
    let peers: BTreeSet<&Peer> = rows.iter().flat_map(|row| [&row.from, &row.to]).collect();
    let mut by_namespace: BTreeMap<&str, Vec<&Peer>> = BTreeMap::new();
    for peer in peers {
        let namespace = match peer {
            Peer::Workload(of) => of.namespace.as_str(),
            Peer::Outside(_) => "",
        };
        by_namespace.entry(namespace).or_default().push(peer);
    }
    let mut text = "digraph peerwalk {\n  rankdir=LR\n  node [shape=box]\n".to_owned();
    for (number, (namespace, peers)) in by_namespace.into_iter().enumerate() {
        let indent = if namespace.is_empty() { "  " } else { "    " };
        if !namespace.is_empty() {
            let _ = writeln!(text, "  subgraph cluster_{number} {{\n    label={}", quoted(namespace));
        }
        for peer in peers {
            let shape = if namespace.is_empty() { " [shape=ellipse]" } else { "" };
            let _ = writeln!(text, "{indent}{}{shape}", quoted(&peer.to_string()));
        }
        if !namespace.is_empty() {
            text.push_str("  }\n");
        }
    }
    for row in rows {
        let (from, to) = (quoted(&row.from.to_string()), quoted(&row.to.to_string()));
        let _ = writeln!(text, "  {from} -> {to} [label={}]", quoted(&row.ports));
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", print::clean(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// Sources by destinations.
pub struct Grid {
    sources: Vec<String>,
    destinations: Vec<String>,
    ports: BTreeMap<(usize, usize), String>,
}

impl Grid {
    /// Arranges rows.
    pub fn new(rows: &[Row]) -> Self {
        let sources: BTreeSet<&Peer> = rows.iter().map(|row| &row.from).collect();
        let destinations: BTreeSet<&Peer> = rows.iter().map(|row| &row.to).collect();
        let place = |peers: &BTreeSet<&Peer>| -> BTreeMap<Peer, usize> {
            peers.iter().enumerate().map(|(place, peer)| ((*peer).clone(), place)).collect()
        };
        let (from, to) = (place(&sources), place(&destinations));
        let ports = rows
            .iter()
            .filter_map(|row| Some(((*from.get(&row.from)?, *to.get(&row.to)?), row.ports.clone())));
        let named =
            |peers: &BTreeSet<&Peer>| peers.iter().map(|peer| print::clean(&peer.to_string())).collect();
        Self { sources: named(&sources), destinations: named(&destinations), ports: ports.collect() }
    }

    /// The larger of its sides.
    pub fn ends(&self) -> usize {
        self.sources.len().max(self.destinations.len())
    }

    /// Whether nobody could see anything on it.
    pub fn is_too_large(&self) -> bool {
        self.ends() > ENDS
    }

    fn at(&self, source: usize, destination: usize) -> Option<&str> {
        self.ports.get(&(source, destination)).map(String::as_str)
    }
}

/// Green where everything is open, yellow where some ports are.
fn colour(ports: &str) -> &'static str {
    if ports == "All Connections" { "#2e9e5b" } else { "#e0b02e" }
}

/// A grid with a cell for each pair; what is open says so when it is pointed at.
pub fn svg(grid: &Grid) -> String {
    let longest =
        |names: &[String]| names.iter().map(|name| name.chars().count()).max().unwrap_or(0) * LETTER;
    let (left, top) = (longest(&grid.sources) + CELL, longest(&grid.destinations) + CELL);
    let (width, height) =
        (left + grid.destinations.len() * CELL + CELL, top + grid.sources.len() * CELL + CELL);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"monospace\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (column, name) in grid.destinations.iter().enumerate() {
        let (x, y) = (left + column * CELL + CELL * 2 / 3, top - 6);
        let _ = writeln!(text, "<text transform=\"translate({x},{y}) rotate(-90)\">{}</text>", escaped(name));
    }
    for (row, name) in grid.sources.iter().enumerate() {
        let y = top + row * CELL;
        let (x, base) = (left - 6, y + CELL * 2 / 3);
        let _ = writeln!(text, "<text x=\"{x}\" y=\"{base}\" text-anchor=\"end\">{}</text>", escaped(name));
        for (column, to) in grid.destinations.iter().enumerate() {
            let x = left + column * CELL;
            let ports = grid.at(row, column);
            let fill = ports.map_or("#eeeeee", colour);
            let told = format!("{name} → {to}: {}", ports.unwrap_or("closed"));
            let size = CELL - 2;
            let _ = writeln!(
                text,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{size}\" height=\"{size}\" fill=\"{fill}\"><title>{}</title></rect>",
                escaped(&told)
            );
        }
    }
    text.push_str("</svg>\n");
    text
}

const STYLE: &str = "body{font:13px sans-serif;margin:1em}table{border-collapse:collapse}\
th{font-weight:normal;text-align:right;padding:2px 6px;white-space:nowrap;background:#fff;position:sticky;left:0}\
thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;top:0}\
td{border:1px solid #ddd;min-width:1.2em;padding:2px;font-size:11px;text-align:center}\
.all{background:#bfe8cf}.some{background:#f6e3a9}";

/// A page with the grid as a table; nothing is loaded from elsewhere.
pub fn html(grid: &Grid, note: Option<&str>) -> String {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Who reaches whom</title>\n\
         <style>{STYLE}</style>\n<h1>Who reaches whom</h1>\n\
         <p>Rows connect to columns. An empty cell is closed; * stands for every port.</p>\n"
    );
    if let Some(note) = note {
        let _ = writeln!(text, "<p>{}</p>", escaped(note));
    }
    text.push_str("<table>\n<thead><tr><th></th>");
    for name in &grid.destinations {
        let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(name));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for (row, name) in grid.sources.iter().enumerate() {
        let _ = write!(text, "<tr><th scope=\"row\">{}</th>", escaped(name));
        for (column, to) in grid.destinations.iter().enumerate() {
            let title = escaped(&format!("{name} → {to}"));
            let _ = match grid.at(row, column) {
                None => write!(text, "<td></td>"),
                Some("All Connections") => write!(text, "<td class=\"all\" title=\"{title}\">*</td>"),
                Some(ports) => write!(text, "<td class=\"some\" title=\"{title}\">{}</td>", escaped(ports)),
            };
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n</html>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
