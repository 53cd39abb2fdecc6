//! Of several objects of one kind and name the last counts, as where they are applied one after another.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};

use peerwalk_netpol::PolicyRef;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::head::Head;

/// What was read so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// By kind, namespace and name: the place and what stands there.
    objects: HashMap<(String, String, String), (String, u64)>,
    /// Whether the last of each policy could be read, and whether there are several of any object.
    policies: HashMap<PolicyRef, bool>,
    pub several: bool,
}

impl Seen {
    /// Takes an object in. Where there is another one of its kind and name, tells its place.
    pub fn add(&mut self, head: &Head<'_>, object: &Value) -> Option<String> {
        let namespace = if head.of_cluster { "" } else { head.namespace };
        let key = (head.kind.to_owned(), namespace.to_owned(), head.name.to_owned());
        let mut hasher = DefaultHasher::new();
        object.hash(&mut hasher);
        let hash = hasher.finish();
        let (place, before) = self.objects.insert(key, (head.source.to_owned(), hash))?;
        self.several = true;
        // The same once more is no question.
        (before != hash).then_some(place)
    }

    /// Takes in whether a policy could be read.
    pub fn policy(&mut self, reference: &PolicyRef, is_read: bool) {
        self.policies.insert(reference.clone(), is_read);
    }

    /// Leaves the last of each in a cluster.
    pub fn keep_last(&self, cluster: &mut Cluster) {
        if !self.several {
            return;
        }
        last(&mut cluster.namespaces, |namespace| namespace.name.clone());
        last(&mut cluster.nodes, |node| node.name.clone());
        last(&mut cluster.policies, |policy| policy.reference.clone());
        last(&mut cluster.cluster_policies, |policy| policy.reference.clone());
        let is_read = |policy: &PolicyRef| self.policies.get(policy).copied();
        cluster.policies.retain(|policy| is_read(&policy.reference) != Some(false));
        cluster.cluster_policies.retain(|policy| is_read(&policy.reference) != Some(false));
        cluster.unreadable.retain(|policy| is_read(policy) != Some(true));
    }
}

/// Leaves the last of each key, in the order of input.
pub(crate) fn last<T, K: Hash + Eq>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = HashSet::new();
    items.reverse();
    items.retain(|item| seen.insert(key(item)));
    items.reverse();
}
