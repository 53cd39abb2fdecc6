//! What lint claims to do nothing does nothing: without it, every pair is as before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

#[path = "lint/dns.rs"]
mod dns;
#[path = "support/given.rs"]
mod given;
#[path = "lint/order.rs"]
mod order;
#[path = "lint/rules.rs"]
mod rules;
#[path = "lint/select.rs"]
mod select;
#[path = "lint/words.rs"]
mod words;

use std::sync::Arc;

use peerwalk_cli::changes::Changes;
use peerwalk_cli::lint::{Code, Finding, findings};
use peerwalk_manifests::Cluster;
use peerwalk_netpol::{ClusterPolicy, Direction, Policy, Profile};

/// The direction and the place that a field begins with, as `spec.ingress[2]…`.
fn rule(field: &str) -> (Direction, usize) {
    let way = if field.starts_with("spec.ingress") { Direction::Ingress } else { Direction::Egress };
    let (_, after) = field.split_once('[').unwrap();
    (way, after.split_once(']').unwrap().0.parse().unwrap())
}

/// The place of the item of a list within a rule, as in `…to[1]` or `…ports[0].port`.
fn item(field: &str, list: &str) -> usize {
    let (_, after) = field.rsplit_once(&format!("{list}[")).unwrap();
    after.split_once(']').unwrap().0.parse().unwrap()
}

/// The cluster without what a finding is about; none where that cannot be left out alone.
fn without(cluster: &Cluster, finding: &Finding) -> Option<Cluster> {
    let mut cluster = cluster.clone();
    if finding.code == Code::SelectsNothing {
        cluster.policies.retain(|policy| policy.reference.to_string() != finding.object);
        cluster.cluster_policies.retain(|policy| policy.reference.to_string() != finding.object);
        return Some(cluster);
    }
    if finding.code == Code::Shadowed {
        let (way, place) = rule(&finding.field);
        let found =
            cluster.cluster_policies.iter_mut().find(|of| of.reference.to_string() == finding.object)?;
        let mut policy = ClusterPolicy::clone(found);
        match way {
            Direction::Ingress => drop(policy.ingress.remove(place)),
            Direction::Egress => drop(policy.egress.remove(place)),
        }
        *found = Arc::new(policy);
        return Some(cluster);
    }
    if !matches!(finding.code, Code::PeerMatchesNothing | Code::NamedPortWithoutOwner) {
        return None;
    }
    let found = cluster.policies.iter_mut().find(|policy| policy.reference.to_string() == finding.object)?;
    let (way, place) = rule(&finding.field);
    let mut policy = Policy::clone(found);
    let rules = match way {
        Direction::Ingress => policy.ingress.as_mut()?,
        Direction::Egress => policy.egress.as_mut()?,
    };
    // A rule without items is about everything: the whole rule goes with the last of them.
    let last = if finding.code == Code::PeerMatchesNothing {
        let peers = &mut rules[place].peers;
        let list = if way == Direction::Ingress { "from" } else { "to" };
        peers.remove(item(&finding.field, list));
        peers.is_empty()
    } else {
        let ports = &mut rules[place].ports;
        ports.remove(item(&finding.field, "ports"));
        ports.is_empty()
    };
    if last {
        rules.remove(place);
    }
    *found = Arc::new(policy);
    Some(cluster)
}

#[test]
fn what_does_nothing_can_be_left_out() {
    let mut tried = 0;
    for (name, cluster) in given::clusters() {
        for finding in findings(&cluster) {
            let Some(less) = without(&cluster, &finding) else { continue };
            let changes = Changes::new(&cluster, &less, Profile::UPSTREAM);
            assert!(changes.pairs.is_empty(), "{name}: {finding:?} does something: {:?}", changes.pairs);
            tried += 1;
        }
    }
    assert!(tried >= 4, "there is something to leave out, not only {tried}");
}
