//! Exemptions, caveats and near misses, one by one. Plain matching is held against others' results in
//! `tests/conformance`, and against a naive evaluator in `tests/properties`.

use std::collections::BTreeSet;

use crate::caveat::Caveat;
use crate::cluster::Pod;
use crate::decision::{Cause, Decision, Exemption, Verdict};
use crate::difference::PeerDifference;
use crate::evaluate;
use crate::fixture::*;
use crate::flow::{Flow, Peer};
use crate::policy::{Policy, PolicyRef, Ports, Rule, RulePort};
use crate::profile::{HostNetwork, Profile};
use peerwalk_model::Protocol;

fn web() -> Pod {
    pod("shop", "web", "10.244.1.7")
}

fn postgres() -> Pod {
    pod("ledger", "postgres", "10.244.2.8")
}

fn host_network(name: &str, node: &str, ip: &str) -> Pod {
    Pod { host_network: true, node: Some(node.to_owned()), ..pod("ledger", name, ip) }
}

/// Isolates all of a namespace both ways and admits nothing.
fn deny(namespace: &str) -> Policy {
    policy(namespace, "default-deny", Some(vec![]), Some(vec![]))
}

fn admits(namespace: &str, rule: Rule) -> Policy {
    policy(namespace, "admits", Some(vec![rule.clone()]), Some(vec![rule]))
}

fn through_service(flow: Flow) -> Flow {
    through("10.96.3.7:5432", flow)
}

fn through(service: &str, flow: Flow) -> Flow {
    Flow { service: Some(service.parse().unwrap()), ..flow }
}

fn caveats(decision: &Decision) -> Vec<Caveat> {
    decision.caveats.iter().copied().collect()
}

#[test]
fn exemptions() {
    let host = || host_network("agent", "node-1", "10.0.0.1");
    let finished = || Pod { finished: true, ..postgres() };
    // Flow, whether the exempt end is the source, the exemption, and the caveats when all pods are isolated.
    let table: Vec<(Flow, bool, Exemption, Vec<Caveat>)> = vec![
        (flow(external("192.0.2.1"), at(web())), true, Exemption::NotAPod, vec![]),
        (flow(node("node-2", "10.0.0.2"), at(web())), true, Exemption::NotAPod, vec![]),
        (flow(at(web()), at(finished())), false, Exemption::Finished, vec![]),
        (flow(at(web()), at(web())), true, Exemption::SamePod, vec![]),
        (through_service(flow(at(web()), at(web()))), true, Exemption::SamePod, vec![Caveat::Hairpin]),
        (
            flow(at(host()), external("192.0.2.1")),
            true,
            Exemption::HostNetwork,
            vec![Caveat::HostNetworkSubject],
        ),
        (flow(node("node-1", "10.0.0.1"), at(web())), false, Exemption::OwnNode, vec![]),
        (flow(at(web()), node("node-1", "10.0.0.1")), true, Exemption::OwnNode, vec![Caveat::OwnNode]),
        (flow(at(host()), at(web())), false, Exemption::OwnNode, vec![Caveat::HostNetworkPeer]),
        (
            flow(at(web()), at(host())),
            true,
            Exemption::OwnNode,
            vec![Caveat::HostNetworkPeer, Caveat::OwnNode],
        ),
    ];
    for (flow, is_source, exemption, expected) in table {
        let decision = decide([deny("shop"), deny("ledger")], &flow);
        let exempt = if is_source { &decision.egress } else { &decision.ingress };
        assert_eq!(exempt.cause, Cause::Exempt(exemption), "{flow}");
        assert_eq!(exempt.verdict, Verdict::Allowed, "{flow}");
        assert_eq!(exempt.caveats, expected.into_iter().collect::<BTreeSet<_>>(), "{flow} hangs on these");
        let open = decide([], &flow);
        assert!(
            open.is_certain(),
            "{flow} hangs on nothing where no policy isolates, not {:?}",
            open.caveats
        );
    }
}

#[test]
fn another_node_is_an_ordinary_address() {
    let flow = flow(node("node-2", "10.0.0.2"), at(web()));
    assert!(!decide([deny("shop")], &flow).is_allowed(), "only the own node is exempt");
    assert!(decide([admits("shop", rule([], []))], &flow).is_allowed(), "an empty `from` admits nodes too");
    let by_block = decide([admits("shop", rule([block("10.0.0.0/24", &[])], []))], &flow);
    assert!(by_block.is_allowed(), "a block admits a node by its address");
    assert_eq!(caveats(&by_block), [Caveat::IpBlockOnNodeAddress]);
}

#[test]
fn a_pod_without_node_has_no_own_node() {
    let unscheduled = |ip| Pod { node: None, ..pod("shop", "web", ip) };
    let host = Pod { host_network: true, node: None, ..pod("ledger", "agent", "10.0.0.1") };
    let decision = decide([deny("shop")], &flow(at(host), at(unscheduled("10.244.1.7"))));
    assert!(!decision.is_allowed(), "two unknown nodes are not the same");
}

#[test]
fn pods_made_anew_are_not_the_same() {
    let life = |uid: &str| Pod { uid: uid.to_owned(), ..web() };
    let decision = decide([deny("shop")], &flow(at(life("1")), at(life("2"))));
    assert!(!decision.is_allowed(), "a name can be used again");
}

#[test]
fn a_block_on_a_pod_address_is_a_caveat_where_it_decides() {
    let flow = flow(at(web()), at(postgres()));
    let everywhere = || rule([block("0.0.0.0/0", &[])], []);
    let index = index([admits("shop", everywhere())]);
    let upstream = evaluate(&index, &flow, &Profile::UPSTREAM);
    assert!(upstream.is_allowed(), "upstream requires the match");
    assert_eq!(caveats(&upstream), [Caveat::IpBlockOnPodAddress]);

    let external_only = Profile { ip_block_matches_pods: false, ..Profile::UPSTREAM };
    let other = evaluate(&index, &flow, &external_only);
    assert!(!other.is_allowed());
    assert_eq!(caveats(&other), [Caveat::IpBlockOnPodAddress], "the denial hangs on it too");
    let miss = other.egress.nearest_miss().map(|miss| miss.difference.to_string());
    assert_eq!(
        miss.as_deref(),
        Some("10.244.2.8 in 0.0.0.0/0 is a pod's, and blocks do not apply to pods here")
    );

    let by_label = rule([pods(Some("ledger"), "postgres")], []);
    let both = decide([policy("shop", "both", None, Some(vec![everywhere(), by_label]))], &flow);
    assert_eq!(caveats(&both), [], "a selector admits the pod anyway");
    let denied_anyway = decide([admits("shop", everywhere()), deny("ledger")], &flow);
    assert_eq!(caveats(&denied_anyway), [], "ingress denies anyway");
    assert_eq!(denied_anyway.egress.caveats.len(), 1, "though egress hangs on it");
}

#[test]
fn a_block_outside_is_no_caveat() {
    let out = flow(at(web()), external("192.0.2.7"));
    let policies = [admits("shop", rule([block("192.0.2.0/24", &[])], []))];
    let decision = decide(policies.clone(), &out);
    assert!(decision.is_allowed() && decision.is_certain(), "that is what blocks are for: {decision:?}");
    let translated = decide(policies.clone(), &through_service(out));
    assert_eq!(caveats(&translated), [Caveat::TranslatedAddress], "a Service may hide the address");
    let into = through_service(flow(external("192.0.2.7"), at(web())));
    assert_eq!(caveats(&decide(policies, &into)), [Caveat::TranslatedAddress]);
}

/// Data planes that apply egress policies before the translation see the Service's address and port.
#[test]
fn a_rule_that_sees_the_service_otherwise_is_a_caveat() {
    use Caveat::{IpBlockOnPodAddress, TranslatedAddress};
    // The rule, the Service's address and port, whether the endpoint at 10.244.2.8:5432 is admitted, and the
    // caveats.
    let table: Vec<(Rule, &str, bool, Vec<Caveat>)> = vec![
        (rule([block("10.96.0.0/12", &[])], []), "10.96.3.7:80", false, vec![TranslatedAddress]),
        (rule([block("10.96.0.0/12", &[])], [tcp(80)]), "10.96.3.7:80", false, vec![TranslatedAddress]),
        (rule([block("10.96.0.0/12", &[])], [tcp(81)]), "10.96.3.7:80", false, vec![]),
        (
            rule([block("10.244.0.0/16", &[])], []),
            "10.96.3.7:80",
            true,
            vec![IpBlockOnPodAddress, TranslatedAddress],
        ),
        (rule([block("10.0.0.0/8", &[])], []), "10.96.3.7:80", true, vec![IpBlockOnPodAddress]),
        (
            rule([block("10.0.0.0/8", &[])], [tcp(5432)]),
            "10.96.3.7:80",
            true,
            vec![IpBlockOnPodAddress, TranslatedAddress],
        ),
        (rule([block("0.0.0.0/0", &["10.0.0.0/8"])], []), "10.96.3.7:80", false, vec![]),
        (rule([], [tcp(5432)]), "10.96.3.7:5432", true, vec![]),
        (rule([], [tcp(80)]), "10.96.3.7:80", false, vec![TranslatedAddress]),
        (rule([pods(Some("ledger"), "postgres")], [tcp(5432)]), "10.96.3.7:80", true, vec![]),
        (
            rule([pods(Some("ledger"), "postgres"), block("192.0.2.0/24", &[])], []),
            "10.96.3.7:80",
            true,
            vec![],
        ),
    ];
    for (rule, service, admitted, expected) in table {
        let flow = flow(at(web()), at(postgres()));
        let policies = [policy("shop", "egress", None, Some(vec![rule.clone()]))];
        let decision = decide(policies.clone(), &through(service, flow.clone()));
        assert_eq!(decision.is_allowed(), admitted, "{rule:?} through {service}");
        assert_eq!(caveats(&decision), expected, "{rule:?} through {service}");
        let direct = decide(policies, &flow);
        assert!(
            !direct.caveats.contains(&TranslatedAddress),
            "nothing is translated on the way to the endpoint itself: {rule:?}"
        );
    }
}

#[test]
fn a_port_beyond_the_first_of_a_range_is_a_caveat_where_it_decides() {
    let range =
        |first: u16, last: u16| RulePort { protocol: Protocol::Tcp, ports: Ports::Numbers(first..=last) };
    let flow = flow(at(web()), at(postgres()));
    // The listed ports, whether 5432 is admitted, and the caveats.
    let table = [
        (vec![range(5432, 5440)], true, vec![]),
        (vec![range(5400, 5432)], true, vec![Caveat::EndPort]),
        (vec![range(5400, 5431)], false, vec![]),
        (vec![range(5400, 5500), tcp(5432)], true, vec![]),
    ];
    for (ports, admitted, expected) in table {
        for namespace in ["shop", "ledger"] {
            let decision = decide([admits(namespace, rule([], ports.clone()))], &flow);
            assert_eq!(decision.is_allowed(), admitted, "{ports:?} in {namespace}");
            assert_eq!(caveats(&decision), expected, "{ports:?} in {namespace}");
        }
    }
    let denied = decide([admits("shop", rule([], [range(5400, 5500)])), deny("ledger")], &flow);
    assert_eq!(caveats(&denied), [], "ingress denies anyway");
}

#[test]
fn a_host_network_peer_is_its_node_or_a_pod() {
    let flow = flow(at(host_network("agent", "node-2", "10.0.0.2")), at(web()));
    let index = index([admits("shop", rule([pods(Some("ledger"), "agent")], []))]);
    let as_node = evaluate(&index, &flow, &Profile::UPSTREAM);
    assert!(!as_node.is_allowed(), "selectors do not see it");
    assert_eq!(caveats(&as_node), [Caveat::HostNetworkPeer]);
    let miss = as_node.ingress.nearest_miss().map(|miss| miss.difference.clone());
    assert_eq!(miss, Some(crate::Difference::Peer(PeerDifference::HostNetworkPod)));

    let profile = Profile { host_network: HostNetwork::AsPod, ..Profile::UPSTREAM };
    let as_pod = evaluate(&index, &flow, &profile);
    assert!(as_pod.is_allowed());
    assert_eq!(caveats(&as_pod), [Caveat::HostNetworkPeer]);
}

#[test]
fn a_finished_pod_is_an_address() {
    let gone = Pod { finished: true, ..postgres() };
    let flow = flow(at(web()), at(gone));
    let by_label = decide([admits("shop", rule([pods(Some("ledger"), "postgres")], []))], &flow);
    assert!(!by_label.is_allowed(), "selectors do not see it");
    let by_block = decide([admits("shop", rule([block("10.244.0.0/16", &[])], []))], &flow);
    assert!(by_block.is_allowed() && by_block.is_certain(), "its address is nobody's: {by_block:?}");
}

#[test]
fn named_ports() {
    let with = |ports: Vec<crate::NamedPort>| at(Pod { named_ports: ports, ..postgres() });
    // Ports of the destination, the verdict and the caveats for the named port `db` at 5432.
    let table = [
        (vec![named_port("db", 5432, false)], true, vec![]),
        (vec![named_port("db", 5433, false)], false, vec![]),
        (vec![named_port("other", 5432, false)], false, vec![]),
        (vec![], false, vec![]),
        (vec![named_port("db", 5432, true)], true, vec![Caveat::InitContainerPort]),
        (vec![named_port("db", 5432, false), named_port("db", 5432, true)], true, vec![]),
        (
            vec![named_port("db", 5433, false), named_port("db", 5432, false)],
            true,
            vec![Caveat::AmbiguousNamedPort],
        ),
        (
            vec![named_port("db", 5433, false), named_port("db", 5432, true)],
            true,
            vec![Caveat::InitContainerPort, Caveat::AmbiguousNamedPort],
        ),
    ];
    for (ports, allowed, expected) in table {
        let flow = flow(at(web()), with(ports.clone()));
        for namespace in ["shop", "ledger"] {
            let decision = decide([admits(namespace, rule([], [named("db")]))], &flow);
            assert_eq!(decision.is_allowed(), allowed, "policy in {namespace}, {ports:?}");
            assert_eq!(caveats(&decision), expected, "policy in {namespace}, {ports:?}");
        }
    }
    let outside = flow(at(web()), external("192.0.2.7"));
    let decision = decide([admits("shop", rule([], [named("db")]))], &outside);
    assert!(!decision.is_allowed(), "an address outside has no named ports");
}

#[test]
fn a_named_port_needs_the_protocol_of_the_rule() {
    let destination = at(Pod { named_ports: vec![named_port("db", 5432, false)], ..postgres() });
    let udp = Flow { protocol: Protocol::Udp, ..flow(at(web()), destination) };
    let tcp_rule = rule([], [named("db")]);
    assert!(!decide([admits("shop", tcp_rule)], &udp).is_allowed(), "the rule speaks of TCP");
    let udp_rule = rule([], [RulePort { protocol: Protocol::Udp, ports: Ports::Named("db".to_owned()) }]);
    assert!(!decide([admits("shop", udp_rule)], &udp).is_allowed(), "the pod's port is TCP");
}

#[test]
fn a_named_port_of_a_host_network_peer_hangs_on_the_reading() {
    let mut agent = host_network("agent", "node-2", "10.0.0.2");
    agent.named_ports = vec![named_port("db", 5432, false)];
    let flow = flow(at(web()), at(agent));
    let index = index([admits("shop", rule([], [named("db")]))]);
    let as_node = evaluate(&index, &flow, &Profile::UPSTREAM);
    assert!(!as_node.is_allowed(), "a node has no named ports");
    assert_eq!(caveats(&as_node), [Caveat::HostNetworkPeer]);
    let profile = Profile { host_network: HostNetwork::AsPod, ..Profile::UPSTREAM };
    let as_pod = evaluate(&index, &flow, &profile);
    assert!(as_pod.is_allowed(), "a pod has");
    assert_eq!(caveats(&as_pod), [Caveat::HostNetworkPeer]);
}

#[test]
fn an_unreadable_policy_is_a_caveat_unless_a_rule_admits() {
    let unreadable = [PolicyRef::network_policy("ledger", "odd")];
    let with = |policies: Vec<Policy>, flow: &Flow| {
        evaluate(&index(policies).with_unreadable(unreadable.clone()), flow, &Profile::UPSTREAM)
    };
    let into = flow(at(web()), at(postgres()));
    assert_eq!(caveats(&with(vec![], &into)), [Caveat::UnreadablePolicy], "it may isolate");
    assert_eq!(caveats(&with(vec![deny("ledger")], &into)), [Caveat::UnreadablePolicy], "it may admit");
    let admitted = with(vec![admits("ledger", rule([], []))], &into);
    assert_eq!(caveats(&admitted), [], "it cannot take back what a rule admits");
    let elsewhere = flow(at(web()), at(pod("shop", "api", "10.244.1.9")));
    assert_eq!(caveats(&with(vec![], &elsewhere)), [], "another namespace is not touched");
}

#[test]
fn addresses_of_ipv4_in_ipv6_are_ipv4() {
    let mapped = flow(at(web()), external("::ffff:192.0.2.7"));
    assert!(decide([admits("shop", rule([block("192.0.2.0/24", &[])], []))], &mapped).is_allowed());
    assert!(!decide([admits("shop", rule([block("::/0", &[])], []))], &mapped).is_allowed(), "other family");
}

#[test]
fn the_nearest_miss_is_the_one_that_says_most() {
    let rules = vec![
        rule([pods(None, "web")], []),
        rule([pods(Some("shop"), "api")], []),
        rule([pods(Some("shop"), "api")], [tcp(80)]),
        rule([block("192.0.2.0/24", &[])], []),
        rule([pods(Some("shop"), "web")], [tcp(80)]),
    ];
    let decision = decide([policy("ledger", "near", Some(rules), None)], &flow(at(web()), at(postgres())));
    let order: Vec<usize> = decision.ingress.nearest_misses.iter().map(|miss| miss.rule).collect();
    assert_eq!(
        order,
        [5, 2, 1],
        "the port, then the pod's label, then the namespace; not two differences, nor a block for outside"
    );
}

#[test]
fn the_nearest_peer_of_a_rule_is_told() {
    let near_and_far = rule([block("192.0.2.0/24", &[]), pods(Some("shop"), "api"), pods(None, "api")], []);
    let policies = [policy("ledger", "near", Some(vec![near_and_far]), None)];
    let decision = decide(policies, &flow(at(web()), at(postgres())));
    let peer = &decision.ingress.steps[0].rules[0].peer;
    assert!(matches!(peer.as_slice(), [PeerDifference::PodLabel { .. }]), "not {peer:?}");
}

#[test]
fn the_same_outcome_is_the_effect_not_the_names() {
    let flow = flow(at(web()), at(postgres()));
    let one = decide([policy("ledger", "one", Some(vec![]), None)], &flow);
    let two = decide([policy("ledger", "two", Some(vec![]), None)], &flow);
    assert!(one.same_outcome(&two) && one != two, "another policy, the same effect");
    let egress = decide([policy("shop", "one", None, Some(vec![]))], &flow);
    assert!(!one.same_outcome(&egress), "another direction denies");
    let block = rule([block("10.0.0.0/8", &[])], []);
    let (open, doubtful) = (decide([], &flow), decide([admits("ledger", block)], &flow));
    assert!(!open.same_outcome(&doubtful), "both allow, but one of them hangs on a reading");
}

#[test]
fn a_namespace_that_is_not_given_has_its_name() {
    let peer: Peer = at(pod("shop", "web", "fd00::7"));
    let decision =
        decide([admits("ledger", rule([pods(Some("shop"), "web")], []))], &flow(peer, at(postgres())));
    assert!(decision.is_allowed(), "kubernetes.io/metadata.name is always there: {decision}");
}

#[test]
fn steps_have_every_rule_of_every_policy() {
    let rules = vec![rule([pods(None, "api")], [tcp(80)]), rule([], [tcp(5432)])];
    let policies = [policy("ledger", "a", Some(rules), None), policy("ledger", "b", Some(vec![]), None)];
    let flow = flow(at(pod("shop", "web", "10.244.1.7")), at(pod("ledger", "postgres-0", "10.244.1.8")));
    let decision = decide(policies, &flow);
    let named: Vec<&str> = decision.ingress.steps.iter().map(|step| step.policy.name.as_ref()).collect();
    assert_eq!(named, ["a", "b"], "each policy that isolates");
    let rules = decision.ingress.steps.iter().flat_map(|step| &step.rules);
    let fits: Vec<_> = rules.map(|rule| (rule.index, rule.peer.is_empty(), rule.port.is_empty())).collect();
    assert_eq!(fits, [(1, false, false), (2, true, true)], "each rule, and which part of it fits");
}
