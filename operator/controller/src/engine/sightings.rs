//! What any sidecar's dials prove for others: that a path between two nodes is whole, and that an endpoint
//! takes connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peerwalk_diagnosis::Sighting;
use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};
use peerwalk_model::{PodRef, Timestamp, Walk};

use crate::cluster::Index;
use crate::cluster::record::ObjectKey;

/// Sightings older than this prove nothing.
const KEEP: Duration = Duration::from_mins(5);
/// `ECONNREFUSED`, Linux.
const ECONNREFUSED: i32 = 111;

/// Who was seen by whom.
#[derive(Debug, Default)]
pub struct Sightings {
    /// From node to node: a pod of the second answered a pod of the first.
    paths: BTreeMap<(String, String), Sighting>,
    /// Endpoints that took a connection, by whom last.
    admitted: BTreeMap<SocketAddr, BTreeMap<PodRef, Timestamp>>,
}

impl Sightings {
    /// Takes in the dials of a walk.
    pub fn learn(&mut self, index: &Index, source: &PodRef, walk: &Walk) {
        let key = ObjectKey::new(&source.namespace, &source.name);
        let from = index.pod(&key).and_then(|pod| pod.node.clone());
        for dial in walk.connect.iter().flat_map(|connect| &connect.dials) {
            if !matches!(dial.purpose, DialPurpose::Endpoint | DialPurpose::Address | DialPurpose::Control) {
                continue;
            }
            let at = dial.started.plus(dial.elapsed);
            if connected(dial) {
                self.admitted.entry(dial.remote).or_default().insert(source.clone(), at);
            }
            let answered_by = index.pod_by_ip(dial.remote.ip()).filter(|_| answered(dial));
            if let (Some(from), Some(pod)) = (&from, answered_by)
                && let Some(to) = &pod.node
            {
                self.see_path(from, to, pod.id.to_string(), at);
            }
        }
    }

    /// A pod of node `to` answered a pod of node `from`.
    pub fn see_path(&mut self, from: &str, to: &str, who: String, at: Timestamp) {
        let sighting = Sighting { who, at };
        let seen = self.paths.entry((from.to_owned(), to.to_owned())).or_insert_with(|| sighting.clone());
        if sighting.at >= seen.at {
            *seen = sighting;
        }
    }

    /// The last proof of the path between two nodes.
    pub fn path(&self, from: &str, to: &str) -> Option<&Sighting> {
        self.paths.get(&(from.to_owned(), to.to_owned()))
    }

    /// The last pod but `not` that connected to an endpoint.
    pub fn admitted(&self, endpoint: SocketAddr, not: &PodRef) -> Option<Sighting> {
        let others = self.admitted.get(&endpoint)?.iter().filter(|(pod, _)| *pod != not);
        others.max_by_key(|(_, at)| **at).map(|(pod, at)| Sighting { who: pod.to_string(), at: *at })
    }

    /// Forgets what is too old to prove anything.
    pub fn forget(&mut self, now: Timestamp) {
        self.paths.retain(|_, sighting| now.since(sighting.at) < KEEP);
        self.admitted.retain(|_, pods| {
            pods.retain(|_, at| now.since(*at) < KEEP);
            !pods.is_empty()
        });
    }
}

fn connected(dial: &Dial) -> bool {
    matches!(dial.outcome, DialOutcome::Connected { local_peer: None })
}

/// A connection, or an RST: both come from the pod's own network. An RST that a filter forged on the way
/// would make the path look whole; that only matters where packets to the same node vanish, and then the
/// filter is the finding all the same.
pub(super) fn answered(dial: &Dial) -> bool {
    match &dial.outcome {
        DialOutcome::Connected { local_peer } => local_peer.is_none(),
        DialOutcome::Failed { errno, immediate, queue } => {
            *errno == ECONNREFUSED && !immediate && queue.is_empty()
        }
        DialOutcome::Silent | DialOutcome::NotAllowed | DialOutcome::Skipped => false,
    }
}
