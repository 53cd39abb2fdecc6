//! Runs the cases of np-guard/netpol-analyzer that have no policies but NetworkPolicy, and compares every row.
//!
//! The data is looked for in `PEERWALK_CONFORMANCE` (or `../shared/conformance` beside the workspace), in
//! `netpol/np-guard/<case>/{manifests,expected.txt}`. Without it, the test says so and passes.

mod manifests;
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use manifests::Manifests;

#[test]
fn rows_of_np_guard() {
    let Some(folder) = folder() else {
        eprintln!(
            "SKIPPED: no np-guard data; set PEERWALK_CONFORMANCE to the folder that holds netpol/np-guard"
        );
        return;
    };
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in cases(&folder) {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(expected) = fs::read_to_string(case.join("expected.txt")) else {
            eprintln!("{name}: no expected.txt, not compared");
            continue;
        };
        let manifests = Manifests::read(&case.join("manifests"));
        if manifests.has_other_policies {
            continue;
        }
        let expected: BTreeSet<String> =
            expected.lines().filter(|row| !row.contains("{ingress-controller}")).map(str::to_owned).collect();
        let ours = rows::rows(&manifests);
        wrong.extend(expected.difference(&ours).map(|row| format!("{name}: missing {row}")));
        wrong.extend(ours.difference(&expected).map(|row| format!("{name}: surplus {row}")));
        compared += 1;
    }
    eprintln!("compared {compared} cases of np-guard");
    assert!(compared > 0, "the folder {} should hold cases with NetworkPolicy alone", folder.display());
    assert!(wrong.is_empty(), "np-guard expects other rows:\n{}", wrong.join("\n"));
}

fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("PEERWALK_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let folder = root.join("netpol/np-guard");
    folder.is_dir().then_some(folder)
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let mut cases: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}
