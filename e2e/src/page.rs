//! Pages of `docs/`, for tests that hold them against what is: sections, commands and tables.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A section of a page: what is between its heading and the next one of level 2.
pub fn section(page: &str, heading: &str) -> Result<String> {
    let path = root().join("docs").join(page);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let begun = text.split(&format!("\n## {heading}\n")).nth(1);
    let begun = begun.with_context(|| format!("{page} has no section {heading}"))?;
    Ok(begun.split("\n## ").next().unwrap_or(begun).to_owned())
}

/// Its blocks of a language, each without the fences.
pub fn blocks<'a>(section: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// The commands of a console block, each with what the page says that it prints.
pub fn commands(block: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command, String::new())),
            (None, Some((_, printed))) => printed.push_str(line),
            (None, None) => {}
        }
    }
    found
}

/// The cells of the rows of the tables of a section, without their headings.
pub fn rows(section: &str) -> Vec<Vec<&str>> {
    let mut rows: Vec<Vec<&str>> = Vec::new();
    for line in section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")) {
        rows.push(line.split(" | ").map(str::trim).collect());
    }
    // A heading is a row that is followed by dashes, which are not taken for one.
    let headings: Vec<&str> = section
        .lines()
        .zip(section.lines().skip(1))
        .filter(|(_, next)| next.starts_with("|---"))
        .filter_map(|(line, _)| line.strip_prefix("| ")?.split(" | ").next())
        .collect();
    rows.retain(|row| row.first().is_none_or(|first| !headings.contains(first)));
    rows
}

/// What is in backquotes in a text.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
