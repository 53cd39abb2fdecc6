//! What is said of a denial by a policy of the cluster.

use std::sync::Arc;

use peerwalk_netpol::{
    Action, ClusterPeer, ClusterPolicy, ClusterRule, PodSet, PolicyIndex, PolicyKind, PolicyRef, Profile,
    Tier, evaluate,
};

use super::*;
use crate::scene::{self, Policies};

#[test]
fn a_denial_of_the_cluster_names_its_rule_and_no_rule_to_add() {
    let rule = |name: &str, action| ClusterRule {
        name: name.into(),
        action,
        peers: vec![ClusterPeer::Pods(PodSet::default())],
        ports: Vec::new(),
    };
    let mut policy = ClusterPolicy {
        reference: PolicyRef::of_cluster(PolicyKind::ClusterNetworkPolicy, "tenants"),
        tier: Tier::Admin,
        priority: 1,
        subject: PodSet::default(),
        ingress: vec![rule("rest", Action::Deny)],
        egress: Vec::new(),
    };
    let flow = scene::decision(Policies::None).flow;
    let decide = |policy: &ClusterPolicy| {
        let index = PolicyIndex::default().with_cluster_policies([Arc::new(policy.clone())]);
        evaluate(&index, &flow, &Profile::UPSTREAM)
    };
    let told = |lines: Vec<Because>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();

    let denied = decide(&policy);
    let cause = cause(&denied, Direction::Ingress).unwrap();
    assert_eq!(
        (cause.kind.as_str(), cause.name.as_str(), cause.rule),
        ("ClusterNetworkPolicy", "tenants", Some(1))
    );
    assert_eq!(
        told(denial(&denied)),
        ["ingress to ledger/postgres-0 is denied by rule 1 (rest) of ClusterNetworkPolicy tenants"]
    );
    let wanted = "no NetworkPolicy can admit it for ingress: rule 1 (rest) of ClusterNetworkPolicy tenants denies it and \
                  would have to change";
    assert_eq!(told(fixes(&denied)), [wanted]);

    policy.tier = Tier::Baseline;
    let denied = decide(&policy);
    let wanted = "a rule that would admit it: ingress from namespace shop, pods app=web, port 5432/TCP (it \
                  isolates every pod that it selects: everything else is denied then)";
    assert_eq!(told(fixes(&denied)), [wanted], "a NetworkPolicy comes before the baseline");
}
