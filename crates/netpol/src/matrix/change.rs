//! One object changes: which decisions change with it, and the matrix after it, without computing the rest again.

mod concern;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use peerwalk_model::Direction;

use super::blocks::AddressRange;
use super::build::{Builder, Rows, in_order};
use super::ends::{EndId, Member};
use super::row::{Row, Steps};
use super::table::PortsId;
use super::words::Query;
use super::{Matrix, place};
use crate::cluster::{Namespace, Pod};
use crate::cluster_policy::ClusterPolicy;
use crate::policy::{Policy, PolicyRef};
use crate::span::{Coordinate, Span};
use concern::Concern;

/// What becomes of one object.
#[derive(Clone, Debug)]
pub enum Change {
    /// A NetworkPolicy is made, changed, or (`None`) deleted.
    Policy(PolicyRef, Option<Arc<Policy>>),
    /// A policy of the cluster is made, changed, or deleted.
    ClusterPolicy(PolicyRef, Option<Arc<ClusterPolicy>>),
    /// A namespace is made or gets other labels. One that is deleted has none but its name.
    Namespace(Namespace),
    /// A pod is made, changed, or deleted.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What it is now.
        pod: Option<Arc<Pod>>,
    },
}

/// Which decisions a change changed.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// Ends that are there no more, with all their pairs. A pod that changes in anything goes and comes.
    pub gone: Vec<(EndId, Member)>,
    /// New ends, with all their pairs.
    pub new: Vec<EndId>,
    /// Other ends that changed towards each other.
    pub decisions: Vec<ChangedDecisions>,
}

/// Subjects for which the policies of one direction decide otherwise than before, all of them in the same way.
#[derive(Clone, Debug)]
pub struct ChangedDecisions {
    /// Of which direction: egress, where the subjects are sources, or ingress.
    pub direction: Direction,
    /// The subjects, in runs: the first and the last.
    pub subjects: Vec<(EndId, EndId)>,
    /// Peers inside the cluster, in runs, with the ports before and after; not for pairs of a subject with itself.
    pub inside: Vec<Changes<EndId>>,
    /// The same for peers that are the node that a subject is on, or host-network pods that count as it: these are here,
    /// and not in `inside`, where the profile has it that a pod and its node always reach each other.
    pub own_node: Vec<Changes<EndId>>,
    /// Peers outside.
    pub outside: Vec<(AddressRange, PortsId, PortsId)>,
}

/// A run of peers with the ports before and after; see [`Matrix::port_set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes<T> {
    /// The first.
    pub first: T,
    /// The last.
    pub last: T,
    /// What the subjects' policies left open.
    pub before: PortsId,
    /// What they leave open now.
    pub after: PortsId,
}

impl Changed {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty() && self.decisions.is_empty()
    }
}

/// Classes to be looked at again, by namespace.
type Affected = BTreeMap<u32, BTreeSet<u32>>;

impl Matrix {
    /// Takes in what became of one object, and tells whose decisions changed.
    pub fn apply(&mut self, change: Change) -> Changed {
        match change {
            Change::Policy(reference, policy) => self.change_policy(&reference, policy),
            Change::ClusterPolicy(reference, policy) => self.change_cluster_policy(&reference, policy),
            Change::Namespace(namespace) => self.change_namespace(&namespace),
            Change::Pod { namespace, name, pod } => self.change_pod(&namespace, &name, pod.as_ref()),
        }
    }

    fn change_policy(&mut self, reference: &PolicyRef, policy: Option<Arc<Policy>>) -> Changed {
        let namespace = self.namespace(&reference.namespace);
        let policies = &mut self.policies[namespace as usize];
        let place = policies.binary_search_by(|known| known.reference.cmp(reference));
        let mut selected = BTreeSet::new();
        let mut select = |policy: &Policy| {
            let query = Query::new(&policy.subject, &self.ends.words);
            selected.extend(self.ends.select_in(namespace, &query));
        };
        if let Some(policy) = &policy {
            select(policy);
        }
        match (place, policy) {
            (Ok(place), Some(policy)) => {
                let known = std::mem::replace(&mut policies[place], policy);
                select(&known);
            }
            (Ok(place), None) => {
                let known = policies.remove(place);
                select(&known);
            }
            (Err(place), Some(policy)) => policies.insert(place, policy),
            (Err(_), None) => {}
        }
        self.renew(&[(namespace, selected)].into())
    }

    fn change_cluster_policy(
        &mut self,
        reference: &PolicyRef,
        policy: Option<Arc<ClusterPolicy>>,
    ) -> Changed {
        let mut affected = Affected::new();
        let known = self.cluster_policies.iter().position(|known| known.reference == *reference);
        let known = known.map(|place| self.cluster_policies.remove(place));
        for policy in known.iter().chain(&policy) {
            self.select_by_cluster(policy, &mut affected);
        }
        self.cluster_policies.extend(policy);
        in_order(&mut self.cluster_policies);
        self.renew(&affected)
    }

    fn change_namespace(&mut self, namespace: &Namespace) -> Changed {
        let number = self.namespace(&namespace.name);
        let before = self.ends.namespace_labels.of(number).to_vec();
        self.ends.set_labels(namespace);
        let concern = Concern::Namespace { number, before };
        let mut affected = Affected::new();
        self.concerned(&concern, &mut affected);
        // Policies of the cluster may select its pods that did not before, or no more.
        if !self.cluster_policies.is_empty() {
            let own = &self.ends.namespaces[number as usize].classes;
            affected.entry(number).or_default().extend(own);
        }
        self.renew(&affected)
    }

    fn change_pod(&mut self, namespace: &str, name: &str, pod: Option<&Arc<Pod>>) -> Changed {
        let places = self.ends.places(namespace, name);
        let standing = |place: &u32| Some((EndId(*place), self.ends.member(*place)?.clone()));
        let gone: Vec<(EndId, Member)> = places.iter().filter_map(standing).collect();
        self.ends.remove(&places);
        let Some(pod) = pod.filter(|pod| !pod.finished) else {
            return Changed { gone, ..Changed::default() };
        };
        let number = self.namespace(namespace);
        let class = self.ends.add(pod);
        let new = self.ends.places(namespace, name);
        let mut affected = Affected::new();
        if self.rows.len() < self.ends.classes.len() {
            self.rows.resize(self.ends.classes.len(), [None, None]);
            affected.entry(number).or_default().extend(class);
        }
        self.concerned(&Concern::pod(pod, number, class), &mut affected);
        // What it changes for others are pairs with the new ends.
        self.renew(&affected);
        Changed { gone, new: new.into_iter().map(EndId).collect(), decisions: Vec::new() }
    }

    /// The number of a namespace, which may be new.
    fn namespace(&mut self, name: &str) -> u32 {
        let number = self.ends.namespace(name);
        self.policies.resize(self.ends.namespaces.len(), Vec::new());
        number
    }

    fn select_by_cluster(&self, policy: &ClusterPolicy, affected: &mut Affected) {
        let namespaces = Query::new(&policy.subject.namespaces, &self.ends.words);
        let pods = Query::new(&policy.subject.pods, &self.ends.words);
        for namespace in self.ends.namespace_labels.select(&namespaces) {
            affected.entry(namespace).or_default().extend(self.ends.select_in(namespace, &pods));
        }
    }

    /// The subjects of all policies with a rule that may say otherwise now.
    fn concerned(&self, concern: &Concern, affected: &mut Affected) {
        for (namespace, policies) in (0..).zip(&self.policies) {
            for policy in policies.iter().filter(|policy| concern.policy(&self.ends, policy, namespace)) {
                let query = Query::new(&policy.subject, &self.ends.words);
                affected.entry(namespace).or_default().extend(self.ends.select_in(namespace, &query));
            }
        }
        for policy in self.cluster_policies.iter().filter(|policy| concern.cluster_policy(&self.ends, policy))
        {
            self.select_by_cluster(policy, affected);
        }
    }

    /// Makes the rows of these classes again.
    fn renew(&mut self, affected: &Affected) -> Changed {
        let mut builder = Builder::new(&self.ends, &self.cluster_policies);
        let mut changed: HashMap<(usize, RowKey, RowKey), Alike> = HashMap::new();
        for (namespace, classes) in affected {
            let classes: Vec<u32> = classes.iter().copied().collect();
            let policies = &self.policies[*namespace as usize];
            for (class, made) in builder.rows(*namespace, policies, Some(&classes), &mut self.table) {
                let known = std::mem::replace(&mut self.rows[class as usize], made.clone());
                for side in 0..2 {
                    let (before, after) = (&known[side], &made[side]);
                    if before != after {
                        let entry = changed.entry((side, key(before.as_ref()), key(after.as_ref())));
                        let new = || (known.clone(), made.clone(), Vec::new());
                        entry.or_insert_with(new).2.push(class);
                    }
                }
            }
        }
        let told = changed.into_iter().map(|((side, ..), (before, after, classes))| {
            let direction =
                if side == place(Direction::Egress) { Direction::Egress } else { Direction::Ingress };
            self.told(direction, before[side].as_deref(), after[side].as_deref(), &classes)
        });
        let mut decisions: Vec<ChangedDecisions> = told.collect();
        decisions.retain(|decision| !decision.subjects.is_empty());
        decisions.sort_by_key(|decision| (decision.subjects.first().copied(), place(decision.direction)));
        Changed { decisions, ..Changed::default() }
    }

    fn told(
        &self,
        direction: Direction,
        before: Option<&Row>,
        after: Option<&Row>,
        classes: &[u32],
    ) -> ChangedDecisions {
        let open = Row::open();
        let (before, after) = (before.unwrap_or(&open), after.unwrap_or(&open));
        let v4 = outside(&before.v4, &after.v4, |ip| Ipv4Addr::from(ip).into());
        let v6 = outside(&before.v6, &after.v6, |ip| Ipv6Addr::from(ip).into());
        let subjects: Vec<Span<u32>> = self.ends.spans(classes.iter().copied());
        ChangedDecisions {
            direction,
            subjects: subjects.into_iter().map(|span| (EndId(span.0), EndId(span.1))).collect(),
            inside: changes(&before.inside, &after.inside),
            own_node: changes(&before.own_node, &after.own_node),
            outside: v4.chain(v6).collect(),
        }
    }
}

fn changes(before: &Steps<u32>, after: &Steps<u32>) -> Vec<Changes<EndId>> {
    let parts = before.differences(after, |one, other| one == other).into_iter();
    let change =
        |((first, last), before, after)| Changes { first: EndId(first), last: EndId(last), before, after };
    parts.map(change).collect()
}

fn outside<T: Coordinate>(
    before: &Steps<T>,
    after: &Steps<T>,
    ip: impl Fn(T) -> IpAddr,
) -> impl Iterator<Item = (AddressRange, PortsId, PortsId)> {
    let parts = before.differences(after, |one, other| one == other).into_iter();
    parts.map(move |((first, last), before, after)| {
        (AddressRange { first: ip(first), last: ip(last) }, before, after)
    })
}

/// A row by its place in memory.
type RowKey = Option<*const Row>;

/// Rows before and after, and the classes that had and have them.
type Alike = (Rows, Rows, Vec<u32>);

fn key(row: Option<&Arc<Row>>) -> RowKey {
    row.map(Arc::as_ptr)
}
