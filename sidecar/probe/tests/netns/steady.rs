//! Failures that stand: walk after walk finds the same, at less cost than the first.

use super::*;

#[test]
fn proven_silence_is_asked_with_three_ports_and_ends_with_an_answer() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[81]);
    lab.forward("tcp dport 81 drop");
    let (prober, target) = (Prober::new(Environment::default()), tcp(at(SERVER[0], 81)));
    let steady = || {
        let walk = walks_by(&lab, &prober, &target, Trigger::Interval).pop().unwrap();
        let begun = walk.started;
        dials(&walk, DialPurpose::Address).into_iter().partition::<Vec<Dial>, _>(|dial| dial.started >= begun)
    };
    let (new, old) = steady();
    assert_eq!((new.len(), old.len()), (8, 0), "a whole diagnosis at first");
    let (new, old) = steady();
    assert_eq!((new.len(), old.len()), (3, 8), "three ports, and what was found before");
    assert!(new.iter().all(|dial| dial.outcome == DialOutcome::Silent), "{new:?}");
    lab.forward("");
    let (new, old) = steady();
    assert_eq!((new.len(), old.len()), (1, 0), "the first port is answered: {new:?}");
    assert_eq!(new[0].outcome, DialOutcome::Connected { local_peer: None });
}

/// A Service whose address leads nowhere, with two endpoints behind it and these rules before them: an event
/// walk and the interval walks after it find the same.
fn stands(rules: &str, control: bool) {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 81, 82]);
    lab.forward(&format!("ip daddr 10.96.0.10 drop\n{rules}"));
    let hosts = hosts_file("10.96.0.10 db.ledger.svc\n");
    let environment = Environment { hosts: hosts.path().to_owned(), ..Environment::default() };
    let service = ServiceTarget {
        hostname: "db.ledger.svc".into(),
        port: 5432,
        addresses: vec![ip("10.96.0.10")],
        endpoints: vec![at("10.9.2.2", 80), at("10.9.2.2", 81)],
    };
    let mut target = target(TargetKind::Service(service));
    if control {
        target = with_control(target, at("10.9.2.2", 82));
    }
    let prober = Prober::new(environment);
    let first = walks(&lab, &prober, &target).pop().unwrap();
    for n in 1..=5 {
        let next = walks_by(&lab, &prober, &target, Trigger::Interval).pop().unwrap();
        assert_eq!(signature(&next), signature(&first), "walk {n} found the same: {first:#?} {next:#?}");
    }
}

#[test]
fn endpoints_dropped_with_a_control_that_answers_keep_their_signature() {
    stands("tcp dport {80,81} drop", true);
}

#[test]
fn endpoints_dropped_with_nothing_that_answers_keep_their_signature() {
    stands("tcp dport {80,81} drop", false);
}

#[test]
fn one_dropped_endpoint_of_two_keeps_its_signature() {
    stands("tcp dport 81 drop", true);
}

#[test]
fn refused_endpoints_keep_their_signature() {
    stands("tcp dport 80 reject with tcp reset\ntcp dport 81 reject with icmpx admin-prohibited", true);
}
