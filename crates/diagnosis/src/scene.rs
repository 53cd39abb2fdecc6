//! Decisions for unit tests: shop/web on one node connects to ledger/postgres-0 on another.

use std::collections::BTreeMap;
use std::sync::Arc;

use peerwalk_netpol::{
    Decision, Flow, Namespace, Peer, Pod, Policy, PolicyIndex, PolicyRef, Profile, Protocol, Selector,
    evaluate,
};

/// Which policies exist.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policies {
    None,
    DenyIngress,
}

/// The decision for shop/web → ledger/postgres-0:5432.
pub(crate) fn decision(policies: Policies) -> Decision {
    let pod = |namespace: &str, name: &str, ip: &str, node: &str| {
        let ip = ip.parse().unwrap();
        let pod = Pod {
            namespace: namespace.into(),
            name: name.into(),
            labels: BTreeMap::from([("app".into(), name.into())]),
            ips: vec![ip],
            node: Some(node.into()),
            ..Pod::default()
        };
        Peer::pod(Arc::new(pod), ip)
    };
    let flow = Flow {
        source: pod("shop", "web", "10.244.0.5", "n1"),
        destination: pod("ledger", "postgres-0", "10.244.1.8", "n2"),
        protocol: Protocol::Tcp,
        port: 5432,
        service: None,
    };
    let deny = Policy {
        reference: PolicyRef::network_policy("ledger", "default-deny"),
        subject: Selector::everything(),
        ingress: Some(Vec::new()),
        egress: None,
    };
    let policies = match policies {
        Policies::None => Vec::new(),
        Policies::DenyIngress => vec![Arc::new(deny)],
    };
    let namespaces = ["shop", "ledger"].map(|name| Namespace { name: name.into(), ..Namespace::default() });
    evaluate(&PolicyIndex::new(namespaces, policies), &flow, &Profile::UPSTREAM)
}
