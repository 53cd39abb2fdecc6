//! What is read, and what is refused.

use serde_json::{Value, json};

use super::*;
use crate::lower::{
    LowerErrors, admin_network_policy, baseline_admin_network_policy, block, cluster_network_policy,
};
use crate::policy::{Ports, RulePort};
use peerwalk_model::Protocol;

type Lower = fn(&Value) -> Result<ClusterPolicy, LowerErrors>;

const CNP: (&str, Lower) = ("cnp", cluster_network_policy);
const ANP: (&str, Lower) = ("anp", admin_network_policy);
const BANP: (&str, Lower) = ("banp", baseline_admin_network_policy);

/// A valid object of the kind, with this YAML laid over its `spec`; null removes a field.
fn lowered((kind, lower): (&str, Lower), spec: &str) -> Result<ClusterPolicy, LowerErrors> {
    let mut object =
        json!({ "metadata": { "name": "default" }, "spec": { "subject": { "namespaces": {} } } });
    if kind != "banp" {
        object["spec"]["priority"] = 7.into();
    }
    if kind == "cnp" {
        object["spec"]["tier"] = "Admin".into();
    }
    let over: Value = serde_saphyr::from_str(spec).expect("the test's spec is YAML");
    for (name, value) in over.as_object().expect("an object") {
        object["spec"][name] = value.clone();
    }
    lower(&object)
}

fn valid(kind: (&str, Lower), spec: &str) -> ClusterPolicy {
    lowered(kind, spec).unwrap_or_else(|errors| panic!("{} {spec} should be valid: {errors}", kind.0))
}

#[test]
fn kinds_have_their_tier_and_priority() {
    let of = |policy: ClusterPolicy| (policy.reference.kind, policy.tier, policy.priority);
    assert_eq!(of(valid(CNP, "{}")), (PolicyKind::ClusterNetworkPolicy, Tier::Admin, 7));
    assert_eq!(of(valid(CNP, "{tier: Baseline}")), (PolicyKind::ClusterNetworkPolicy, Tier::Baseline, 7));
    assert_eq!(of(valid(ANP, "{}")), (PolicyKind::AdminNetworkPolicy, Tier::Admin, 7));
    assert_eq!(of(valid(BANP, "{}")), (PolicyKind::BaselineAdminNetworkPolicy, Tier::Baseline, u16::MAX));
}

#[test]
fn selectors_that_are_left_out_select_everything() {
    let policy = valid(CNP, "{subject: {pods: {podSelector: {matchLabels: {app: web}}}}}");
    let web = PodSet { namespaces: Selector::everything(), pods: Selector::labels([("app", "web")]) };
    assert_eq!(policy.subject, web);
    let policy = valid(ANP, "{subject: {pods: {namespaceSelector: {}}}}");
    assert_eq!(policy.subject, PodSet::default());
}

#[test]
fn peers() {
    let peer = |kind, item: &str| {
        let accept = if kind == CNP { "Accept" } else { "Allow" };
        valid(kind, &format!("{{egress: [{{action: {accept}, to: [{item}]}}]}}"))
            .egress
            .remove(0)
            .peers
            .remove(0)
    };
    let table = [
        (CNP, "{namespaces: {}}", ClusterPeer::Pods(PodSet::default())),
        (CNP, "{nodes: {}}", ClusterPeer::Nodes(Selector::everything())),
        (
            ANP,
            "{networks: [10.0.0.7/8, 'fd00::/8']}",
            ClusterPeer::Networks(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]),
        ),
        (
            CNP,
            "{domainNames: [example.com, '*.my_corp.example.']}",
            ClusterPeer::DomainNames(vec!["example.com".into(), "*.my_corp.example.".into()]),
        ),
        (CNP, "{services: {}}", ClusterPeer::Unknown(vec!["services".into()])),
        (BANP, "{domainNames: [example.com]}", ClusterPeer::Unknown(vec!["domainNames".into()])),
    ];
    for (kind, item, wanted) in table {
        assert_eq!(peer(kind, item), wanted, "{} {item}", kind.0);
    }
    let ingress =
        valid(CNP, "{ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}]}]}").ingress.remove(0);
    assert_eq!(ingress.peers, [ClusterPeer::Unknown(vec!["networks".into()])], "a peer of egress alone");
}

#[test]
fn ports() {
    let numbers = |protocol, start: u16, end: u16| {
        ClusterPort::Numbers(RulePort { protocol, ports: Ports::Numbers(start..=end) })
    };
    let table = [
        (CNP, "{tcp: {destinationPort: {number: 80}}}", numbers(Protocol::Tcp, 80, 80)),
        (CNP, "{sctp: {destinationPort: {range: {start: 1, end: 9}}}}", numbers(Protocol::Sctp, 1, 9)),
        (CNP, "{destinationNamedPort: http}", ClusterPort::Named("http".into())),
        (CNP, "{icmp: {}}", ClusterPort::Unknown(vec!["icmp".into()])),
        (CNP, "{tcp: {sourcePort: {}}}", ClusterPort::Unknown(vec!["tcp.sourcePort".into()])),
        (
            CNP,
            "{udp: {destinationPort: {set: [1]}}}",
            ClusterPort::Unknown(vec!["udp.destinationPort.set".into()]),
        ),
        (ANP, "{portNumber: {port: 80}}", numbers(Protocol::Tcp, 80, 80)),
        (BANP, "{portRange: {protocol: UDP, start: 1, end: 9}}", numbers(Protocol::Udp, 1, 9)),
        (ANP, "{namedPort: http}", ClusterPort::Named("http".into())),
        (ANP, "{tcp: {}}", ClusterPort::Unknown(vec!["tcp".into()])),
    ];
    for (kind, item, wanted) in table {
        let field = if kind == CNP { "protocols" } else { "ports" };
        let spec =
            format!("{{ingress: [{{action: Deny, from: [{{namespaces: {{}}}}], {field}: [{item}]}}]}}");
        assert_eq!(valid(kind, &spec).ingress.remove(0).ports, [wanted], "{} {item}", kind.0);
    }
}

#[test]
fn networks_are_read_strictly() {
    let table = [
        ("10.0.0.7/8", Some("10.0.0.0/8")),
        ("0.0.0.0/0", Some("0.0.0.0/0")),
        ("fd00::1/8", Some("fd00::/8")),
        ("010.0.0.0/8", None),
        ("10.0.0.0/08", None),
        ("10.0.0.0/+8", None),
        ("10.0.0.0", None),
        ("::ffff:10.0.0.0/104", None),
        ("fe80::1%eth0/64", None),
    ];
    for (text, network) in table {
        let read = block::parse_strictly(text).map(|network| network.to_string());
        assert_eq!(read.as_deref(), network, "{text:?}");
    }
}

/// Every message names the field, the value where it has one, and the remedy.
fn refused(table: &[((&str, Lower), String, &str)]) {
    for (kind, spec, message) in table {
        let errors = lowered(*kind, spec).expect_err(&format!("{} {spec} should be refused", kind.0));
        assert_eq!(errors.to_string(), *message, "{} {spec}", kind.0);
    }
}

fn rule(rest: &str) -> String {
    format!("{{egress: [{{action: Deny, {rest}}}]}}")
}

fn to(peer: &str) -> String {
    rule(&format!("to: [{peer}]"))
}

fn protocol(item: &str) -> String {
    rule(&format!("to: [{{namespaces: {{}}}}], protocols: [{item}]"))
}

#[test]
fn wrong_fields_of_the_spec_are_refused() {
    refused(&[
        (CNP, "{tier: admin}".into(), "spec.tier: \"admin\" is none of its values; use Admin or Baseline"),
        (CNP, "{tier: null}".into(), "spec.tier: missing; use Admin or Baseline"),
        (
            CNP,
            "{priority: 1001}".into(),
            "spec.priority: 1001 is outside its range; use a number from 0 to 1000",
        ),
        (CNP, "{priority: -1}".into(), "spec.priority: -1 is outside its range; use a number from 0 to 1000"),
        (CNP, "{priority: high}".into(), "spec.priority: is a text; write a number"),
        (
            ANP,
            "{priority: null}".into(),
            "spec.priority: missing; give it a number from 0 to 1000; the lowest is asked first",
        ),
        (BANP, "{priority: 1}".into(), "spec.priority: unknown field; correct its name, or remove it"),
        (CNP, "{subject: {}}".into(), "spec.subject: sets 0 fields; set exactly one of namespaces and pods"),
        (
            CNP,
            "{subject: {namespaces: {}, pods: {podSelector: {}}}}".into(),
            "spec.subject: sets 2 fields; set exactly one of namespaces and pods",
        ),
        (
            CNP,
            "{subject: {namespaces: {matchExpressions: [{key: a, operator: In}]}}}".into(),
            "spec.subject.namespaces.matchExpressions[0].values: In needs values; list at least one, or use Exists or \
             DoesNotExist",
        ),
        (
            CNP,
            "{subject: {namespaces: {matchLabels: {a: 1}}}}".into(),
            "spec.subject.namespaces.matchLabels.a: is a number; write a text",
        ),
    ]);
}

#[test]
fn wrong_rules_are_refused() {
    let many: String = vec!["{namespaces: {}}"; 26].join(", ");
    refused(&[
        (CNP, "{egress: {}}".into(), "spec.egress: is an object; write a list"),
        (
            ANP,
            "{ingress: [{action: Accept, from: [{namespaces: {}}]}]}".into(),
            "spec.ingress[0].action: \"Accept\" is none of its values; use Allow, Deny or Pass",
        ),
        (
            BANP,
            "{ingress: [{action: Pass, from: [{namespaces: {}}]}]}".into(),
            "spec.ingress[0].action: \"Pass\" is none of its values; use Allow or Deny",
        ),
        (CNP, rule("name: a"), "spec.egress[0].to: missing; list whom the rule is about"),
        (
            CNP,
            "{egress: [{to: [{namespaces: {}}]}]}".into(),
            "spec.egress[0].action: missing; say what the rule does, such as Deny",
        ),
        (CNP, rule("to: []"), "spec.egress[0].to: is empty; list at least one item"),
        (
            CNP,
            rule("to: [{namespaces: {}}], protocols: []"),
            "spec.egress[0].protocols: is empty; list at least one item, or remove the field to match every port",
        ),
        (CNP, rule(&format!("to: [{many}]")), "spec.egress[0].to: has 26 items; list at most 25"),
        (
            CNP,
            rule("to: [{namespaces: {}}], ports: [{namedPort: a}]"),
            "spec.egress[0].ports: unknown field; correct its name, or remove it",
        ),
        (
            CNP,
            rule(&format!("name: {}, to: [{{namespaces: {{}}}}]", "n".repeat(101))),
            "spec.egress[0].name: has 101 characters; use at most 100",
        ),
        (
            CNP,
            rule("to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]"),
            "spec.egress[0]: networks, nodes and domainNames have no named ports; list numbers, or make two rules",
        ),
    ]);
}

#[test]
fn wrong_peers_and_ports_are_refused() {
    refused(&[
        (
            CNP,
            to("{}"),
            "spec.egress[0].to[0]: sets 0 fields; set exactly one of namespaces, pods, nodes, networks and domainNames",
        ),
        (
            CNP,
            to("{networks: [10.0.0.0/33]}"),
            "spec.egress[0].to[0].networks[0]: \"10.0.0.0/33\" is not a network in CIDR notation; write it as \
             192.0.2.0/24 or 2001:db8::/64",
        ),
        (
            CNP,
            to("{networks: [10.0.0.0/8, 10.0.0.0/8]}"),
            "spec.egress[0].to[0].networks[1]: \"10.0.0.0/8\" is listed twice; remove one of them",
        ),
        (
            CNP,
            to("{domainNames: ['a.*.example.com']}"),
            "spec.egress[0].to[0].domainNames[0]: \"a.*.example.com\" is not a domain name; write it as example.com or \
             *.example.com",
        ),
        (
            CNP,
            protocol("{tcp: {}}"),
            "spec.egress[0].protocols[0].tcp.destinationPort: missing; set its number or range",
        ),
        (
            CNP,
            protocol("{tcp: {destinationPort: {range: {start: 80, end: 80}}}}"),
            "spec.egress[0].protocols[0].tcp.destinationPort.range.end: 80 is not above start 80; use a higher number, or \
             a single port",
        ),
        (
            CNP,
            protocol("{tcp: {destinationPort: {number: 65536}}}"),
            "spec.egress[0].protocols[0].tcp.destinationPort.number: 65536 is outside its range; use a number from 1 to \
             65535",
        ),
        (
            ANP,
            rule("to: [{namespaces: {}}], ports: [{portNumber: {protocol: ICMP, port: 8}}]"),
            "spec.egress[0].ports[0].portNumber.protocol: \"ICMP\" is not a protocol; use TCP, UDP or SCTP",
        ),
    ]);
}

#[test]
fn every_error_is_reported() {
    let spec = "{priority: 2000, ingress: [{action: Deny, from: [{}]}], egress: [{action: Stop, to: []}]}";
    let errors = lowered(CNP, spec).expect_err("four fields are wrong");
    let fields: Vec<&str> = errors.0.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        ["spec.priority", "spec.ingress[0].from[0]", "spec.egress[0].action", "spec.egress[0].to"]
    );
}

#[test]
fn what_is_read_of_hostile_lists_is_bounded() {
    let networks: Vec<String> = (0..100_000).map(|_| "10.0.0.0/8".to_owned()).collect();
    let keys: Vec<Value> = (0..100_000).map(|_| json!({ "key": "", "operator": "?" })).collect();
    let object = json!({ "metadata": { "name": "a" }, "spec": {
        "tier": "Admin", "priority": 1, "subject": { "namespaces": { "matchExpressions": keys } },
        "egress": [{ "action": "Deny", "to": [{ "networks": networks }] }],
    } });
    let errors = cluster_network_policy(&object).expect_err("nothing of it is right");
    assert_eq!(errors.0.len(), 100);
}

#[test]
fn what_is_no_policy_is_refused() {
    let table = [
        (json!([]), "is a list; write an object"),
        (json!({}), "metadata.name: missing; give the policy a name; spec: missing; describe the policy"),
        (json!({ "metadata": { "name": "a" }, "spec": 1 }), "spec: is a number; write an object"),
    ];
    for (object, message) in table {
        let errors = cluster_network_policy(&object).expect_err("it is none");
        assert_eq!(errors.to_string(), message, "{object}");
    }
    let unknown = json!({ "metadata": { "name": "tenants" }, "sepc": null, "spec": {
        "tier": "Admin", "priority": 1, "subject": { "namespaces": {} },
    } });
    let errors = cluster_network_policy(&unknown).expect_err("null or not, there is no such field");
    assert_eq!(errors.to_string(), "sepc: unknown field; correct its name, or remove it");
    let other = json!({ "metadata": { "name": "other" }, "spec": { "subject": { "namespaces": {} } } });
    let errors = baseline_admin_network_policy(&other).expect_err("there is only one");
    assert_eq!(
        errors.to_string(),
        "metadata.name: \"other\" is refused; the only BaselineAdminNetworkPolicy is called default"
    );
}
