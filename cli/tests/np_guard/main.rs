//! The command line against the results of np-guard's netpol-analyzer: `matrix --profile np-guard --output np-guard`
//! prints its rows, and the engine explains as its explain files do.
//!
//! The data is looked for in `PEERWALK_CONFORMANCE` (or `../shared/conformance` beside the workspace), in
//! `netpol/np-guard/<case>/{manifests,expected.txt,expected_explain.txt}`. Without it, the tests say so and pass.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may, in its helpers too"
)]

mod explain;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use peerwalk_cli::command::matrix::np_guard;
use peerwalk_cli::input;
use peerwalk_cli::progress::Progress;
use peerwalk_manifests::{Cluster, Limits, Reader};
use peerwalk_netpol::Profile;

/// The cases that have a file of this name.
pub fn cases(file: &str) -> Vec<PathBuf> {
    let root = std::env::var_os("PEERWALK_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"),
        PathBuf::from,
    );
    let folder = root.join("netpol/np-guard");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!(
            "SKIPPED: no np-guard data; set PEERWALK_CONFORMANCE to the folder that holds netpol/np-guard"
        );
        return Vec::new();
    };
    let mut cases: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|case| case.join(file).is_file())
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "the folder {} should hold cases with {file}", folder.display());
    cases
}

/// What a case is about.
pub fn cluster(case: &Path) -> Cluster {
    let reader = Reader::new(Limits::default()).as_np_guard();
    input::read(&[case.join("manifests")], reader, &mut Progress::default()).unwrap()
}

/// Its name.
pub fn name(case: &Path) -> String {
    case.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn every_row_is_np_guards() {
    let mut wrong = Vec::new();
    let cases = cases("expected.txt");
    for case in &cases {
        let name = name(case);
        let expected = fs::read_to_string(case.join("expected.txt")).unwrap();
        let expected: BTreeSet<&str> =
            expected.lines().filter(|row| !row.is_empty() && !row.contains("{ingress-controller}")).collect();
        let ours = np_guard::rows(&cluster(case), Profile::NP_GUARD);
        let sorted: Vec<&str> = ours.lines().collect();
        assert!(sorted.is_sorted(), "{name}: rows are sorted");
        let ours: BTreeSet<&str> = sorted.into_iter().collect();
        wrong.extend(expected.difference(&ours).map(|row| format!("{name}: missing {row}")));
        wrong.extend(ours.difference(&expected).map(|row| format!("{name}: surplus {row}")));
    }
    eprintln!("compared {} cases of np-guard", cases.len());
    let few: Vec<&String> = wrong.iter().take(40).collect();
    assert!(wrong.is_empty(), "{} rows differ, among them {few:#?}", wrong.len());
}
