//! How many pods have which controller: a webhook that keeps room for pods still to come must not keep it for those that
//! are there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Index, Pod};

/// A namespace, and the uid of what controls pods there.
type Controller = (String, String);

#[derive(Debug, Default)]
pub(super) struct Made {
    pods: BTreeMap<Controller, u32>,
    changed: BTreeSet<Controller>,
}

impl Made {
    /// A pod as it was is gone, and as it is there; those that end count no more.
    pub(super) fn replace(&mut self, old: Option<&Pod>, new: Option<&Pod>) {
        let [old, new] = [old, new].map(|pod| pod.and_then(controller));
        if old == new {
            return;
        }
        if let Some(old) = old {
            if let Some(pods) = self.pods.get_mut(&old) {
                *pods -= 1;
            }
            if self.pods.get(&old) == Some(&0) {
                self.pods.remove(&old);
            }
            self.changed.insert(old);
        }
        if let Some(new) = new {
            *self.pods.entry(new.clone()).or_default() += 1;
            self.changed.insert(new);
        }
    }
}

/// What counts a pod among its own.
fn controller(pod: &Pod) -> Option<Controller> {
    let stays = !pod.finished && !pod.terminating;
    Some((pod.id.namespace.clone(), pod.controller.clone().filter(|_| stays)?))
}

impl Index {
    /// How many pods there are of each namespace and controller of which the number may have changed since this was
    /// asked last.
    pub fn made(&mut self) -> Vec<(String, String, u32)> {
        let changed = std::mem::take(&mut self.made.changed).into_iter();
        let told = changed.map(|controller| {
            let pods = self.made.pods.get(&controller).copied().unwrap_or(0);
            (controller.0, controller.1, pods)
        });
        told.collect()
    }
}
