//! Short ways to write pods, policies and flows in tests.

use std::sync::Arc;

use crate::cluster::{NamedPort, Node, Pod};
use crate::decision::Decision;
use crate::evaluate::evaluate;
use crate::flow::{Flow, Peer};
use crate::index::PolicyIndex;
use crate::policy::{Policy, PolicyRef, Ports, Rule, RulePeer, RulePort};
use crate::profile::Profile;
use crate::selector::Selector;
use peerwalk_model::Protocol;

/// A pod `namespace/name` labelled `app: <name>` on `node-1`.
pub(crate) fn pod(namespace: &str, name: &str, ip: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: [("app".to_owned(), name.to_owned())].into(),
        ips: vec![ip.parse().expect("an address")],
        node: Some("node-1".to_owned()),
        ..Pod::default()
    }
}

pub(crate) fn named_port(name: &str, number: u16, init: bool) -> NamedPort {
    NamedPort { name: name.to_owned(), protocol: Protocol::Tcp, number, init }
}

/// A pod at its first address.
pub(crate) fn at(pod: Pod) -> Peer {
    let ip = pod.ips[0];
    Peer::pod(Arc::new(pod), ip)
}

pub(crate) fn external(ip: &str) -> Peer {
    Peer::external(ip.parse().expect("an address"))
}

pub(crate) fn node(name: &str, ip: &str) -> Peer {
    let ip = ip.parse().expect("an address");
    Peer::node(Arc::new(Node { name: name.to_owned(), addresses: vec![ip], ..Node::default() }), ip)
}

/// To port 5432/TCP.
pub(crate) fn flow(source: Peer, destination: Peer) -> Flow {
    Flow { source, destination, protocol: Protocol::Tcp, port: 5432, service: None }
}

/// A policy for all pods of a namespace.
pub(crate) fn policy(
    namespace: &str,
    name: &str,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
) -> Policy {
    let reference = PolicyRef::network_policy(namespace, name);
    Policy { reference, subject: Selector::everything(), ingress, egress }
}

pub(crate) fn rule(peers: impl Into<Vec<RulePeer>>, ports: impl Into<Vec<RulePort>>) -> Rule {
    Rule { peers: peers.into(), ports: ports.into() }
}

/// `podSelector: {matchLabels: {app: <app>}}`, with a `namespaceSelector` for one name if given.
pub(crate) fn pods(namespace: Option<&str>, app: &str) -> RulePeer {
    RulePeer::Pods {
        namespaces: namespace.map(|name| Selector::labels([("kubernetes.io/metadata.name", name)])),
        pods: Selector::labels([("app", app)]),
    }
}

pub(crate) fn block(cidr: &str, except: &[&str]) -> RulePeer {
    let net = |text: &str| text.parse().expect("a network");
    RulePeer::IpBlock { cidr: net(cidr), except: except.iter().map(|text| net(text)).collect() }
}

pub(crate) fn tcp(number: u16) -> RulePort {
    RulePort::number(Protocol::Tcp, number)
}

pub(crate) fn named(name: &str) -> RulePort {
    RulePort { protocol: Protocol::Tcp, ports: Ports::Named(name.to_owned()) }
}

pub(crate) fn index(policies: impl IntoIterator<Item = Policy>) -> PolicyIndex {
    PolicyIndex::new([], policies.into_iter().map(Arc::new))
}

pub(crate) fn decide(policies: impl IntoIterator<Item = Policy>, flow: &Flow) -> Decision {
    evaluate(&index(policies), flow, &Profile::UPSTREAM)
}
