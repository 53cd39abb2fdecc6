//! `peerwalk lint`: policies that do nothing, or not what they seem to.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use clap::{Args, ValueEnum};
use peerwalk_manifests::Cluster;

use crate::exit::Exit;
use crate::input::Input;
use crate::lint::{self, Code, Finding, Severity};
use crate::progress::Progress;
use crate::{print, sarif};

/// What is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  peerwalk lint -f deploy/
  kustomize build prod | peerwalk lint -f -
  peerwalk lint -f deploy/ -o sarif > lint.sarif      for code scanning
  peerwalk lint -f deploy/ -o json | jq '.findings[] | select(.code == \"no-dns\")'

Findings:
  unreadable                the API server refuses the object
  not-read                  a policy of a data plane's own kind: answers are undecided (a note)
  given-twice               another object has this name: the last counts
  unknown-field             a rule of a policy of the cluster has a field that is not known
  selects-nothing           a policy selects no pod
  peer-matches-nothing      an item of from or to selects nobody (a note: it may be meant for later)
  named-port-without-owner  no destination has a port of this name
  block-over-pods           an ipBlock holds addresses of pods, which data planes read differently
  block-of-service          an ipBlock holds the address of a Service, which policies do not see
  shadowed                  earlier rules of the cluster's policies decide all of it
  equal-priority            two policies of one priority disagree: the order is not defined
  no-dns                    pods may connect somewhere, but not ask DNS (a note: not over TCP)
  cuts-off-hub              sidecars of Peerwalk cannot reach its hub

Exit codes: 0 nothing but notes; 1 something; 2 the command line or the input cannot be used.")]
pub struct Arguments {
    /// What is asked about.
    #[command(flatten)]
    pub input: Input,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code scanning
    Sarif,
}

/// Runs it.
///
/// # Errors
/// Where the input cannot be used.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let mut progress = Progress::default();
    // What cannot be read is among the findings.
    let cluster = arguments.input.whole(&mut progress)?;
    let (text, exit) = answer(arguments, &cluster)?;
    drop(progress);
    print::out(&text)?;
    Ok(exit)
}

/// What is printed about a cluster, and how the command ends.
///
/// # Errors
/// Where it cannot be written.
pub fn answer(arguments: &Arguments, cluster: &Cluster) -> Result<(String, Exit)> {
    let findings = lint::findings(cluster);
    let bad = findings.iter().any(|finding| finding.severity != Severity::Note);
    let text = match arguments.output {
        Output::Text => text(&findings),
        Output::Json => serde_json::to_string_pretty(&serde_json::json!({"findings": findings}))? + "\n",
        Output::Sarif => serde_json::to_string_pretty(&log(&findings))? + "\n",
    };
    Ok((text, if bad { Exit::Otherwise } else { Exit::Done }))
}

fn level(severity: Severity) -> (&'static str, AnsiColor) {
    match severity {
        Severity::Error => ("error", AnsiColor::Red),
        Severity::Warning => ("warning", AnsiColor::Yellow),
        Severity::Note => ("note", AnsiColor::Blue),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (word, colour) = level(finding.severity);
        let style = Style::new().fg_color(Some(colour.into())).bold();
        let place: Vec<&str> = [&*finding.source, &*finding.object, &*finding.field]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        let _ =
            writeln!(text, "{style}{word}[{}]{style:#} {}", finding.code, print::clean(&place.join(": ")));
        let _ = writeln!(text, "  {}", print::clean(&finding.message));
        let _ = writeln!(text, "  → {}", print::clean(&finding.remedy));
    }
    let count = |severity, one: &str| match findings.iter().filter(|of| of.severity == severity).count() {
        1 => format!("1 {one}"),
        many => format!("{many} {one}s"),
    };
    let counted = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
        .map(|(of, one)| count(of, one));
    let _ = match findings.len() {
        0 => writeln!(text, "nothing found"),
        _ => writeln!(text, "{}", counted.join(", ")),
    };
    text
}

fn log(findings: &[Finding]) -> serde_json::Value {
    let rules: Vec<sarif::Rule> =
        Code::ALL.iter().map(|code| sarif::Rule { id: code.name(), meaning: code.meaning() }).collect();
    let results: Vec<sarif::Found> = findings
        .iter()
        .map(|finding| {
            let at = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
            sarif::Found {
                rule: finding.code.name(),
                level: level(finding.severity).0,
                message: format!("{}: {at}{}. Remedy: {}", finding.object, finding.message, finding.remedy),
                object: finding.object.clone(),
                source: finding.source.clone(),
            }
        })
        .collect();
    sarif::log(&rules, &results)
}
