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
        tls: None,
    };
    let mut target = target(TargetKind::Service(service));
    if control {
        target = with_control(target, at("10.9.2.2", 82));
    }
    let prober = Prober::new(environment);
    let first = walks(&lab, &prober, &target).pop().unwrap();
    for n in 1..=5 {
        let next = walks_by(&lab, &prober, &target, Trigger::Interval).pop().unwrap();
        assert_eq!(finding(&next), finding(&first), "walk {n} found the same: {first:#?} {next:#?}");
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

#[test]
fn silence_that_lasts_is_told_whole_while_its_breaker_is_open() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[80, 81]);
    lab.forward("tcp dport 81 drop");
    let target = with_control(tcp(at(SERVER[0], 81)), at(SERVER[0], 80));
    let prober = Prober::new(Environment::default());
    let steady = || walks_by(&lab, &prober, &target, Trigger::Interval).pop().unwrap();
    let mut last = steady();
    for _ in 2..=5 {
        last = steady();
    }
    let breakers = |walk: &Walk| {
        let breakers = &walk.connect.as_ref().unwrap().breakers;
        breakers.iter().map(|breaker| breaker.open).collect::<Vec<_>>()
    };
    assert_eq!(breakers(&last), [false], "the fifth proves it anew and opens it: {last:#?}");
    let open = steady();
    assert_eq!(breakers(&open), [true]);
    assert_eq!(finding(&open), finding(&last), "told as it was: {open:#?}");
    let silent = dials(&open, DialPurpose::Address);
    assert_eq!(odd_and_even(&silent), (4, 4), "the whole proof: {silent:?}");
    assert!(silent.iter().all(|dial| dial.started >= last.started && dial.started < open.started));
    assert_eq!(dials(&open, DialPurpose::Control).len(), 1, "with the control of then");
    lab.forward("");
    let event = walks(&lab, &prober, &target).pop().unwrap();
    assert!(breakers(&event).is_empty(), "an event notices its recovery at once: {event:#?}");
    assert_eq!(dials(&event, DialPurpose::Address)[0].outcome, DialOutcome::Connected { local_peer: None });
}

#[test]
fn a_refusal_that_gave_way_to_a_drop_is_found_out_with_an_event_and_without() {
    let Some(lab) = Lab::new() else { return };
    let _listeners = lab.listen(At::Server, &[82]);
    let target = tcp(at(SERVER[0], 82));
    let refusal = refused(Some((3, 13, NODE[0])), 113);
    for trigger in [Trigger::Event, Trigger::Interval] {
        let prober = Prober::new(Environment::default());
        let walk = |trigger| {
            let walk = walks_by(&lab, &prober, &target, trigger).pop().unwrap();
            dials(&walk, DialPurpose::Address)
        };
        lab.forward("tcp dport 82 reject with icmpx admin-prohibited");
        assert_eq!(walk(Trigger::Event)[0].outcome, refusal);
        lab.forward("tcp dport 82 drop");
        if trigger == Trigger::Interval {
            // Its host may be asked again then.
            std::thread::sleep(Duration::from_millis(3100));
            assert_eq!(walk(trigger)[0].outcome, refusal, "once silent: it may be a limit");
        }
        // A machine with other work may keep a walk from proving anything: then the next does.
        let mut found = walk(trigger);
        for _ in 0..5 {
            if found[0].outcome == refusal {
                std::thread::sleep(Duration::from_millis(3100));
                found = walk(trigger);
            }
        }
        assert!(found.iter().all(|dial| dial.outcome == DialOutcome::Silent), "{trigger:?}: {found:?}");
        assert_eq!(odd_and_even(&found), (4, 4), "{trigger:?}: a whole proof: {found:?}");
    }
}
