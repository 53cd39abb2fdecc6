//! Trusted roots that checks name: what is read, and what stands while it cannot be read.

use std::collections::BTreeSet;

use peerwalk_api::ConnectivityCheck;

use super::{Engine, Output};
use crate::cluster::record::ObjectKey;

/// What reading an entry of a ConfigMap came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootsRead {
    /// Roots, in PEM.
    Found(String),
    /// The API server has answered, and there are none that could be used; why.
    Missing(String),
    /// Nobody knows what is there now; why.
    Failed(String),
}

impl Engine {
    /// Takes in what was read. Good roots stand until it is certain that they are gone: without them every
    /// target that asks for them would leave its plan.
    pub(super) fn take_roots(&mut self, map: ObjectKey, entry: String, read: RootsRead) {
        let place = (map, entry);
        let naming: Vec<ObjectKey> = self
            .index
            .checks()
            .filter(|(key, check)| roots_of(key, check).any(|wanted| wanted == place))
            .map(|(key, _)| key.clone())
            .collect();
        if naming.is_empty() {
            // The last check that asked for them went while they were read.
            return;
        }
        let roots = match read {
            RootsRead::Found(roots) => Ok(roots),
            RootsRead::Missing(why) => Err(why),
            RootsRead::Failed(why) => {
                let (map, entry) = &place;
                tracing::warn!(%map, entry, why, "trusted roots were not read, trying again later");
                if self.roots.get(&place).is_some_and(Result::is_ok) {
                    return;
                }
                Err(why)
            }
        };
        if self.roots.get(&place) != Some(&roots) {
            self.touched.checks.extend(naming);
            self.roots.insert(place, roots);
        }
    }

    pub(super) fn roots_to_read(&self, key: &ObjectKey, check: &ConnectivityCheck) -> Vec<Output> {
        roots_of(key, check)
            .filter(|roots| !self.roots.contains_key(roots))
            .map(|(map, entry)| Output::ReadRoots(map, entry))
            .collect()
    }

    /// Reads again what checks still ask for.
    pub(super) fn read_roots_again(&mut self) -> Vec<Output> {
        self.forget_roots();
        self.roots.keys().map(|(map, entry)| Output::ReadRoots(map.clone(), entry.clone())).collect()
    }

    /// Forgets roots that no check asks for any more.
    pub(super) fn forget_roots(&mut self) {
        if self.roots.is_empty() {
            return;
        }
        let wanted: BTreeSet<_> = self.index.checks().flat_map(|(key, check)| roots_of(key, check)).collect();
        self.roots.retain(|roots, _| wanted.contains(roots));
    }
}

/// The roots that a check asks for: ConfigMap and entry.
fn roots_of<'a>(
    key: &'a ObjectKey,
    check: &'a ConnectivityCheck,
) -> impl Iterator<Item = (ObjectKey, String)> + 'a {
    let wanted = check.spec.targets.iter().filter_map(|target| target.tls.as_ref());
    wanted.map(|tls| {
        let map = &tls.ca_bundle.config_map;
        (ObjectKey::new(&key.namespace, &map.name), map.key.clone())
    })
}
