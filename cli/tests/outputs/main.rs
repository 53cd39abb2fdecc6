//! What the commands print about a small example, held in files: help, and every form of output. With `BLESS=1` the files
//! are written anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

mod contract;
mod unread;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in the folder of the examples.
pub fn peerwalk(arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerwalk"));
    command.args(arguments).current_dir(folder).env_remove("CLICOLOR_FORCE").env("COLUMNS", "100");
    // Nobody's cluster is asked.
    command.env("KUBECONFIG", "no-such-kubeconfig").env_remove("KUBERNETES_SERVICE_HOST");
    command.output().unwrap()
}

/// What is printed, the remarks after the answer, and how it ends.
fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let remarks = if err.is_empty() { String::new() } else { format!("--- standard error\n{err}") };
    format!("{out}{remarks}--- exit code {}\n", output.status.code().unwrap())
}

const EXPLAIN: [&str; 7] = ["explain", "-f", "shop", "--from", "shop/web", "--to", "ledger/postgres:5432"];

#[test]
fn outputs_are_as_before() {
    let explain = |more: &[&'static str]| [&EXPLAIN[..], more].concat();
    let table: Vec<(&str, Vec<&str>)> = vec![
        ("help", vec!["--help"]),
        ("help-explain", vec!["explain", "--help"]),
        ("help-matrix", vec!["matrix", "--help"]),
        ("help-diff", vec!["diff", "--help"]),
        ("help-lint", vec!["lint", "--help"]),
        ("help-status", vec!["status", "--help"]),
        ("help-wait", vec!["wait", "--help"]),
        ("explain", explain(&[])),
        ("explain-yaml", explain(&["-o", "yaml"])),
        ("explain-expected", explain(&["--expect", "denied"])),
        ("explain-not-expected", explain(&["--expect", "allowed"])),
        (
            "explain-after",
            vec!["explain", "-f", "shop-after", "--from", "shop/web", "--to", "ledger/postgres"],
        ),
        (
            "explain-outside",
            vec!["explain", "-f", "shop", "--from", "203.0.113.7", "--to", "http://web.shop.svc"],
        ),
        (
            "explain-unknown",
            vec!["explain", "-f", "shop", "--from", "shop/web", "--to", "https://api.example.com"],
        ),
        ("explain-no-such", vec!["explain", "-f", "shop", "--from", "shop/wbe", "--to", "ledger/postgres"]),
        (
            "explain-no-port",
            vec!["explain", "-f", "shop", "--from", "shop/web", "--to", "ledger/postgres:80"],
        ),
        ("explain-nothing", vec!["explain", "--from", "shop/web", "--to", "ledger/postgres"]),
        ("matrix", vec!["matrix", "-f", "shop"]),
        ("matrix-json", vec!["matrix", "-f", "shop", "-o", "json"]),
        ("matrix-csv", vec!["matrix", "-f", "shop", "-o", "csv"]),
        ("matrix-md", vec!["matrix", "-f", "shop", "-o", "md", "--to", "ledger/*"]),
        ("matrix-dot", vec!["matrix", "-f", "shop", "-o", "dot", "--from", "outside"]),
        ("matrix-svg", vec!["matrix", "-f", "shop", "-o", "svg", "--to", "ledger/postgres"]),
        ("matrix-html", vec!["matrix", "-f", "shop", "-o", "html", "-n", "ledger"]),
        ("matrix-np-guard", vec!["matrix", "-f", "shop", "-o", "np-guard", "--profile", "np-guard"]),
        ("diff", vec!["diff", "shop", "shop-after"]),
        ("diff-json", vec!["diff", "shop", "shop-after", "-o", "json"]),
        ("diff-md", vec!["diff", "shop", "shop-after", "-o", "md"]),
        ("diff-sarif", vec!["diff", "shop", "shop-after", "-o", "sarif"]),
        ("diff-none", vec!["diff", "shop", "shop"]),
        ("lint", vec!["lint", "-f", "shop"]),
        ("lint-json", vec!["lint", "-f", "lint", "-o", "json"]),
        ("lint-text", vec!["lint", "-f", "lint"]),
        ("lint-sarif", vec!["lint", "-f", "lint", "-o", "sarif"]),
    ];
    let mut wrong = Vec::new();
    for (name, arguments) in table {
        let told = told(&peerwalk(&arguments));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/outputs/expected/{name}.txt"));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &told).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if told != expected {
            wrong.push(format!("{name}: expected\n{expected}\nand it printed\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "BLESS=1 writes the files anew\n{}", wrong.join("\n"));
}

#[test]
fn the_name_for_kubectl_is_the_same_program() {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-peerwalk")).arg("--version").output().unwrap();
    assert_eq!(output.stdout, peerwalk(&["--version"]).stdout);
}

#[test]
fn shells_and_man_are_served() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = peerwalk(&["completions", shell]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("explain"), "{shell}: {text}");
    }
    for (arguments, expected) in [(vec!["man"], "peerwalk"), (vec!["man", "explain"], "expect")] {
        let output = peerwalk(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains(".TH") && text.contains(expected),
            "{arguments:?}: {text}"
        );
    }
    assert_eq!(peerwalk(&["man", "nothing"]).status.code(), Some(2));
}

#[test]
fn wrong_command_lines_are_refused() {
    for arguments in
        [vec!["explain"], vec!["nothing"], vec!["matrix", "-f", "no-such-folder"], vec!["diff", "-", "-"]]
    {
        let output = peerwalk(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?} says why on the standard error"
        );
    }
}

/// What the README shows is what is printed.
#[test]
fn the_readme_shows_real_answers() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    for arguments in [&EXPLAIN[..], &["diff", "shop", "shop-after"]] {
        let printed = String::from_utf8(peerwalk(arguments).stdout).unwrap();
        let shown = format!("```console\n$ peerwalk {}\n{}\n```\n", arguments.join(" "), printed.trim_end());
        assert!(readme.contains(&shown), "README.md shows:\n{shown}");
    }
}
