//! Trusted roots that checks name: what is read, and what stands while it cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerwalk_api::ConnectivityCheck;
use peerwalk_model::Timestamp;

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

/// From one reading to the next.
const AGAIN: Duration = Duration::from_mins(1);
/// The same after one that failed, so that a check whose roots nobody could read is walked again before it turns Unknown.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// As often in a row; later, what fails is read with all others. The right to read may be missing for good.
const AGAIN_SOON: u32 = 3;

/// ConfigMap and entry.
type Place = (ObjectKey, String);

/// What is known of roots.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) known: BTreeMap<Place, Result<String, String>>,
    /// Those that were read before all began anew, and not since.
    old: BTreeSet<Place>,
    /// Those of which the last reading failed, and how many in a row have.
    failed: BTreeMap<Place, u32>,
    /// When all were asked for last; `None` when that is due.
    read: Option<Timestamp>,
    /// When those that failed were asked for again.
    tried: Timestamp,
}

impl Roots {
    /// Nothing is known yet, and there is nothing to be read again.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { read: Some(now), ..Self::default() }
    }

    /// What is known of an entry, if it has been read.
    pub(super) fn get(&self, place: &Place) -> Option<&Result<String, String>> {
        self.known.get(place)
    }

    /// Whatever is known may be of long ago.
    pub(super) fn begin_anew(&mut self) {
        self.read = None;
        self.old = self.known.keys().cloned().collect();
    }

    /// What is to be read again by now.
    fn due(&mut self, now: Timestamp) -> Vec<Place> {
        if self.read.is_none_or(|read| now.since(read) >= AGAIN) {
            (self.read, self.tried) = (Some(now), now);
            return self.known.keys().cloned().collect();
        }
        if now.since(self.tried) < AGAIN_AFTER_FAILURE {
            return Vec::new();
        }
        self.tried = now;
        let lately = self.failed.iter().filter(|(_, times)| **times <= AGAIN_SOON);
        lately.map(|(place, _)| place.clone()).collect()
    }
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
        self.roots.old.remove(&place);
        if matches!(read, RootsRead::Failed(_)) {
            *self.roots.failed.entry(place.clone()).or_default() += 1;
        } else {
            self.roots.failed.remove(&place);
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
            self.roots.known.insert(place, roots);
        }
    }

    pub(super) fn roots_to_read(&self, key: &ObjectKey, check: &ConnectivityCheck) -> Vec<Output> {
        roots_of(key, check)
            .filter(|roots| !self.roots.known.contains_key(roots))
            .map(|(map, entry)| Output::ReadRoots(map, entry))
            .collect()
    }

    /// Reads again what checks still ask for, when that is due.
    pub(super) fn read_roots_again(&mut self, now: Timestamp) -> Vec<Output> {
        let due = self.roots.due(now);
        if due.is_empty() {
            return Vec::new();
        }
        self.forget_roots();
        let wanted = due.into_iter().filter(|place| self.roots.known.contains_key(place));
        wanted.map(|(map, entry)| Output::ReadRoots(map, entry)).collect()
    }

    /// Whether a check asks for roots of which nothing is known yet, or nothing of now.
    pub(super) fn waits_for_roots(&self) -> bool {
        let mut asked = self.index.checks().flat_map(|(key, check)| roots_of(key, check));
        asked.any(|place| !self.roots.known.contains_key(&place) || self.roots.old.contains(&place))
    }

    /// Forgets roots that no check asks for any more.
    pub(super) fn forget_roots(&mut self) {
        if self.roots.known.is_empty() {
            return;
        }
        let wanted: BTreeSet<_> = self.index.checks().flat_map(|(key, check)| roots_of(key, check)).collect();
        self.roots.known.retain(|roots, _| wanted.contains(roots));
        self.roots.failed.retain(|roots, _| wanted.contains(roots));
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
