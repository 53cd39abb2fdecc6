//! The difference of two matrices against the difference of their sets of pairs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use peerwalk_netpol::{End, Matrix, Member, Owner, PairDifference, Party, PortSet, Profile};
use proptest::prelude::*;

use super::generate::cluster;
use super::matrix::objects;

/// An end by name and address.
type Key = (String, Option<IpAddr>);

/// Addresses at the edges of what is generated, and beyond.
const OUTSIDE: [&str; 8] = [
    "192.0.2.7",
    "192.0.2.8",
    "10.96.0.10",
    "10.97.0.1",
    "0.0.0.1",
    "255.255.255.255",
    "2001:db8::7",
    "fd00::1",
];

fn key(member: &Member) -> Key {
    let name = match &member.owner {
        Owner::Pod(pod) => format!("{}/{}", pod.namespace, pod.name),
        Owner::Node(node) => node.name.clone(),
    };
    (name, member.ip)
}

/// Every pair that has a port.
fn pairs(matrix: &Matrix) -> BTreeMap<(Key, Key), PortSet> {
    let inside = matrix.ends().map(|(end, member)| (End::Inside(end), key(member)));
    let outside = OUTSIDE.map(|ip| ip.parse().expect("an address"));
    let outside = outside.map(|ip| (End::Outside(ip), ("outside".to_owned(), Some(ip))));
    let ends: Vec<(End, Key)> = inside.chain(outside).collect();
    let mut found = BTreeMap::new();
    for (source, one) in &ends {
        for (destination, other) in &ends {
            // Between two addresses outside there is nothing to ask; nodes are open to them in any case.
            let outsides = [one, other].iter().filter(|key| key.0 == "outside").count();
            let ports = matrix.ports(*source, *destination);
            if outsides < 2 && !ports.is_empty() {
                found.insert((one.clone(), other.clone()), ports);
            }
        }
    }
    found
}

/// The pairs of a difference, with the addresses outside that are asked about.
fn told(differences: &[PairDifference]) -> BTreeMap<(Key, Key), (PortSet, PortSet)> {
    let keys = |party: &Party| match party {
        Party::Inside(member) => vec![key(member)],
        Party::Outside(range) => {
            let outside = OUTSIDE.iter().map(|ip| ip.parse::<IpAddr>().expect("an address"));
            let held = outside.filter(|ip| range.first <= *ip && *ip <= range.last);
            held.map(|ip| ("outside".to_owned(), Some(ip))).collect()
        }
    };
    let mut found = BTreeMap::new();
    for difference in differences {
        for source in keys(&difference.source) {
            for destination in keys(&difference.destination) {
                let ports = (difference.before.clone(), difference.after.clone());
                let known = found.insert((source.clone(), destination), ports);
                assert_eq!(known, None, "{source:?} is told twice");
            }
        }
    }
    found
}

fn compare(before: &Matrix, after: &Matrix) -> Result<(), TestCaseError> {
    let (one, other) = (pairs(before), pairs(after));
    let mut expected = BTreeMap::new();
    for pair in one.keys().chain(other.keys()) {
        let ports = [&one, &other].map(|pairs| pairs.get(pair).cloned().unwrap_or_default());
        let [before, after] = ports;
        // A node that comes or goes is nobody's policy: its pairs with the outside are not told.
        let is_node = |key: &Key| key.0.starts_with("node-");
        let outside = pair.0.0 == "outside" || pair.1.0 == "outside";
        if before != after && !(outside && (is_node(&pair.0) || is_node(&pair.1))) {
            expected.insert(pair.clone(), (before, after));
        }
    }
    prop_assert_eq!(told(&before.diff(after)), expected);
    Ok(())
}

proptest! {
    #[test]
    fn a_difference_is_that_of_the_sets(one in cluster(), other in cluster()) {
        for profile in [Profile::UPSTREAM, Profile::NP_GUARD] {
            let (before, after) = (objects(&one), objects(&other));
            let mut same_ends = before.clone();
            same_ends.policies.clone_from(&after.policies);
            same_ends.cluster_policies.clone_from(&after.cluster_policies);
            same_ends.namespaces.clone_from(&after.namespaces);
            let [before, same_ends, after] =
                [before, same_ends, after].map(|objects| Matrix::new(&objects, profile));
            compare(&before, &same_ends)?;
            compare(&before, &after)?;
        }
    }
}
