//! Defaults, and what is refused.

use super::*;
use crate::policy::{Ports, RulePeer, RulePort};
use peerwalk_model::Protocol;

/// Reads the `spec` of a policy ledger/test.
fn lowered(spec: &str) -> Result<Policy, LowerErrors> {
    let text = format!("{{metadata: {{namespace: ledger, name: test}}, spec: {spec}}}");
    let text = text.replacen('{', "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, ", 1);
    network_policy(&serde_saphyr::from_str(&text).expect("the test's policy is YAML of the right shape"))
}

fn valid(spec: &str) -> Policy {
    lowered(spec).unwrap_or_else(|errors| panic!("{spec} should be valid: {errors}"))
}

#[test]
fn policy_types_default_from_the_rules() {
    // Spec, and how many rules ingress and egress have; none where the direction is not isolated.
    let table = [
        ("{}", Some(0), None),
        ("{egress: []}", Some(0), None),
        ("{egress: [{}]}", Some(0), Some(1)),
        ("{ingress: [{}], egress: []}", Some(1), None),
        ("{policyTypes: []}", Some(0), None),
        ("{policyTypes: [Egress]}", None, Some(0)),
        ("{policyTypes: [Egress], ingress: [{}]}", None, Some(0)),
        ("{policyTypes: [Ingress], egress: [{}]}", Some(0), None),
        ("{policyTypes: [Ingress, Egress], ingress: null, egress: null}", Some(0), Some(0)),
    ];
    for (spec, ingress, egress) in table {
        let policy = valid(spec);
        assert_eq!(policy.ingress.map(|rules| rules.len()), ingress, "ingress rules of {spec}");
        assert_eq!(policy.egress.map(|rules| rules.len()), egress, "egress rules of {spec}");
    }
}

#[test]
fn a_policy_without_spec_isolates_ingress() {
    let mut object = NetworkPolicy::default();
    object.metadata.name = Some("bare".to_owned());
    let policy = network_policy(&object).expect("the server accepts it");
    assert_eq!(policy.reference, PolicyRef::network_policy("default", "bare"), "default is the namespace");
    assert_eq!((policy.ingress, policy.egress), (Some(vec![]), None));
}

#[test]
fn peers() {
    let peer = |item: &str| {
        let mut policy = valid(&format!("{{ingress: [{{from: [{item}]}}]}}"));
        policy.ingress.as_mut().expect("ingress is active").remove(0).peers.remove(0)
    };
    let everything = Selector::everything;
    let table = [
        ("{podSelector: {}}", None, everything()),
        ("{namespaceSelector: {}}", Some(everything()), everything()),
        (
            "{namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: web}}}",
            Some(Selector::labels([("team", "a")])),
            Selector::labels([("app", "web")]),
        ),
    ];
    for (item, namespaces, pods) in table {
        assert_eq!(peer(item), RulePeer::Pods { namespaces, pods }, "{item}");
    }
}

#[test]
fn networks_are_read_as_the_server_reads_them() {
    let table = [
        ("192.0.2.0/24", Some("192.0.2.0/24")),
        ("192.0.2.77/24", Some("192.0.2.0/24")),
        ("010.008.000.000/8", Some("10.0.0.0/8")),
        ("0.0.0.0/0", Some("0.0.0.0/0")),
        ("2001:DB8::1/32", Some("2001:db8::/32")),
        ("::ffff:192.0.2.0/120", Some("192.0.2.0/24")),
        ("::/0", Some("::/0")),
        ("192.0.2.0", None),
        ("192.0.2.0/33", None),
        ("192.0.2.0/-1", None),
        ("192.0.2.0/+8", None),
        ("192.0.2.0/", None),
        ("192.0.2/24", None),
        ("192.0.2.0.1/24", None),
        ("192.0.2.+1/24", None),
        ("192.0.2.256/24", None),
        ("2001:db8::/129", None),
        ("fe80::1%eth0/64", None),
        ("example.com/24", None),
        ("", None),
    ];
    for (text, network) in table {
        let read = block::parse(text).map(|network| network.to_string());
        assert_eq!(read.as_deref(), network, "{text:?}");
    }
}

#[test]
fn ports() {
    let port = |item: &str| {
        let mut policy = valid(&format!("{{ingress: [{{ports: [{item}]}}]}}"));
        policy.ingress.as_mut().expect("ingress is active").remove(0).ports.remove(0)
    };
    let table = [
        ("{}", Protocol::Tcp, Ports::All),
        ("{protocol: UDP}", Protocol::Udp, Ports::All),
        ("{port: 80}", Protocol::Tcp, Ports::Numbers(80..=80)),
        ("{port: 80, endPort: 80, protocol: SCTP}", Protocol::Sctp, Ports::Numbers(80..=80)),
        ("{port: 1, endPort: 65535}", Protocol::Tcp, Ports::Numbers(1..=65535)),
        ("{port: serve-80-tcp}", Protocol::Tcp, Ports::Named("serve-80-tcp".to_owned())),
    ];
    for (item, protocol, ports) in table {
        assert_eq!(port(item), RulePort { protocol, ports }, "{item}");
    }
}

/// Every message names the field, the value where it has one, and the remedy.
fn refused(table: &[(&str, &str)]) {
    for (spec, message) in table {
        let errors = lowered(spec).expect_err(&format!("{spec} should be refused"));
        assert_eq!(errors.to_string(), *message, "{spec}");
    }
}

#[test]
fn wrong_types_and_peers_are_refused() {
    refused(&[
        (
            "{policyTypes: [ingress]}",
            "spec.policyTypes[0]: \"ingress\" is not a policy type; use Ingress or Egress",
        ),
        ("{policyTypes: [Ingress, Egress, Ingress]}", "spec.policyTypes: has 3 items; list at most 2"),
        (
            "{ingress: [{from: [{}]}]}",
            "spec.ingress[0].from[0]: names no peer; set podSelector, namespaceSelector or ipBlock, \
             or remove the item to admit everyone",
        ),
        (
            "{egress: [{to: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
            "spec.egress[0].to[0]: ipBlock and a selector exclude each other; make two items of them",
        ),
        (
            "{ingress: [{}, {from: [{ipBlock: {cidr: 10.0.0.0}}]}]}",
            "spec.ingress[1].from[0].ipBlock.cidr: \"10.0.0.0\" is not a network in CIDR notation; \
             write it as 192.0.2.0/24 or 2001:db8::/64",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}}]}]}",
            "spec.ingress[0].from[0].ipBlock.except[1]: 11.0.0.0/16 is no strict part of 10.0.0.0/8; \
             use a smaller network within it, or remove it",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
            "spec.ingress[0].from[0].ipBlock.except[0]: 10.0.0.0/8 is no strict part of 10.0.0.0/8; \
             use a smaller network within it, or remove it",
        ),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: ['fd00::/64']}}]}]}",
            "spec.ingress[0].from[0].ipBlock.except[0]: fd00::/64 is no strict part of 10.0.0.0/8; \
             use a smaller network within it, or remove it",
        ),
    ]);
}

#[test]
fn wrong_ports_are_refused() {
    refused(&[
        (
            "{ingress: [{ports: [{protocol: tcp}]}]}",
            "spec.ingress[0].ports[0].protocol: \"tcp\" is not a protocol; use TCP, UDP or SCTP",
        ),
        (
            "{ingress: [{ports: [{port: 0}]}]}",
            "spec.ingress[0].ports[0].port: 0 is not a port; use a number from 1 to 65535",
        ),
        (
            "{ingress: [{ports: [{port: '80'}]}]}",
            "spec.ingress[0].ports[0].port: \"80\" is not a port name; use a number, or at most 15 \
             lower-case letters, digits and single hyphens with at least one letter",
        ),
        (
            "{ingress: [{ports: [{endPort: 90}]}]}",
            "spec.ingress[0].ports[0].endPort: needs a port to begin at; set port to the first number of the range",
        ),
        (
            "{ingress: [{ports: [{port: http, endPort: 90}]}]}",
            "spec.ingress[0].ports[0].endPort: cannot end a range that begins at the named port \"http\"; \
             set port to a number",
        ),
        (
            "{ingress: [{ports: [{port: 90, endPort: 80}]}]}",
            "spec.ingress[0].ports[0].endPort: 80 is below port 90; use a number from 90 to 65535",
        ),
        (
            "{ingress: [{ports: [{port: 90, endPort: 65536}]}]}",
            "spec.ingress[0].ports[0].endPort: 65536 is not a port; use a number from 1 to 65535",
        ),
    ]);
}

#[test]
fn wrong_selectors_are_refused() {
    refused(&[
        (
            "{podSelector: {matchExpressions: [{key: app, operator: in, values: [a]}]}}",
            "spec.podSelector.matchExpressions[0].operator: \"in\" is not an operator; \
             use In, NotIn, Exists or DoesNotExist",
        ),
        (
            "{podSelector: {matchExpressions: [{key: app, operator: In}]}}",
            "spec.podSelector.matchExpressions[0].values: In needs values; list at least one, \
             or use Exists or DoesNotExist",
        ),
        (
            "{podSelector: {matchExpressions: [{key: app, operator: Exists, values: [a]}]}}",
            "spec.podSelector.matchExpressions[0].values: Exists takes no values; remove them, or use In or NotIn",
        ),
        (
            "{podSelector: {matchExpressions: [{key: '', operator: Exists}]}}",
            "spec.podSelector.matchExpressions[0].key: missing; name the label",
        ),
    ]);
}

#[test]
fn every_error_is_reported_also_where_the_direction_is_not_active() {
    let errors =
        lowered("{policyTypes: [Egress], ingress: [{from: [{}], ports: [{port: 0}]}], egress: [{to: [{}]}]}")
            .expect_err("three fields are wrong");
    let fields: Vec<&str> = errors.0.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["spec.ingress[0].from[0]", "spec.ingress[0].ports[0].port", "spec.egress[0].to[0]"]);
}

#[test]
fn a_policy_needs_a_name() {
    let errors = network_policy(&NetworkPolicy::default()).expect_err("it has none");
    assert_eq!(errors.to_string(), "metadata.name: missing; give the policy a name");
}
