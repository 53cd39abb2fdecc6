//! The evaluation against results that others have written down: the end-to-end tests of Kubernetes, the conformance
//! tests of the Network Policy API, and the test data of np-guard.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test may, in its helpers too")]

mod cluster_network_policy;
mod np_guard;
mod upstream;

use std::path::{Path, PathBuf};

/// A file or folder of the data that is not ours, in `PEERWALK_CONFORMANCE` (or `../shared/conformance` beside the
/// workspace). Without it, a test says so and passes.
fn given(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PEERWALK_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let found = root.join(path);
    if !found.exists() {
        eprintln!("SKIPPED: no {path}; set PEERWALK_CONFORMANCE to the folder that holds it");
        return None;
    }
    Some(found)
}
