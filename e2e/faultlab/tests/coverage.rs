//! Every row of what was measured of kernels is covered by a case in each of its families, or says where else it is
//! looked at; and cases name no row that there is not.

#![allow(clippy::unwrap_used)] // a test like any other, but Clippy sees helpers of test binaries as library code

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use peerwalk_faultlab::case::Case;
use serde::Deserialize;

/// A row of `coverage.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    row: String,
    about: String,
    #[serde(default = "both")]
    families: BTreeSet<u8>,
    elsewhere: Option<String>,
}

fn both() -> BTreeSet<u8> {
    [4, 6].into()
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn rows() -> Vec<Row> {
    serde_saphyr::from_str(&std::fs::read_to_string(folder("coverage.yaml")).unwrap()).unwrap()
}

fn cases() -> Vec<(String, Case)> {
    let cases = Case::all(&folder("cases")).unwrap();
    assert!(cases.len() > 100, "expected the cases to be found, found {}", cases.len());
    cases
}

#[test]
fn every_row_is_covered_in_its_families_or_says_where_else() {
    let mut covered: BTreeMap<String, BTreeSet<u8>> = BTreeMap::new();
    for (_, case) in cases() {
        for row in case.covers {
            covered.entry(row).or_default().extend(&case.families);
        }
    }
    let mut wrong = Vec::new();
    for row in rows() {
        let families = covered.remove(&row.row).unwrap_or_default();
        match row.elsewhere {
            Some(_) if !families.is_empty() => {
                wrong.push(format!("{}: covered, and left to others", row.row));
            }
            None if !families.is_superset(&row.families) => wrong.push(format!(
                "{} ({}): wanted in {:?}, covered in {families:?}",
                row.row, row.about, row.families
            )),
            _ => {}
        }
    }
    wrong.extend(
        covered.into_keys().map(|row| format!("{row}: a case covers it and coverage.yaml has it not")),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rows_are_named_once_and_those_that_are_left_out_say_why() {
    let rows = rows();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.row.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "a name stands twice");
    for section in ["1/", "2/", "4/", "5/", "6/", "8/"] {
        assert!(names.iter().any(|name| name.starts_with(section)), "no row of section {section}");
    }
    for row in &rows {
        assert!(row.elsewhere.as_ref().is_none_or(|why| why.len() > 3), "{} says where", row.row);
    }
}

#[test]
fn a_case_asks_whoever_can_answer() {
    use peerwalk_faultlab::case::By;
    for (name, case) in cases() {
        let asks = !case.probe.target.is_empty();
        assert_eq!(asks, case.by == By::Probe, "{name}: a probe has a target, a cluster has its check");
        assert!(case.then.is_empty() || case.by == By::Cluster, "{name}: only a cluster takes steps");
    }
}
