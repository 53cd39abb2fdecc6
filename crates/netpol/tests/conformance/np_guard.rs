//! Runs the cases of np-guard/netpol-analyzer, and compares every row and every reason.
//!
//! The data is `netpol/np-guard/<case>/{manifests,expected.txt,expected_explain.txt}`.

mod explain;
mod manifests;
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use manifests::Manifests;

#[test]
fn rows_of_np_guard() {
    let Some(folder) = crate::given("netpol/np-guard") else { return };
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in cases(&folder) {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(expected) = fs::read_to_string(case.join("expected.txt")) else {
            eprintln!("{name}: no expected.txt, not compared");
            continue;
        };
        let manifests = Manifests::read(&case.join("manifests"));
        let expected: BTreeSet<String> =
            expected.lines().filter(|row| !row.contains("{ingress-controller}")).map(str::to_owned).collect();
        let ours = rows::rows(&manifests);
        wrong.extend(expected.difference(&ours).map(|row| format!("{name}: missing {row}")));
        wrong.extend(ours.difference(&expected).map(|row| format!("{name}: surplus {row}")));
        compared += 1;
    }
    eprintln!("compared {compared} cases of np-guard");
    assert!(compared > 0, "the folder {} should hold cases", folder.display());
    assert!(wrong.is_empty(), "np-guard expects other rows:\n{}", wrong.join("\n"));
}

#[test]
fn reasons_of_np_guard() {
    let Some(folder) = crate::given("netpol/np-guard") else { return };
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in cases(&folder) {
        let Ok(expected) = fs::read_to_string(case.join("expected_explain.txt")) else { continue };
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifests = Manifests::read(&case.join("manifests"));
        let (index, ends) = (rows::index(&manifests), rows::ends(&manifests));
        let ports = rows::elementary_ports(&manifests);
        let (differences, blocks) = explain::compare(&expected, &index, &ends, &ports);
        wrong.extend(differences.into_iter().map(|difference| format!("{name}: {difference}")));
        compared += blocks;
    }
    eprintln!("compared {compared} reasons of np-guard");
    assert!(compared > 0, "the folder {} should hold reasons", folder.display());
    assert!(wrong.is_empty(), "np-guard gives other reasons:\n{}", wrong.join("\n"));
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let mut cases: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}
