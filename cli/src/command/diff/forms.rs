//! How differences are printed.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use peerwalk_manifests::Cluster;
use peerwalk_netpol::{PolicyRef, PortSet};
use serde_json::{Value, json};

use crate::changes::{Became, Change, Changes, Side};
use crate::print::clean;
use crate::sarif;

/// How many rows a comment holds; a forge takes no longer ones.
const ROWS: usize = 200;

fn sign(became: Became) -> (char, AnsiColor) {
    match became {
        Became::Added => ('+', AnsiColor::Green),
        Became::Removed => ('-', AnsiColor::Red),
        Became::Changed => ('~', AnsiColor::Yellow),
        Became::Undecided => UNDECIDED,
    }
}

const UNDECIDED: (char, AnsiColor) = ('?', AnsiColor::Magenta);

fn word(became: Became) -> &'static str {
    match became {
        Became::Added => "added",
        Became::Removed => "removed",
        Became::Changed => "changed",
        Became::Undecided => "undecided",
    }
}

/// Where a policy could not be read.
fn place(side: Side) -> &'static str {
    match side {
        Side::Before => "before",
        Side::After => "after",
        Side::Both => "before and after",
    }
}

/// Ports, and where only some pods have them, those as well.
fn ports((all, some): &(PortSet, PortSet)) -> String {
    if all == some { all.to_string() } else { format!("{all} (some pods: {some})") }
}

/// Lines for people.
pub fn text(changes: &Changes) -> String {
    let mut text = String::new();
    for (policy, side) in &changes.unreadable {
        let (sign, _) = UNDECIDED;
        let _ = writeln!(text, "{sign} {}: could not be read {}", clean(&policy.to_string()), place(*side));
    }
    for (policy, became) in &changes.policies {
        let (sign, _) = sign(*became);
        let beside = match became {
            Became::Undecided => ": may stand in what could not be read",
            _ if changes.by_names.contains(policy) => {
                ": rules by domain names, whose addresses are not known"
            }
            _ => "",
        };
        let _ = writeln!(text, "{sign} {}{beside}", clean(&policy.to_string()));
    }
    if changes.pairs.is_empty() {
        let _ = writeln!(text, "{}", summary(changes));
        return text;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    for change in &changes.pairs {
        let (sign, colour) = if change.undecided { UNDECIDED } else { sign(change.became) };
        let style = Style::new().fg_color(Some(colour.into()));
        let ends = clean(&format!("{} → {}", change.from, change.to));
        let said = match change.became {
            Became::Added if !change.undecided => ports(&change.after),
            Became::Removed if !change.undecided => ports(&change.before),
            _ => format!("{} → {}", ports(&change.before), ports(&change.after)),
        };
        let undecided = if change.undecided { "  (undecided)" } else { "" };
        let beside = if change.other_ends { "  (a workload of one side alone)" } else { "" };
        let _ = writeln!(text, "{style}{sign} {ends}: {said}{style:#}{undecided}{beside}");
    }
    let _ = writeln!(text, "\n{}", summary(changes));
    text
}

fn summary(changes: &Changes) -> String {
    if changes.pairs.is_empty() {
        let told = if changes.is_open() {
            "undecided: no pair changes, as far as is known"
        } else {
            "no pair changes"
        };
        return told.to_owned();
    }
    let count = |became| changes.certain().filter(|change| change.became == became).count();
    let [added, removed, changed] = [Became::Added, Became::Removed, Became::Changed].map(count);
    let certain = changes.certain().count();
    let pairs = match certain {
        0 => "no pair differs for certain".to_owned(),
        1 => format!("1 pair differs: {added} added, {removed} removed, {changed} changed"),
        many => format!("{many} pairs differ: {added} added, {removed} removed, {changed} changed"),
    };
    match changes.pairs.len() - certain {
        0 if changes.is_open() => format!("{pairs}; others may, by what is not known"),
        0 => pairs,
        1 => format!("{pairs}; 1 is undecided"),
        many => format!("{pairs}; {many} are undecided"),
    }
}

/// For programs.
pub fn json(changes: &Changes) -> Result<String> {
    let policies: Vec<Value> = changes
        .policies
        .iter()
        .map(|(policy, became)| {
            json!({"kind": policy.kind.to_string(), "namespace": named(&policy.namespace), "name": &*policy.name,
                   "change": word(*became), "domainNames": changes.by_names.contains(policy)})
        })
        .collect();
    let pairs: Vec<Value> = changes
        .pairs
        .iter()
        .map(|change| {
            json!({"from": change.from.to_string(), "to": change.to.to_string(), "change": word(change.became),
                   "before": ports(&change.before), "after": ports(&change.after),
                   "opened": change.opened().to_string(), "closed": change.closed().to_string(),
                   "otherEnds": change.other_ends, "undecided": change.undecided})
        })
        .collect();
    let unreadable: Vec<Value> = changes
        .unreadable
        .iter()
        .map(|(policy, side)| {
            json!({"kind": policy.kind.to_string(), "namespace": named(&policy.namespace), "name": &*policy.name,
                   "side": side})
        })
        .collect();
    let document = json!({"changed": changes.certain().next().is_some(), "unreadable": unreadable,
                          "policies": policies, "pairs": pairs});
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn named(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Which ports of a change are told.
type Set = fn(&Change) -> PortSet;

/// For comments: what is opened first.
pub fn md(changes: &Changes) -> String {
    if changes.pairs.is_empty() && !changes.is_open() {
        return "### Who reaches whom: no change\n".to_owned();
    }
    let mut text = format!("### Who reaches whom: {}\n", summary(changes));
    if !changes.unreadable.is_empty() {
        let policies: Vec<String> = changes
            .unreadable
            .iter()
            .map(|(policy, side)| format!("`{}` ({})", cell(policy), place(*side)))
            .collect();
        let _ = writeln!(
            text,
            "\n**Could not be read**, so pairs that they may decide about are undecided: {}",
            policies.join(", ")
        );
    }
    if !changes.policies.is_empty() {
        let policies: Vec<String> = changes
            .policies
            .iter()
            .map(|(policy, became)| {
                let names =
                    if changes.by_names.contains(policy) { " (by domain names: undecided)" } else { "" };
                format!("{} `{}`{names}", word(*became), cell(policy))
            })
            .collect();
        let _ = writeln!(text, "\nPolicies: {}", policies.join(", "));
    }
    let sorts: [(&str, &str, Set); 2] =
        [("Opened", "now open", Change::opened), ("Closed", "no longer open", Change::closed)];
    for (title, column, set) in sorts {
        let rows: Vec<(&Change, PortSet)> = changes
            .pairs
            .iter()
            .map(|change| (change, set(change)))
            .filter(|(_, set)| !set.is_empty())
            .collect();
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(
            text,
            "\n#### {title}\n\n| From | To | {column} | before | after |\n|---|---|---|---|---|"
        );
        for (change, set) in rows.iter().take(ROWS) {
            let undecided = if change.undecided { " (undecided)" } else { "" };
            let _ = writeln!(
                text,
                "| `{}` | `{}` | {set}{undecided} | {} | {} |",
                cell(&change.from),
                cell(&change.to),
                ports(&change.before),
                ports(&change.after)
            );
        }
        if rows.len() > ROWS {
            let _ = writeln!(text, "\nand {} more", rows.len() - ROWS);
        }
    }
    text
}

/// Nothing in it ends a cell.
fn cell(what: &impl ToString) -> String {
    clean(&what.to_string()).replace('`', "'").replace('|', "\\|")
}

const RULES: [sarif::Rule; 4] = [
    sarif::Rule {
        id: "domain-names",
        meaning: "Rules by domain names change: pairs with addresses outside are undecided.",
    },
    sarif::Rule {
        id: "unreadable",
        meaning: "A policy could not be read: pairs that it may decide about are undecided.",
    },
    sarif::Rule { id: "opened", meaning: "A pair is open on ports that were closed before." },
    sarif::Rule { id: "closed", meaning: "A pair is closed on ports that were open before." },
];

/// For code scanning: each pair at a policy that changed with it, where there is one.
pub fn sarif(changes: &Changes, before: &Cluster, after: &Cluster, beside: &str) -> Value {
    let origin = |policy: &PolicyRef| after.origins.get(policy).or_else(|| before.origins.get(policy));
    let unreadable = changes.unreadable.iter().map(|(policy, side)| sarif::Found {
        rule: "unreadable",
        level: "warning",
        message: format!(
            "{policy} could not be read {}: pairs that it may decide about are undecided",
            place(*side)
        ),
        object: policy.to_string(),
        source: origin(policy).cloned().unwrap_or_else(|| beside.to_owned()),
    });
    let by_names = changes.by_names.iter().map(|policy| sarif::Found {
        rule: "domain-names",
        level: "warning",
        message: format!("{policy} has rules by domain names: pairs with addresses outside are undecided"),
        object: policy.to_string(),
        source: origin(policy).cloned().unwrap_or_else(|| beside.to_owned()),
    });
    let mut results: Vec<sarif::Found> = unreadable.chain(by_names).collect();
    for change in &changes.pairs {
        let undecided = if change.undecided { ", undecided" } else { "" };
        let policies: Vec<&PolicyRef> = changes.behind(change).map(|(policy, _)| policy).collect();
        let source =
            policies.iter().find_map(|policy| origin(policy)).cloned().unwrap_or_else(|| beside.to_owned());
        let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
        let by = if names.is_empty() { String::new() } else { format!(" (by {})", names.join(", ")) };
        for (rule, level, set) in
            [("opened", "warning", change.opened()), ("closed", "note", change.closed())]
        {
            if set.is_empty() {
                continue;
            }
            results.push(sarif::Found {
                rule,
                level,
                message: format!("{} → {}: {rule} {set}{by}{undecided}", change.from, change.to),
                object: names.first().cloned().unwrap_or_default(),
                source: source.clone(),
            });
        }
    }
    sarif::log(&RULES, &results)
}
