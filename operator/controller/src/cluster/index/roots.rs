//! Which of the hub's roots pods trust.

use std::collections::BTreeSet;

use super::{Index, Pod};

impl Index {
    /// The fingerprints of the hub's roots under which pods were injected that may still report.
    pub fn hub_roots(&self) -> BTreeSet<String> {
        self.by_hub_root.keys().cloned().collect()
    }
}

/// The root that a pod needs: none without our sidecar, and none once it has ended.
pub(super) fn carried(pod: &Pod) -> Option<&String> {
    pod.hub_root.as_ref().filter(|_| pod.injected && !pod.finished)
}
