//! The rows of `matrix`, as the command prints them.

use std::collections::BTreeSet;

use clap::Parser as _;
use peerwalk_cli::args::{Args, Command};
use peerwalk_cli::command::matrix;
use peerwalk_manifests::Cluster;
use serde_json::Value;

/// What is printed.
#[allow(dead_code, reason = "not every test asks for it")]
pub fn matrix_of(arguments: &[&str], cluster: &Cluster) -> String {
    answered(arguments, cluster).unwrap()
}

/// What is printed, or why nothing is.
pub fn answered(arguments: &[&str], cluster: &Cluster) -> anyhow::Result<String> {
    let arguments = ["peerwalk", "matrix"].iter().chain(arguments);
    match Args::try_parse_from(arguments).unwrap().command {
        Command::Matrix(arguments) => matrix::answer(&arguments, cluster),
        other => panic!("{other:?} is not the matrix"),
    }
}

/// The pairs of the JSON form.
pub fn expanded(json: &str) -> BTreeSet<(String, String, String)> {
    let document: Value = serde_json::from_str(json).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut found = BTreeSet::new();
    for row in document["rows"].as_array().unwrap() {
        for from in texts(&row["from"]) {
            for to in texts(&row["to"]) {
                assert!(
                    found.insert((from.clone(), to, row["ports"].as_str().unwrap().to_owned())),
                    "each pair once"
                );
            }
        }
    }
    found
}
