//! Clusters to ask about: the examples, and where it is there, the data of np-guard (`PEERWALK_CONFORMANCE`, or
//! `../shared/conformance` beside the workspace).

use std::path::{Path, PathBuf};

use peerwalk_cli::input;
use peerwalk_cli::progress::Progress;
use peerwalk_manifests::{Cluster, Limits, Reader};

/// A text as a cluster; nothing in it may be refused.
#[allow(dead_code, reason = "not every test has one")]
pub fn of(text: &str) -> Cluster {
    let mut reader = Reader::new(Limits::default());
    reader.text("text", text.as_bytes());
    let cluster = reader.finish();
    assert!(cluster.problems.is_empty(), "{:?}", cluster.problems);
    cluster
}

/// All clusters, by their folders.
#[allow(dead_code, reason = "not every test asks about all")]
pub fn clusters() -> Vec<(String, Cluster)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut folders: Vec<PathBuf> =
        ["shop", "shop-after", "tiers", "lint"].map(|name| data.join(name)).to_vec();
    let root = std::env::var_os("PEERWALK_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"),
        PathBuf::from,
    );
    if let Ok(entries) = std::fs::read_dir(root.join("netpol/np-guard")) {
        let cases = entries.filter_map(|entry| Some(entry.ok()?.path().join("manifests")));
        folders.extend(cases.filter(|path| path.is_dir()));
    }
    folders.sort();
    let read = |folder: &PathBuf| {
        input::read(std::slice::from_ref(folder), Reader::new(Limits::default()), &mut Progress::default())
            .unwrap_or_else(|error| panic!("{} is readable: {error:#}", folder.display()))
    };
    folders.iter().map(|folder| (folder.display().to_string(), read(folder))).collect()
}
