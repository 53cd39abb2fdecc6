//! The hub's roots: which ones pods were injected under, and which ones still lead to the hub.

use std::collections::BTreeSet;

use super::{Engine, Output};
use crate::cluster::record::Pod;

/// What is known of them, by fingerprint.
#[derive(Debug, Default)]
pub(super) struct HubRoots {
    /// Those by which the hub can be verified; `None` until that was said.
    valid: Option<BTreeSet<String>>,
    /// Those of pods, as they were told last.
    told: Option<BTreeSet<String>>,
}

impl Engine {
    /// Takes in by which roots the hub can be verified from now on.
    pub(super) fn take_hub_roots(&mut self, roots: BTreeSet<String>) {
        let roots = Some(roots);
        self.touched.all |= self.hub_roots.valid != roots;
        self.hub_roots.valid = roots;
    }

    /// The roots that pods carry, when they are others than before.
    pub(super) fn carried_roots(&mut self) -> Option<Output> {
        let carried = self.index.hub_roots();
        if self.hub_roots.told.as_ref() == Some(&carried) {
            return None;
        }
        self.hub_roots.told = Some(carried.clone());
        Some(Output::CarriedRoots(carried))
    }

    /// Whether the root under which a pod was injected leads to the hub no more: its sidecar can never attach. A pod
    /// that does not say under which is taken to be able to.
    pub(super) fn has_replaced_root(&self, pod: &Pod) -> bool {
        match (&pod.hub_root, &self.hub_roots.valid) {
            (Some(root), Some(valid)) => !valid.contains(root),
            _ => false,
        }
    }
}
