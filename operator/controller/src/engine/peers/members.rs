//! Which pods are endpoints of a Service, or were a moment ago.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerwalk_model::{PodRef, Timestamp};

use crate::cluster::record::ObjectKey;

/// Data planes take time: a connection to a pod that was an endpoint this short a time ago is in order.
const WAS: Duration = Duration::from_secs(30);
/// How long it is known that a pod was an endpoint once: such pods are asked first.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The pods behind Services, with the moment at which they ceased to be.
#[derive(Debug, Default)]
pub(super) struct Members(BTreeMap<ObjectKey, BTreeMap<PodRef, Option<Timestamp>>>);

impl Members {
    pub(super) fn knows(&self, service: &ObjectKey) -> bool {
        self.0.contains_key(service)
    }

    /// The endpoints of a Service are these from now on, as far as one of its ports tells: ready or not, since those
    /// that shut down may serve.
    pub(super) fn are(&mut self, service: &ObjectKey, pods: BTreeSet<PodRef>, now: Timestamp) {
        let known = self.0.entry(service.clone()).or_default();
        for (pod, left) in known.iter_mut() {
            if !pods.contains(pod) {
                left.get_or_insert(now);
            }
        }
        known.extend(pods.into_iter().map(|pod| (pod, None)));
    }

    /// Whether a pod was an endpoint within the last 30 s before a moment, or became one since. A pod of the same name
    /// with another uid is another pod.
    pub(super) fn is_member(&self, service: &ObjectKey, pod: &PodRef, at: Timestamp) -> bool {
        let left = self.0.get(service).and_then(|known| known.get(pod));
        left.is_some_and(|left| left.is_none_or(|left| left.plus(WAS) >= at))
    }

    /// Whether a pod was an endpoint once, and is none.
    pub(super) fn was_member(&self, service: &ObjectKey, pod: &PodRef) -> bool {
        self.0.get(service).and_then(|known| known.get(pod)).is_some_and(Option::is_some)
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        for known in self.0.values_mut() {
            known.retain(|_, left| left.is_none_or(|left| now.since(left) < REMEMBERED));
        }
        self.0.retain(|_, known| !known.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_was_an_endpoint_a_moment_ago_is_one() {
        let service = ObjectKey::new("ledger", "db");
        let pod =
            |name: &str, uid: &str| PodRef { namespace: "ledger".into(), name: name.into(), uid: uid.into() };
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let mut members = Members::default();
        members.are(&service, BTreeSet::from([pod("db-0", "1"), pod("db-1", "2")]), at(0));
        members.are(&service, BTreeSet::from([pod("db-1", "2")]), at(100));
        members.are(&service, BTreeSet::from([pod("db-1", "2")]), at(120));
        for (name, uid, seconds, member) in [
            ("db-1", "2", 500, true),
            ("db-0", "1", 100, true),
            ("db-0", "1", 130, true),
            ("db-0", "1", 131, false),
            ("db-1", "of another pod", 100, false),
            ("ping", "3", 100, false),
        ] {
            let found = members.is_member(&service, &pod(name, uid), at(seconds));
            assert_eq!(found, member, "{name} {uid} at {seconds} s");
        }
        assert!(
            members.was_member(&service, &pod("db-0", "1"))
                && !members.was_member(&service, &pod("db-1", "2"))
        );
        members.are(&service, BTreeSet::from([pod("db-0", "1")]), at(140));
        assert!(members.is_member(&service, &pod("db-0", "1"), at(900)), "it is one again");
        members.forget(at(2000));
        assert!(!members.was_member(&service, &pod("db-1", "2")), "what was long ago is forgotten");
    }
}
