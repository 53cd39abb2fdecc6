//! What random clusters seldom hit.

use std::sync::Arc;

use super::*;
use crate::fixture::{pod, policy, rule};
use crate::policy::RulePeer;
use crate::selector::{Operator, Requirement, Selector};

/// "All pods of all namespaces" is an empty selector, and no other one that happens to select them all.
#[test]
fn only_an_empty_selector_is_everywhere() {
    let nobody_has =
        Requirement { key: "tier".to_owned(), operator: Operator::DoesNotExist, values: [].into() };
    let table = [(Selector::everything(), true), (Selector { requirements: vec![nobody_has] }, false)];
    for (pods, reached) in table {
        let everywhere = RulePeer::Pods { namespaces: Some(Selector::everything()), pods: pods.clone() };
        let host =
            Pod { host_network: true, node: Some("node-2".to_owned()), ..pod("shop", "host", "10.0.1.2") };
        let objects = Objects {
            pods: vec![Arc::new(pod("shop", "web", "10.244.0.1")), Arc::new(host)],
            policies: vec![Arc::new(policy("shop", "out", None, Some(vec![rule([everywhere], [])])))],
            ..Objects::default()
        };
        let matrix = Matrix::new(&objects, Profile::OVN_KUBERNETES);
        let [web, host] = ["web", "host"].map(|name| End::Inside(matrix.ends_of_pod("shop", name)[0]));
        assert_eq!(matrix.ports(web, host).is_all(), reached, "with pods {pods:?}");
    }
}

/// The places of pods that went are nobody's, and what comes in their stead is seen by the rules that see it.
#[test]
fn a_pod_that_comes_again_is_seen_again() {
    let from_web = rule([crate::fixture::pods(None, "web")], [crate::fixture::tcp(80)]);
    let objects = Objects {
        pods: vec![Arc::new(pod("shop", "web", "10.244.0.1")), Arc::new(pod("shop", "db", "10.244.0.2"))],
        policies: vec![Arc::new(policy("shop", "in", Some(vec![from_web]), None))],
        ..Objects::default()
    };
    let mut matrix = Matrix::new(&objects, Profile::UPSTREAM);
    let end =
        |matrix: &Matrix, name: &str| matrix.ends_of_pod("shop", name).first().copied().map(End::Inside);
    let (web, db) = (end(&matrix, "web").expect("it is there"), end(&matrix, "db").expect("it is there"));
    assert_eq!(matrix.ports(web, db).to_string(), "TCP 80");
    let change = |pod| Change::Pod { namespace: "shop".to_owned(), name: "web".to_owned(), pod };
    let changed = matrix.apply(change(None));
    assert_eq!((changed.gone.len(), changed.new.len()), (1, 0));
    assert_eq!((end(&matrix, "web"), matrix.ports(web, db)), (None, PortSet::none()), "nobody stands there");
    let changed = matrix.apply(change(Some(Arc::new(pod("shop", "web", "10.244.0.3")))));
    assert_eq!((changed.gone.len(), changed.new.len()), (0, 1));
    let web = end(&matrix, "web").expect("it is there again");
    assert_eq!(matrix.ports(web, db).to_string(), "TCP 80", "at its new place");
}
