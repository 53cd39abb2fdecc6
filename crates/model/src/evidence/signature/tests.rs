//! What a signature must and must not depend on.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::{Connect, DialPurpose, ProxyAttempt, Trigger};
use super::*;
use crate::Timestamp;

fn dial(remote: &str, local_port: u16, outcome: DialOutcome) -> Dial {
    Dial {
        purpose: DialPurpose::Endpoint,
        remote: remote.parse().unwrap(),
        local: Some(SocketAddr::from(([10, 244, 0, 5], local_port))),
        started: Timestamp::from_millis(i64::from(local_port)),
        elapsed: Duration::from_micros(u64::from(local_port)),
        retransmits: 0,
        outcome,
    }
}

fn walk(dials: Vec<Dial>) -> Walk {
    let key = TargetKey { check: "shop".into(), target: "db".into() };
    let mut walk = Walk::begin(key, 1, Trigger::Interval, Timestamp::from_millis(0));
    walk.connect = Some(Connect { dials });
    walk
}

const CONNECTED: DialOutcome = DialOutcome::Connected { local_peer: None };

#[test]
fn times_and_source_ports_do_not_matter() {
    let one = walk(vec![dial("10.0.0.1:80", 40001, DialOutcome::Silent)]);
    let two = walk(vec![dial("10.0.0.1:80", 50002, DialOutcome::Silent)]);
    assert_eq!(signature(&one), signature(&two), "a walk that found the same keeps its signature");
}

#[test]
fn endpoints_in_turn_do_not_matter_while_they_connect() {
    let one = walk(vec![dial("10.0.0.1:80", 1, CONNECTED)]);
    let two = walk(vec![dial("10.0.0.2:80", 1, CONNECTED)]);
    assert_eq!(signature(&one), signature(&two), "which endpoint answered is not news");
}

#[test]
fn who_may_have_accepted_matters() {
    let socket = LocalPeer::Socket { address: "127.0.0.1:15001".parse().unwrap(), uid: 1337 };
    let peers = [None, Some(LocalPeer::Unknown), Some(socket)];
    let found: BTreeSet<u64> = peers
        .map(|local_peer| {
            signature(&walk(vec![dial("10.0.0.1:80", 1, DialOutcome::Connected { local_peer })]))
        })
        .into();
    assert_eq!(found.len(), 3, "nobody here, nobody knows and somebody here are three things: {found:?}");
    let unknown = || DialOutcome::Connected { local_peer: Some(LocalPeer::Unknown) };
    let one = walk(vec![dial("10.0.0.1:80", 1, unknown())]);
    let two = walk(vec![dial("10.0.0.2:80", 1, unknown())]);
    assert_eq!(signature(&one), signature(&two), "which endpoint answered is not news");
}

#[test]
fn an_endpoint_that_fails_matters() {
    let refused = DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] };
    let one = walk(vec![dial("10.0.0.1:80", 1, refused.clone())]);
    let two = walk(vec![dial("10.0.0.2:80", 1, refused)]);
    assert_ne!(signature(&one), signature(&two), "which endpoint refuses is news");
}

#[test]
fn eight_ports_and_a_retransmission_matter() {
    let few = walk((0..3).map(|p| dial("10.0.0.1:80", p, DialOutcome::Silent)).collect());
    let many = walk((0..8).map(|p| dial("10.0.0.1:80", p, DialOutcome::Silent)).collect());
    let mut again = many.clone();
    again.connect.as_mut().unwrap().dials[0].retransmits = 1;
    let all = [signature(&few), signature(&many), signature(&again)];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3, "each step towards proof is news: {all:?}");
}

#[test]
fn a_proxy_without_address_is_not_one_that_was_not_tried() {
    let through = |dials: Vec<Dial>| {
        let mut walk = walk(vec![]);
        walk.proxied = Some(ProxyAttempt {
            container: "web".into(),
            proxy: "proxy.corp:3128".into(),
            dials,
            connect_status: None,
            tls: None,
            request: None,
            elapsed: Duration::ZERO,
        });
        signature(&walk)
    };
    let skipped = through(vec![dial("192.0.2.7:3128", 1, DialOutcome::Skipped)]);
    assert_ne!(through(vec![]), skipped, "an address that was left out shows that there is one");
}

#[test]
fn the_digest_ignores_order_and_sees_every_target() {
    let a = TargetKey { check: "c".into(), target: "a".into() };
    let b = TargetKey { check: "c".into(), target: "b".into() };
    assert_eq!(digest([(&a, 1), (&b, 2)]), digest([(&b, 2), (&a, 1)]), "order is no news");
    assert_ne!(digest([(&a, 1), (&b, 2)]), digest([(&a, 2), (&b, 1)]), "who has which signature is");
}
