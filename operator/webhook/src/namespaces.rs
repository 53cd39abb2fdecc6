//! What is known of all namespaces: written by whoever watches them, read by admissions, which ask the API server for
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::room::{LimitRange, NamespaceRules, Quota, Workload, WorkloadKind};

/// The kinds it is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Namespaces, for their annotations.
    Namespace,
    /// LimitRanges.
    LimitRange,
    /// ResourceQuotas.
    ResourceQuota,
    /// What makes pods, known by its uid.
    Workload(WorkloadKind),
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Namespace,
        Self::LimitRange,
        Self::ResourceQuota,
        Self::Workload(WorkloadKind::ReplicaSet),
        Self::Workload(WorkloadKind::StatefulSet),
        Self::Workload(WorkloadKind::DaemonSet),
        Self::Workload(WorkloadKind::Job),
    ];
}

/// An object, as far as it says something about pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A Namespace: the value of its annotation `openshift.io/sa.scc.uid-range`.
    Namespace(Option<String>),
    /// A LimitRange.
    LimitRange(LimitRange),
    /// A ResourceQuota.
    Quota(Quota),
    /// Something that wants pods.
    Workload(Workload),
}

/// What all namespaces say about their pods. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: RwLock<Known>,
    /// Told of every change.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    rules: BTreeMap<String, Arc<NamespaceRules>>,
    /// Namespaces that are there, as against those of which only an object was heard of.
    there: BTreeSet<String>,
    /// Kinds that were listed whole.
    listed: BTreeSet<Kind>,
}

/// What is known of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it says, as far as it is known.
    pub rules: Arc<NamespaceRules>,
    /// Whether that is everything: all kinds were listed, and the namespace was among them.
    pub known: bool,
}

impl Namespaces {
    /// What is known of a namespace.
    pub fn get(&self, namespace: &str) -> Seen {
        self.read(|known| Seen {
            rules: known.rules.get(namespace).cloned().unwrap_or_default(),
            known: known.is_complete() && known.there.contains(namespace),
        })
    }

    /// Whether every kind was listed.
    pub fn is_complete(&self) -> bool {
        self.read(Known::is_complete)
    }

    /// Returns once a namespace is known, and with it what makes pods there under this uid. Whoever makes a pod may hear
    /// of both before they are heard of here.
    pub(crate) async fn heard_of(&self, namespace: &str, workload: Option<&str>) {
        let mut changes = self.0.changed.subscribe();
        loop {
            let seen = self.get(namespace);
            if seen.known && workload.is_none_or(|uid| seen.rules.workloads.contains_key(uid)) {
                return;
            }
            // The sender is ours, so it is there.
            let _ = changes.changed().await;
        }
    }

    /// So many pods that are there to stay have this controller, by its uid.
    pub fn made(&self, namespace: &str, controller: &str, pods: u32) {
        self.write(|known| {
            if pods == 0 {
                known.change(namespace, |rules| {
                    rules.made.remove(controller);
                });
                return;
            }
            let rules = known.rules.entry(namespace.to_owned()).or_default();
            Arc::make_mut(rules).made.insert(controller.to_owned(), pods);
        });
    }

    /// An object of a namespace was added or changed. `name` is its own, or the uid of what makes pods; a Namespace has
    /// both alike.
    pub fn apply(&self, namespace: &str, name: &str, rule: Rule) {
        self.write(|known| {
            if matches!(rule, Rule::Namespace(_)) {
                known.there.insert(namespace.to_owned());
            }
            let rules = Arc::make_mut(known.rules.entry(namespace.to_owned()).or_default());
            match rule {
                Rule::Namespace(range) => rules.set_uid_range(range.as_deref()),
                Rule::LimitRange(range) => {
                    rules.limit_ranges.insert(name.to_owned(), range);
                }
                Rule::Quota(quota) => {
                    rules.quotas.insert(name.to_owned(), quota);
                }
                Rule::Workload(workload) => {
                    rules.workloads.insert(name.to_owned(), workload);
                }
            }
        });
    }

    /// An object was deleted.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str) {
        self.write(|known| known.forget(kind, namespace, name));
    }

    /// A kind was listed whole; these are all there are, by namespace and name.
    pub fn listed(&self, kind: Kind, all: &BTreeSet<(String, String)>) {
        self.write(|known| {
            for (namespace, name) in known.names(kind).difference(all) {
                known.forget(kind, namespace, name);
            }
            known.listed.insert(kind);
        });
    }

    /// Nothing waits while it holds the lock, and what is there is whole even if a writer panicked.
    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.known.write().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.send_replace(());
    }
}

impl Known {
    fn is_complete(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    /// Changes what is known of a namespace, if anything is.
    fn change(&mut self, namespace: &str, change: impl FnOnce(&mut NamespaceRules)) {
        let Some(rules) = self.rules.get_mut(namespace) else { return };
        let rules = Arc::make_mut(rules);
        change(rules);
        if *rules == NamespaceRules::default() {
            self.rules.remove(namespace);
        }
    }

    /// The objects of a kind that are known, by namespace and name.
    fn names(&self, kind: Kind) -> BTreeSet<(String, String)> {
        let pair = |namespace: &String, name: &String| (namespace.clone(), name.clone());
        let of = |(namespace, rules): (&String, &Arc<NamespaceRules>)| -> Vec<(String, String)> {
            match kind {
                Kind::Namespace => Vec::new(),
                Kind::LimitRange => rules.limit_ranges.keys().map(|name| pair(namespace, name)).collect(),
                Kind::ResourceQuota => rules.quotas.keys().map(|name| pair(namespace, name)).collect(),
                Kind::Workload(kind) => {
                    let of_kind = rules.workloads.iter().filter(|(_, workload)| workload.kind == kind);
                    of_kind.map(|(uid, _)| pair(namespace, uid)).collect()
                }
            }
        };
        match kind {
            Kind::Namespace => self.there.iter().map(|name| pair(name, name)).collect(),
            Kind::LimitRange | Kind::ResourceQuota | Kind::Workload(_) => {
                self.rules.iter().flat_map(of).collect()
            }
        }
    }

    fn forget(&mut self, kind: Kind, namespace: &str, name: &str) {
        if kind == Kind::Namespace {
            self.there.remove(namespace);
        }
        self.change(namespace, |rules| match kind {
            Kind::Namespace => rules.user = None,
            Kind::LimitRange => drop(rules.limit_ranges.remove(name)),
            Kind::ResourceQuota => drop(rules.quotas.remove(name)),
            Kind::Workload(_) => drop(rules.workloads.remove(name)),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limit_range(name: &str) -> Rule {
        let spec = json!({"limits": [{"type": "Container", "max": {"cpu": "1"}}]});
        Rule::LimitRange(LimitRange::read(name, &spec))
    }

    fn all<const N: usize>(names: [(&str, &str); N]) -> BTreeSet<(String, String)> {
        names.into_iter().map(|(namespace, name)| (namespace.to_owned(), name.to_owned())).collect()
    }

    fn listed(namespaces: &Namespaces) {
        namespaces.apply("shop", "shop", Rule::Namespace(Some("1000/10".to_owned())));
        namespaces.apply("shop", "small", limit_range("small"));
        namespaces.apply("shop", "team", Rule::Quota(Quota::read("team", &json!({}))));
        namespaces.listed(Kind::Namespace, &all([("shop", "shop")]));
        namespaces.listed(Kind::LimitRange, &all([("shop", "small")]));
        namespaces.listed(Kind::ResourceQuota, &all([("shop", "team")]));
        for kind in WORKLOADS {
            namespaces.listed(Kind::Workload(kind), &all([]));
        }
    }

    const WORKLOADS: [WorkloadKind; 4] =
        [WorkloadKind::ReplicaSet, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet, WorkloadKind::Job];

    #[test]
    fn a_namespace_is_known_once_every_kind_was_listed() {
        let namespaces = Namespaces::default();
        assert!(!namespaces.get("shop").known && !namespaces.is_complete());
        listed(&namespaces);
        assert!(namespaces.is_complete());
        let shop = namespaces.get("shop");
        assert!(shop.known);
        assert_eq!(shop.rules.user, Some(1000));
        assert_eq!((shop.rules.limit_ranges().count(), shop.rules.quotas().count()), (1, 1));
        let bank = namespaces.get("bank");
        assert_eq!((bank.known, &*bank.rules), (false, &NamespaceRules::default()), "never heard of");
        for kind in Kind::ALL {
            let namespaces = Namespaces::default();
            listed(&namespaces);
            namespaces.0.known.write().expect("a lock").listed.remove(&kind);
            assert!(!namespaces.get("shop").known && !namespaces.is_complete(), "without {kind:?}");
        }
    }

    #[test]
    fn what_makes_pods_is_known_by_its_uid_and_each_kind_by_itself() {
        let namespaces = Namespaces::default();
        let two = json!({"spec": {"replicas": 2}});
        for (kind, uid) in [(WorkloadKind::ReplicaSet, "a"), (WorkloadKind::StatefulSet, "b")] {
            let workload = Workload::read(kind, &two).expect("it wants pods");
            namespaces.apply("shop", uid, Rule::Workload(workload));
        }
        namespaces.made("shop", "a", 2);
        let known = |namespaces: &Namespaces| {
            let rules = namespaces.get("shop").rules;
            (rules.workloads.keys().cloned().collect::<Vec<_>>().join(" "), rules.made.get("a").copied())
        };
        assert_eq!(known(&namespaces), ("a b".to_owned(), Some(2)));
        namespaces.listed(Kind::Workload(WorkloadKind::StatefulSet), &all([]));
        assert_eq!(known(&namespaces), ("a".to_owned(), Some(2)));
        namespaces.delete(Kind::Workload(WorkloadKind::ReplicaSet), "shop", "a");
        namespaces.made("shop", "a", 0);
        assert_eq!(known(&namespaces), (String::new(), None));
        assert!(namespaces.0.known.read().expect("a lock").rules.is_empty(), "nothing of it is left");
    }

    #[test]
    fn what_is_deleted_or_missing_in_a_list_is_forgotten() {
        let namespaces = Namespaces::default();
        listed(&namespaces);
        let held = namespaces.get("shop").rules;
        namespaces.delete(Kind::LimitRange, "shop", "other");
        assert_eq!(namespaces.get("shop").rules.limit_ranges().count(), 1, "another name");
        namespaces.delete(Kind::LimitRange, "shop", "small");
        assert_eq!(namespaces.get("shop").rules.limit_ranges().count(), 0);
        assert_eq!(held.limit_ranges().count(), 1, "an admission keeps what it began with");
        namespaces.listed(Kind::ResourceQuota, &all([("bank", "team")]));
        assert_eq!(namespaces.get("shop").rules.quotas().count(), 0);
        assert!(namespaces.get("shop").known);
        namespaces.delete(Kind::Namespace, "shop", "shop");
        let gone = namespaces.get("shop");
        assert_eq!((gone.known, gone.rules.user), (false, None));
        assert!(namespaces.0.known.read().expect("a lock").rules.is_empty(), "nothing of it is left");
    }

    #[test]
    fn a_namespace_that_says_nothing_stays_known() {
        let namespaces = Namespaces::default();
        listed(&namespaces);
        namespaces.apply("bank", "bank", Rule::Namespace(None));
        namespaces.listed(Kind::LimitRange, &all([]));
        assert!(namespaces.get("bank").known);
    }
}
