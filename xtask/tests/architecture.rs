//! The arrows of `ARCHITECTURE.md` between crates: who may know whom, and which crates know no clock, no runtime and
//! no Kubernetes. A new arrow is a decision: it is made there and in the tables here.

#![allow(clippy::unwrap_used)] // a test like any other, but Clippy sees helpers of test binaries as library code

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every package of the workspace and which others it may use outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("peerwalk-model", &[]),
    ("peerwalk-wire", &["peerwalk-model"]),
    ("peerwalk-netpol", &["peerwalk-model"]),
    ("peerwalk-diagnosis", &["peerwalk-model", "peerwalk-netpol"]),
    ("peerwalk-api", &["peerwalk-model"]),
    ("peerwalk-probe", &["peerwalk-model"]),
    ("peerwalk-sidecar", &["peerwalk-diagnosis", "peerwalk-model", "peerwalk-probe", "peerwalk-wire"]),
    ("peerwalk-controller", &["peerwalk-api", "peerwalk-diagnosis", "peerwalk-model", "peerwalk-netpol"]),
    ("peerwalk-hub", &["peerwalk-model", "peerwalk-wire"]),
    ("peerwalk-webhook", &["peerwalk-api", "peerwalk-model"]),
    // The only place where controller, hub and webhook meet.
    (
        "peerwalk-operator",
        &["peerwalk-api", "peerwalk-controller", "peerwalk-hub", "peerwalk-model", "peerwalk-webhook"],
    ),
    ("peerwalk-manifests", &["peerwalk-model", "peerwalk-netpol"]),
    ("peerwalk-cli", &["peerwalk-api", "peerwalk-manifests", "peerwalk-model", "peerwalk-netpol"]),
    ("peerwalk-cluster", &[]),
    // Hub and judge in process: what is proven there is what they say of real kernels.
    ("peerwalk-faultlab", &["peerwalk-api", "peerwalk-controller", "peerwalk-hub", "peerwalk-model"]),
    ("peerwalk-e2e", &["peerwalk-api", "peerwalk-cluster", "peerwalk-model"]),
    ("xtask", &["peerwalk-api", "peerwalk-cluster", "peerwalk-diagnosis", "peerwalk-model"]),
];

const KUBERNETES: [&str; 5] = ["kube", "kube-client", "kube-core", "kube-runtime", "k8s-openapi"];
const ASYNC: [&str; 7] = ["tokio", "hyper", "hyper-util", "tonic", "tower", "axum", "async-std"];
const CLOCKS: [&str; 3] = ["jiff", "chrono", "time"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap()
}

/// Packages that one needs to run, with the features it needs of them. `cargo tree` is asked for each package alone:
/// `cargo metadata` gives the features that the whole workspace needs together, so that what the operator enables
/// would be seen in the sidecar.
fn needs(package: &str) -> BTreeMap<String, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments =
        ["tree", "-p", package, "-e", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}|{f}"];
    let out = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(out.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let line = |l: &str| {
        let (package, features) = l.split_once('|')?;
        Some((package.split(' ').next()?.to_owned(), features.trim_end_matches(" (*)").to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The forbidden among what a package needs.
fn found(package: &str, forbidden: &[&str]) -> Vec<String> {
    needs(package).into_keys().filter(|n| forbidden.contains(&n.as_str())).collect()
}

#[test]
fn packages_use_only_what_their_arrows_allow() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, listed, "expected the table to list exactly the packages of the workspace");
    for package in &metadata.packages {
        let (_, allowed) = ARROWS.iter().find(|(name, _)| *name == package.name.as_str()).unwrap();
        let used = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        let used: BTreeSet<&str> = used.map(|d| d.name.as_str()).filter(|n| ours.contains(n)).collect();
        let wrong: Vec<_> = used.into_iter().filter(|n| !allowed.contains(n)).collect();
        assert!(wrong.is_empty(), "{} must not know {wrong:?}", package.name);
    }
}

#[test]
fn tests_from_outside_know_no_insides() {
    // Dev dependencies included: black-box tests that import the box are none.
    let metadata = metadata();
    let e2e = metadata.packages.iter().find(|p| p.name.as_str() == "peerwalk-e2e").unwrap();
    let inside =
        ["peerwalk-controller", "peerwalk-hub", "peerwalk-webhook", "peerwalk-operator", "peerwalk-probe"];
    let wrong: Vec<_> =
        e2e.dependencies.iter().map(|d| d.name.as_str()).filter(|n| inside.contains(n)).collect();
    assert!(wrong.is_empty(), "peerwalk-e2e must not know {wrong:?}");
}

#[test]
fn pure_crates_need_no_runtime_no_clock_and_no_kubernetes() {
    // wire's feature `tonic`, for hub and sidecar, brings tokio; the messages themselves do not.
    let forbidden = [&KUBERNETES[..], &ASYNC, &CLOCKS].concat();
    for package in ["peerwalk-model", "peerwalk-wire", "peerwalk-netpol", "peerwalk-diagnosis"] {
        assert_eq!(found(package, &forbidden), Vec::<String>::new(), "{package} must not need these");
    }
}

#[test]
fn hub_and_sidecar_know_no_kubernetes() {
    for package in ["peerwalk-hub", "peerwalk-sidecar", "peerwalk-probe"] {
        assert_eq!(found(package, &KUBERNETES), Vec::<String>::new(), "{package} must not need these");
    }
    let netpol = needs("peerwalk-sidecar").remove("peerwalk-netpol").unwrap_or_default();
    assert!(
        !netpol.split(',').any(|f| f == "k8s"),
        "the sidecar must not enable the feature k8s of peerwalk-netpol"
    );
}

#[test]
fn the_api_holds_no_client() {
    assert_eq!(found("peerwalk-api", &["kube-client", "kube-runtime", "tokio"]), Vec::<String>::new());
}

#[test]
fn the_forbidden_would_be_found() {
    // Against a check that looks in the wrong place: the operator has everything that others must not have.
    assert!(
        !found("peerwalk-operator", &KUBERNETES).is_empty() && !found("peerwalk-operator", &ASYNC).is_empty()
    );
    let controller = needs("peerwalk-controller");
    assert!(
        controller["peerwalk-netpol"].split(',').any(|f| f == "k8s"),
        "expected features to be read: {controller:?}"
    );
}
