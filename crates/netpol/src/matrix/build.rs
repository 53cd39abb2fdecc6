//! From objects to rows, one namespace after another.

use std::collections::HashMap;
use std::sync::Arc;

use peerwalk_model::Direction;

use super::ends::{Ends, Named};
use super::row::{self, Row, Selecting};
use super::rules::{OfCluster, Rules, Share};
use super::table::Table;
use super::words::Query;
use super::{Matrix, Objects, place};
use crate::cluster_policy::{ClusterPolicy, Tier};
use crate::policy::Policy;
use crate::profile::Profile;

pub(super) fn matrix(objects: &Objects, profile: Profile) -> Matrix {
    let ends = Ends::new(objects, profile);
    let mut policies: Vec<Vec<Arc<Policy>>> = vec![Vec::new(); ends.namespaces.len()];
    for policy in &objects.policies {
        if let Some(namespace) = ends.find_namespace(&policy.reference.namespace) {
            policies[namespace as usize].push(Arc::clone(policy));
        }
    }
    for policies in &mut policies {
        policies.sort_by(|one, other| one.reference.cmp(&other.reference));
    }
    let mut cluster_policies = objects.cluster_policies.clone();
    in_order(&mut cluster_policies);
    let mut table = Table::default();
    let mut rows = vec![[None, None]; ends.classes.len()];
    let mut builder = Builder::new(&ends, &cluster_policies);
    for (namespace, policies) in (0..).zip(&policies) {
        for (class, made) in builder.rows(namespace, policies, None, &mut table) {
            rows[class as usize] = made;
        }
    }
    drop(builder);
    Matrix { ends, policies, cluster_policies, rows, table }
}

/// Sorts policies of the cluster as they are asked.
pub(super) fn in_order(policies: &mut [Arc<ClusterPolicy>]) {
    policies.sort_by(|a, b| a.order().cmp(&b.order()));
}

/// The rows of a class: egress, ingress.
pub(super) type Rows = [Option<Arc<Row>>; 2];

/// What a row is made of: policies of the namespace, policies of the cluster, and the subject's named ports where they
/// matter.
type Recipe = (Vec<u32>, Vec<u32>, Option<Box<[Named]>>);

/// Makes rows.
pub(super) struct Builder<'a> {
    ends: &'a Ends,
    rules: Rules<'a>,
    cluster_policies: &'a [Arc<ClusterPolicy>],
    of_cluster: Vec<OfCluster>,
    /// Rows of pods that no NetworkPolicy selects, which all namespaces share.
    shared: [HashMap<Recipe, Arc<Row>>; 2],
}

const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];

impl<'a> Builder<'a> {
    pub fn new(ends: &'a Ends, cluster_policies: &'a [Arc<ClusterPolicy>]) -> Self {
        let rules = Rules::new(ends);
        let of_cluster = cluster_policies.iter().map(|policy| rules.of_cluster(policy)).collect();
        Self { ends, rules, cluster_policies, of_cluster, shared: Default::default() }
    }

    /// The rows of these classes of a namespace, or of all of them.
    pub fn rows(
        &mut self,
        namespace: u32,
        policies: &'a [Arc<Policy>],
        only: Option<&[u32]>,
        table: &mut Table,
    ) -> Vec<(u32, Rows)> {
        let all = &self.ends.namespaces[namespace as usize].classes;
        let classes = only.unwrap_or(all);
        if classes.is_empty() {
            return Vec::new();
        }
        let mut selecting = self.selecting(namespace, policies, classes);
        if !self.ends.are_hosts_subjects() {
            let of_hosts = classes.iter().zip(&mut selecting);
            let of_hosts = of_hosts.filter(|(class, _)| self.ends.classes[**class as usize].host);
            of_hosts.for_each(|(_, selecting)| selecting.clear());
        }
        let here: Vec<u32> = (0..)
            .zip(&self.of_cluster)
            .filter(|(_, policy)| policy.selects_in(self.ends, namespace))
            .map(|(number, _)| number)
            .collect();
        for number in &here {
            let number = *number as usize;
            self.rules.prepare(&mut self.of_cluster[number], &self.cluster_policies[number]);
        }
        let mut shares: HashMap<(u32, usize), Option<Vec<Share>>> = HashMap::new();
        let mut known: [HashMap<Recipe, Arc<Row>>; 2] = Default::default();
        let mut found = Vec::with_capacity(classes.len());
        for (class, network) in classes.iter().zip(selecting) {
            let cluster: Vec<u32> = here
                .iter()
                .copied()
                .filter(|number| self.of_cluster[*number as usize].selects(self.ends, *class))
                .collect();
            let rows = DIRECTIONS.map(|direction| {
                let side = place(direction);
                for number in &network {
                    let policy = &policies[*number as usize];
                    shares
                        .entry((*number, side))
                        .or_insert_with(|| self.rules.shares(policy, namespace, direction));
                }
                let of = |number: &u32| shares.get(&(*number, side)).and_then(Option::as_ref);
                let isolating: Vec<u32> =
                    network.iter().copied().filter(|number| of(number).is_some()).collect();
                if isolating.is_empty() && cluster.is_empty() {
                    return None;
                }
                let selecting = Selecting {
                    cluster: tiers(&self.of_cluster, &cluster, direction),
                    network: (!isolating.is_empty())
                        .then(|| isolating.iter().filter_map(of).flatten().collect()),
                };
                let named = &*self.ends.classes[*class as usize].named;
                let by_name = selecting.names_ports().then(|| named.into());
                let recipe = (isolating, cluster.clone(), by_name);
                let known = if recipe.0.is_empty() { &mut self.shared[side] } else { &mut known[side] };
                let make = || Arc::new(row::row(&selecting, named, table));
                Some(Arc::clone(known.entry(recipe).or_insert_with(make)))
            });
            found.push((*class, rows));
        }
        found
    }

    /// For each class, the policies of the namespace that select it.
    fn selecting(&self, namespace: u32, policies: &[Arc<Policy>], classes: &[u32]) -> Vec<Vec<u32>> {
        let mut selecting = vec![Vec::new(); classes.len()];
        for (number, policy) in (0..).zip(policies) {
            let query = Query::new(&policy.subject, &self.ends.words);
            if let [only] = classes {
                if self.ends.class_labels.matches(*only, &query) {
                    selecting[0].push(number);
                }
                continue;
            }
            for class in self.ends.select_in(namespace, &query) {
                if let Ok(place) = classes.binary_search(&class) {
                    selecting[place].push(number);
                }
            }
        }
        selecting
    }
}

fn tiers<'s>(of_cluster: &'s [OfCluster], chosen: &[u32], direction: Direction) -> Vec<(Tier, &'s [Share])> {
    let of = chosen.iter().map(|number| &of_cluster[*number as usize]);
    of.map(|policy| (policy.tier, policy.shares(direction))).collect()
}
