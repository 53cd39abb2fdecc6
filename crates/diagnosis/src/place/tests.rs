//! Offenders as they were seen on real nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use peerwalk_model::Timestamp;
use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};

use super::*;
use crate::address::group;
use crate::facts::{SourceFacts, TargetFacts};

fn node(name: &str, address: &str, network: &str) -> Arc<NodeFacts> {
    Arc::new(NodeFacts {
        name: name.into(),
        addresses: vec![address.parse().unwrap()],
        pod_networks: vec![network.parse().unwrap()],
    })
}

fn facts(target_node: Arc<NodeFacts>) -> Facts {
    let target = EndpointFacts { node: Some(target_node), ..EndpointFacts::default() };
    Facts {
        source: SourceFacts {
            addresses: vec!["10.244.0.5".parse().unwrap()],
            node: Some(node("n1", "10.90.0.1", "10.244.0.0/24")),
            ..SourceFacts::default()
        },
        endpoints: BTreeMap::from([("10.244.1.8".parse().unwrap(), target)]),
        ..Facts::alone(TargetFacts::Url { allowed: true })
    }
}

fn sides(facts: &Facts, offender: Option<&str>) -> (bool, bool) {
    let dial = Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose: DialPurpose::Endpoint,
        remote: "10.244.1.8:5432".parse().unwrap(),
        local: None,
        started: Timestamp::from_millis(0),
        elapsed: std::time::Duration::ZERO,
        retransmits: 0,
        outcome: DialOutcome::Silent,
    };
    let addresses = group(std::iter::once(&dial), dial.started);
    let place = place(facts, &addresses[0], offender.map(|offender| offender.parse().unwrap()));
    (place.egress, place.ingress)
}

#[test]
fn an_offender_is_placed_by_its_address() {
    let other_node = facts(node("n2", "10.90.0.2", "10.244.1.0/24"));
    for (offender, expected) in [
        (Some("10.244.0.5"), (true, false)),
        (Some("10.90.0.1"), (true, false)),
        (Some("10.244.0.1"), (true, false)),
        (Some("10.90.0.2"), (false, true)),
        (Some("10.244.1.1"), (false, true)),
        (Some("10.244.1.8"), (false, true)),
        (Some("::ffff:10.90.0.2"), (false, true)),
        (Some("192.0.2.1"), (false, false)),
        (None, (false, false)),
    ] {
        assert_eq!(sides(&other_node, offender), expected, "(egress, ingress) of {offender:?}");
    }
}

#[test]
fn another_pod_of_a_node_is_not_the_node() {
    let mut facts = facts(node("n2", "10.90.0.2", "10.244.1.0/24"));
    for gateway in ["10.244.0.77", "10.244.1.77"] {
        assert_ne!(sides(&facts, Some(gateway)), (false, false), "{gateway} may be the node's own");
        facts.pod_offenders.insert(gateway.parse().unwrap());
        assert_eq!(sides(&facts, Some(gateway)), (false, false), "{gateway} is a pod's");
    }
}

#[test]
fn a_shared_node_stands_on_both_sides() {
    let shared = facts(node("n1", "10.90.0.1", "10.244.0.0/24"));
    assert_eq!(sides(&shared, Some("10.244.0.1")), (true, true));
}
