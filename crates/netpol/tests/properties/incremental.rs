//! One change after another against everything from scratch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use peerwalk_netpol::{
    Change, Changed, Direction, End, EndId, Matrix, Member, Namespace, Objects, Owner, Pod, PolicyIndex,
    PortSet, Profile, evaluate,
};
use proptest::prelude::*;
use proptest::sample::Index;

use super::generate::{Cluster, cluster};
use super::matrix::{blocks_agree, objects};
use super::{DIRECTIONS, PROFILES};

/// Addresses at the edges of what is generated.
const OUTSIDE: [&str; 5] = ["192.0.2.7", "192.0.2.8", "10.96.0.10", "10.97.0.1", "2001:db8::7"];

/// What a change is made of: a sort, and where to take the object from.
type Step = (u8, Index, Index);

/// An end by name and address.
type Key = (String, String);

fn key(member: &Member) -> Key {
    let name = match &member.owner {
        Owner::Pod(pod) => format!("{}/{}", pod.namespace, pod.name),
        Owner::Node(node) => node.name.clone(),
    };
    (name, format!("{:?}", member.ip))
}

/// What each direction leaves open, for every pair.
type Decisions = BTreeMap<(Egress, Key, Key), PortSet>;
/// Whether it is the source that decides.
type Egress = bool;

fn decisions(matrix: &Matrix) -> Decisions {
    let ends: Vec<(EndId, Key)> = matrix.ends().map(|(end, member)| (end, key(member))).collect();
    let outside = ["192.0.2.7", "192.0.2.8", "10.97.0.1", "2001:db8::7"]
        .map(|ip| (End::Outside(ip.parse().expect("an address")), (ip.to_owned(), String::new())));
    let ends: Vec<(End, Key)> =
        ends.into_iter().map(|(end, key)| (End::Inside(end), key)).chain(outside).collect();
    let mut found = Decisions::new();
    for (subject, one) in &ends {
        for (peer, other) in &ends {
            for direction in DIRECTIONS {
                let ports = matrix.direction(direction, *subject, *peer).clone();
                found.insert((direction == Direction::Egress, one.clone(), other.clone()), ports);
            }
        }
    }
    found
}

/// The pairs that a change is said to have changed, with what they are said to have become.
fn told(matrix: &Matrix, changed: &Changed) -> BTreeMap<(Egress, Key, Key), (PortSet, PortSet)> {
    let mut found = BTreeMap::new();
    for decision in &changed.decisions {
        for subject in decision.subjects.iter().flat_map(|(first, last)| first.to(*last)) {
            let Some(one) = matrix.member(subject) else { continue };
            for ip in OUTSIDE {
                let address: IpAddr = ip.parse().expect("an address");
                for (range, before, after) in &decision.outside {
                    if range.first <= address && address <= range.last {
                        let ports = (matrix.port_set(*before).clone(), matrix.port_set(*after).clone());
                        let outside = (ip.to_owned(), String::new());
                        found.insert((decision.direction == Direction::Egress, key(one), outside), ports);
                    }
                }
            }
            for (peer, other) in matrix.ends().filter(|(_, other)| !one.is_same_pod(other)) {
                let own_node = matrix.profile().own_node && is_own_node(matrix, one, other);
                let runs = if own_node { &decision.own_node } else { &decision.inside };
                for run in runs.iter().filter(|run| run.first <= peer && peer <= run.last) {
                    let ports = (matrix.port_set(run.before).clone(), matrix.port_set(run.after).clone());
                    found.insert((decision.direction == Direction::Egress, key(one), key(other)), ports);
                }
            }
        }
    }
    found
}

/// Whether the peer is the node of the subject, or stands for it: that pair is left to the reader of a change.
fn is_own_node(matrix: &Matrix, subject: &Member, peer: &Member) -> bool {
    let Some(pod) = subject.as_pod().filter(|pod| !pod.host_network) else { return false };
    match &peer.owner {
        Owner::Node(node) => pod.node.as_ref() == Some(&node.name),
        Owner::Pod(other) => {
            !matrix.profile().host_network.is_peer() && other.host_network && other.node == pod.node
        }
    }
}

/// Applies a step to the objects and gives the change.
fn step(objects: &mut Objects, spare: &Objects, (sort, which, from): &Step) -> Option<Change> {
    match sort % 7 {
        // A policy comes, or becomes another.
        0 if !spare.policies.is_empty() => {
            let policy = Arc::clone(from.get(&spare.policies));
            objects.policies.retain(|known| known.reference != policy.reference);
            objects.policies.push(Arc::clone(&policy));
            Some(Change::Policy(policy.reference.clone(), Some(policy)))
        }
        1 if !objects.policies.is_empty() => {
            let gone = objects.policies.remove(which.index(objects.policies.len()));
            Some(Change::Policy(gone.reference.clone(), None))
        }
        2 => {
            let labels = from.get(&spare.namespaces).labels.clone();
            let name = which.get(&objects.namespaces).name.clone();
            let namespace = Namespace { name, labels };
            objects.namespaces.retain(|known| known.name != namespace.name);
            objects.namespaces.push(namespace.clone());
            Some(Change::Namespace(namespace))
        }
        3 if !objects.pods.is_empty() => {
            let gone = objects.pods.remove(which.index(objects.pods.len()));
            Some(Change::Pod { namespace: gone.namespace.clone(), name: gone.name.clone(), pod: None })
        }
        4 if !spare.pods.is_empty() => {
            let pod: &Arc<Pod> = from.get(&spare.pods);
            let same = |known: &Arc<Pod>| known.namespace == pod.namespace && known.name == pod.name;
            objects.pods.retain(|known| !same(known));
            objects.pods.push(Arc::clone(pod));
            let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
            Some(Change::Pod { namespace, name, pod: Some(Arc::clone(pod)) })
        }
        5 if !spare.cluster_policies.is_empty() => {
            let policy = Arc::clone(from.get(&spare.cluster_policies));
            objects.cluster_policies.retain(|known| known.reference != policy.reference);
            objects.cluster_policies.push(Arc::clone(&policy));
            Some(Change::ClusterPolicy(policy.reference.clone(), Some(policy)))
        }
        6 if !objects.cluster_policies.is_empty() => {
            let gone = objects.cluster_policies.remove(which.index(objects.cluster_policies.len()));
            Some(Change::ClusterPolicy(gone.reference.clone(), None))
        }
        _ => None,
    }
}

fn follow(cluster: &Cluster, spare: &Cluster, steps: &[Step], profile: Profile) -> Result<(), TestCaseError> {
    let (mut objects, spare) = (objects(cluster), objects(spare));
    let mut matrix = Matrix::new(&objects, profile);
    for step_ in steps {
        let before = decisions(&matrix);
        let Some(change) = step(&mut objects, &spare, step_) else { continue };
        let text = format!("{change:?}");
        let changed = matrix.apply(change);
        let after = decisions(&matrix);
        prop_assert_eq!(&after, &decisions(&Matrix::new(&objects, profile)), "from scratch, after {}", text);
        blocks_agree(&matrix)?;
        let told = told(&matrix, &changed);
        let moved: Vec<Key> = changed
            .gone
            .iter()
            .map(|(_, member)| key(member))
            .chain(changed.new.iter().filter_map(|end| matrix.member(*end)).map(key))
            .collect();
        for (pair, ports) in &after {
            let is_new = moved.contains(&pair.1) || moved.contains(&pair.2);
            let Some(known) = before.get(pair).filter(|_| !is_new) else { continue };
            match told.get(pair) {
                None => prop_assert_eq!(known, ports, "{:?} is not told after {}", pair, text),
                Some(told) => {
                    prop_assert_eq!(&told.1, ports, "{:?} after {}", pair, text);
                    prop_assert_eq!(&told.0, known, "{:?} before {}", pair, text);
                    prop_assert_ne!(known, ports, "{:?} is told after {}", pair, text);
                }
            }
        }
    }
    Ok(())
}

/// Takes each step into an index of policies, which answers as one that is made of all there is.
fn answers_follow(cluster: &Cluster, spare: &Cluster, steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut objects, spare_objects) = (objects(cluster), objects(spare));
    let (mut index, mut unreadable) = (cluster.index(), BTreeSet::new());
    for step_ in steps {
        let before = objects.clone();
        let Some(change) = step(&mut objects, &spare_objects, step_) else { continue };
        let text = format!("{change:?}");
        match &change {
            // Some cannot be read as they have become.
            Change::Policy(policy, Some(_)) | Change::ClusterPolicy(policy, Some(_)) if step_.0 % 3 == 0 => {
                objects = before;
                objects.policies.retain(|known| known.reference != *policy);
                objects.cluster_policies.retain(|known| known.reference != *policy);
                unreadable.insert(policy.clone());
                index.apply_unreadable(policy.clone());
            }
            Change::Policy(policy, _) | Change::ClusterPolicy(policy, _) => {
                unreadable.remove(policy);
                index.apply(change);
            }
            _ => index.apply(change),
        }
        let node = step_.1.get(&spare_objects.nodes);
        objects.nodes.retain(|known| known.name != node.name);
        let comes = step_.0 % 2 == 0;
        objects.nodes.extend(comes.then(|| Arc::clone(node)));
        index.apply_node(&node.name, comes.then(|| Arc::clone(node)));
        // One that nothing is known of any more.
        if step_.0 % 5 == 0 && objects.namespaces.len() > 1 {
            let gone = objects.namespaces.remove(step_.2.index(objects.namespaces.len()));
            index.remove_namespace(&gone.name);
        }
        let scratch = PolicyIndex::new(objects.namespaces.clone(), objects.policies.iter().cloned())
            .with_cluster_policies(objects.cluster_policies.iter().cloned())
            .with_nodes(objects.nodes.iter().cloned())
            .with_unreadable(unreadable.iter().cloned());
        for flow in cluster.flows.iter().chain(&spare.flows) {
            for profile in [&PROFILES[3], &Profile::OVN_KUBERNETES] {
                let expected = evaluate(&scratch, flow, profile);
                prop_assert_eq!(evaluate(&index, flow, profile), expected, "{} after {}", flow, text);
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn one_change_after_another_is_as_from_scratch(
        cluster in cluster(),
        spare in cluster(),
        steps in proptest::collection::vec(any::<Step>(), 1..6),
    ) {
        for profile in [PROFILES[3], Profile::OVN_KUBERNETES, Profile::NP_GUARD] {
            follow(&cluster, &spare, &steps, profile)?;
        }
    }

    #[test]
    fn an_index_of_policies_follows_changes(
        cluster in cluster(),
        spare in cluster(),
        steps in proptest::collection::vec(any::<Step>(), 1..6),
    ) {
        answers_follow(&cluster, &spare, &steps)?;
    }
}
