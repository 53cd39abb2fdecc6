//! What the hub is told, walk by walk.
#![allow(clippy::expect_used)]

use std::time::Duration;

use peerwalk_model::Stage;
use peerwalk_model::evidence::{
    Connect, Dial, DialOutcome, DialPurpose, LocalTrouble, ProxyAttempt, Resolve, ResolveSource, Trigger,
};
use peerwalk_model::plan::{DnsTarget, PlannedTarget, RecordType, Retries, TargetKind};

use super::*;

fn key(target: &str) -> TargetKey {
    TargetKey { check: "web".into(), target: target.into() }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn plan(generation: u64, targets: &[(&str, u64)]) -> Plan {
    let target = |interval| PlannedTarget {
        kind: TargetKind::Dns(DnsTarget { name: "a.example".into(), record: RecordType::A }),
        http: None,
        connect_timeout: Duration::from_secs(1),
        total_timeout: Duration::from_secs(5),
        interval: Duration::from_secs(interval),
        retries: Retries { attempts: 1, backoff: Duration::ZERO, max_backoff: Duration::ZERO },
        controls: Vec::new(),
    };
    Plan {
        generation,
        targets: targets.iter().map(|(name, interval)| (key(name), target(*interval))).collect(),
    }
}

/// A walk that resolves to this address, or to none.
fn walk(target: &str, address: &str, started: i64) -> Walk {
    let resolve = Resolve {
        name: "a.example".into(),
        source: ResolveSource::HostsFile,
        answered: None,
        addresses: address.parse().into_iter().collect(),
        queries: Vec::new(),
        elapsed: Duration::ZERO,
        spent: false,
        pair: None,
    };
    let begun = Walk::begin(key(target), 1, Trigger::Interval, at(started));
    Walk { resolve: Some(resolve), ended: at(started + 5), ..begun }
}

fn ledger(targets: &[(&str, u64)]) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.plan(plan(1, targets), true);
    ledger
}

fn sent(ledger: &mut Ledger) -> Vec<(String, i64)> {
    std::iter::from_fn(|| ledger.next_evidence()).map(|w| (w.target.target, w.started.as_millis())).collect()
}

#[test]
fn evidence_is_sent_when_it_changes() {
    let mut ledger = ledger(&[("a", 30)]);
    for (address, started, expected) in [
        ("10.0.0.1", 100, vec![("a".to_owned(), 100)]),
        ("10.0.0.1", 200, vec![]),
        ("10.0.0.2", 300, vec![("a".to_owned(), 300)]),
        ("", 400, vec![("a".to_owned(), 400)]),
        ("", 500, vec![]),
    ] {
        ledger.walk(walk("a", address, started));
        assert_eq!(ledger.has_evidence(), !expected.is_empty(), "at {started}");
        assert_eq!(sent(&mut ledger), expected, "at {started}");
    }
    let heartbeat = ledger.heartbeat();
    let fresh = &heartbeat.targets[0];
    assert_eq!((fresh.started, fresh.ended), (at(500), at(505)), "the last walk, though it was not sent");
    assert_eq!((fresh.since, fresh.consecutive), (at(400), 2), "the run of walks that found the same");
    assert_eq!(heartbeat.plan_generation, 1);
}

#[test]
fn only_the_last_of_walks_that_wait_is_sent() {
    let mut ledger = ledger(&[("a", 30)]);
    for started in [100, 200, 300] {
        ledger.walk(walk("a", &format!("10.0.0.{}", started / 100), started));
    }
    assert_eq!(sent(&mut ledger), [("a".to_owned(), 300)]);
}

#[test]
fn interim_reports_are_sent_at_once_and_outdated_by_the_whole() {
    let mut ledger = ledger(&[("a", 30)]);
    let digest = ledger.heartbeat().digest;
    ledger.walk(Walk { interim: true, ..walk("a", "", 100) });
    assert_eq!(sent(&mut ledger), [("a".to_owned(), 100)]);
    assert_eq!(ledger.heartbeat().digest, digest, "an interim report does not count");
    assert!(ledger.heartbeat().targets.is_empty(), "it is no completed walk");
    ledger.walk(Walk { interim: true, ..walk("a", "", 200) });
    ledger.walk(walk("a", "", 200));
    assert_eq!(sent(&mut ledger).len(), 1, "the whole walk says it all");
    let mut ledger = self::ledger(&[("a", 30)]);
    for started in 0..100 {
        ledger.walk(Walk { interim: true, ..walk("a", "", started) });
    }
    assert_eq!(sent(&mut ledger).len(), INTERIMS, "what waits is bounded");
}

/// A walk of which these addresses were silent, or one that connected.
fn dialled(silent: &[&str], trigger: Trigger, started: i64) -> Walk {
    let dial = |remote: &str, outcome| Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose: DialPurpose::Endpoint,
        remote: remote.parse().expect("an address"),
        local: None,
        started: at(started),
        elapsed: Duration::from_millis(300),
        retransmits: 0,
        outcome,
    };
    let mut dials: Vec<Dial> = silent.iter().map(|remote| dial(remote, DialOutcome::Silent)).collect();
    if dials.is_empty() {
        dials.push(dial("10.244.0.9:80", DialOutcome::Connected { local_peer: None }));
    }
    Walk {
        connect: Some(Connect { dials, ..Connect::default() }),
        trigger,
        ..walk("a", "10.96.0.1", started)
    }
}

fn interim(silent: &[&str], trigger: Trigger, started: i64) -> Walk {
    Walk { interim: true, ..dialled(silent, trigger, started) }
}

const A: &str = "10.244.0.1:80";
const B: &str = "10.244.0.2:80";

#[test]
fn a_steady_failure_leads_to_heartbeats_only() {
    let mut ledger = ledger(&[("a", 30)]);
    ledger.walk(dialled(&[A], Trigger::Event, 0));
    assert_eq!(sent(&mut ledger).len(), 1, "the failure itself");
    for n in 1..=5 {
        let trigger = if n % 2 == 0 { Trigger::Event } else { Trigger::Interval };
        ledger.walk(interim(&[A], trigger, n * 1000));
        assert!(!ledger.has_evidence(), "interim report {n} says nothing new");
        ledger.walk(dialled(&[A], trigger, n * 1000));
        assert!(!ledger.has_evidence(), "walk {n} found the same");
    }
    let fresh = &ledger.heartbeat().targets[0];
    assert_eq!((fresh.since, fresh.consecutive), (at(0), 6), "one run of walks");
}

#[test]
fn an_interim_report_is_sent_when_it_is_news() {
    use Trigger::{Event, Interval};
    for (before, silent, trigger, expected) in [
        (&[][..], &[A][..], Interval, true),
        (&[], &[A], Event, true),
        (&[A], &[A], Event, false),
        (&[A], &[A, B], Interval, false),
        (&[A], &[A, B], Event, true),
        (&[A, B], &[A], Event, false),
    ] {
        let mut ledger = ledger(&[("a", 30)]);
        ledger.walk(dialled(before, Interval, 0));
        sent(&mut ledger);
        ledger.walk(interim(silent, trigger, 1000));
        assert_eq!(ledger.has_evidence(), expected, "{before:?} silent before, {silent:?} now, {trigger:?}");
    }
}

#[test]
fn a_changed_target_and_one_without_a_word_on_the_network_are_told_of_at_once() {
    let mut ledger = ledger(&[("a", 30)]);
    ledger.walk(dialled(&[A], Trigger::Interval, 0));
    ledger.plan(plan(2, &[("a", 60)]), false);
    ledger.walk(Walk { plan_generation: 2, ..interim(&[A], Trigger::Interval, 1000) });
    assert_eq!(ledger.interims.len(), 1, "the old walk says nothing of the new definition");
    let local = Some(peerwalk_model::evidence::LocalTrouble { what: "ports".into(), errno: 99 });
    ledger.walk(Walk { local, plan_generation: 2, ..dialled(&[A], Trigger::Interval, 2000) });
    ledger.walk(Walk { plan_generation: 2, ..interim(&[A], Trigger::Interval, 3000) });
    assert_eq!(ledger.interims.len(), 1, "a void walk says nothing");
}

#[test]
fn the_whole_walk_follows_its_interim_report_even_if_it_finds_what_was_known() {
    for (before, silent) in [(&[][..], &[A][..]), (&[A], &[B])] {
        let mut ledger = ledger(&[("a", 30)]);
        ledger.walk(dialled(before, Trigger::Interval, 0));
        sent(&mut ledger);
        ledger.walk(interim(silent, Trigger::Event, 1000));
        assert_eq!(sent(&mut ledger).len(), 1, "the interim report");
        ledger.walk(dialled(before, Trigger::Event, 1000));
        assert_eq!(sent(&mut ledger), [("a".to_owned(), 1000)], "the hub learns how it ended");
        ledger.walk(dialled(before, Trigger::Interval, 2000));
        assert!(!ledger.has_evidence(), "once is enough");
    }
}

#[test]
fn the_digest_is_that_of_what_was_sent() {
    let mut ledger = ledger(&[("a", 30), ("b", 30)]);
    let (a, b) = (walk("a", "10.0.0.1", 100), walk("b", "10.0.0.2", 100));
    let of = |walks: &[&Walk]| digest(walks.iter().map(|walk| (&walk.target, signature(walk))));
    ledger.walk(a.clone());
    assert_eq!(ledger.heartbeat().digest, of(&[]), "nothing was sent");
    sent(&mut ledger);
    assert_eq!(ledger.heartbeat().digest, of(&[&a]));
    ledger.walk(b.clone());
    sent(&mut ledger);
    assert_eq!(ledger.heartbeat().digest, of(&[&a, &b]));
    ledger.walk(walk("a", "10.0.0.9", 200));
    assert_eq!(ledger.heartbeat().digest, of(&[&a, &b]), "the change is not sent yet");
    ledger.unsendable(&key("b"));
    assert_eq!(ledger.heartbeat().digest, of(&[&a]), "what cannot be sent is not there");
    ledger.plan(plan(2, &[("b", 30)]), false);
    assert_eq!(ledger.heartbeat().digest, of(&[]), "a is no longer planned");
}

#[test]
fn a_stream_begins_with_all_evidence_once_there_is_a_plan() {
    let mut ledger = ledger(&[("a", 30), ("b", 30)]);
    ledger.walk(walk("a", "10.0.0.1", 100));
    ledger.walk(walk("b", "10.0.0.1", 100));
    sent(&mut ledger);
    ledger.begin_stream();
    assert!(!ledger.has_evidence(), "the hub has no plan to hold it against yet");
    assert_eq!(ledger.heartbeat().digest, 0, "nothing was sent on this stream");
    ledger.plan(plan(1, &[("a", 30), ("b", 30)]), true);
    assert_eq!(sent(&mut ledger).len(), 2);
    ledger.send_all();
    assert_eq!(sent(&mut ledger).len(), 2, "all of it once more");
}

#[test]
fn a_changed_target_sends_its_next_walk_even_if_it_finds_the_same() {
    let mut ledger = ledger(&[("a", 30), ("b", 30)]);
    for target in ["a", "b"] {
        ledger.walk(walk(target, "10.0.0.1", 100));
    }
    sent(&mut ledger);
    ledger.plan(plan(2, &[("a", 60), ("b", 30)]), false);
    assert!(!ledger.has_evidence(), "the old walk says nothing of the new definition");
    for target in ["a", "b"] {
        ledger.walk(Walk { plan_generation: 2, ..walk(target, "10.0.0.1", 200) });
    }
    assert_eq!(sent(&mut ledger), [("a".to_owned(), 200)]);
}

#[test]
fn walks_of_targets_that_are_not_planned_are_dropped() {
    let mut ledger = ledger(&[("a", 30)]);
    ledger.walk(walk("gone", "10.0.0.1", 100));
    assert!(!ledger.has_evidence());
}

#[test]
fn transitions_are_kept_until_they_are_received() {
    let mut ledger = ledger(&[("a", 30)]);
    for (address, started) in
        [("10.0.0.1", 100), ("10.0.0.2", 200), ("", 300), ("", 400), ("10.0.0.1", 500), ("", 600)]
    {
        ledger.walk(walk("a", address, started));
    }
    let all = ledger.transitions(0).expect("there are transitions");
    let found: Vec<_> = all.transitions.iter().map(|t| (t.passed, t.at.as_millis(), t.stage)).collect();
    let resolve = Stage::Resolve;
    assert_eq!(found, [(false, 305, resolve), (true, 505, resolve), (false, 605, resolve)]);
    assert_eq!(all.first, 1);
    let rest = ledger.transitions(2).expect("one was not sent");
    assert_eq!(
        (rest.first, rest.transitions.len()),
        (3, 1),
        "what was sent on this stream is not sent again"
    );
    ledger.received(2);
    let rest = ledger.transitions(0).expect("one was not received");
    assert_eq!((rest.first, rest.transitions.len()), (3, 1), "a replay begins after what was received");
    ledger.received(3);
    assert_eq!(ledger.transitions(0), None);
    ledger.received(u64::MAX);
    ledger.walk(walk("a", "10.0.0.1", 700));
    assert_eq!(ledger.transitions(0).expect("a new one").first, 4, "a wrong receipt breaks no numbers");
}

#[test]
fn the_ring_is_bounded_and_says_what_it_lost() {
    let mut ledger = ledger(&[("a", 30)]);
    for n in 0..=300 {
        ledger.walk(walk("a", if n % 2 == 0 { "10.0.0.1" } else { "" }, n));
    }
    let all = ledger.transitions(0).expect("there are transitions");
    assert_eq!((all.transitions.len(), all.first), (256, 45));
    assert_eq!(ledger.heartbeat().transitions_lost, 44);
}

#[test]
fn trouble_of_the_prober_is_no_transition() {
    let mut ledger = ledger(&[("a", 30)]);
    ledger.walk(walk("a", "10.0.0.1", 100));
    let local = Some(peerwalk_model::evidence::LocalTrouble { what: "ports".into(), errno: 99 });
    ledger.walk(Walk { local, ..walk("a", "", 200) });
    assert_eq!(ledger.transitions(0), None, "it says nothing about the network");
}

#[test]
fn a_walk_that_dialled_nothing_takes_nothing_back() {
    let mut ledger = ledger(&[("db", 10)]);
    let dial = |outcome| Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose: DialPurpose::ServiceAddress,
        remote: "10.96.0.7:5432".parse().expect("an address"),
        local: None,
        started: at(0),
        elapsed: Duration::ZERO,
        retransmits: 0,
        outcome,
    };
    let walked = |started, outcome| {
        let connect = Connect { dials: vec![dial(outcome)], ..Connect::default() };
        Walk { connect: Some(connect), ..walk("db", "10.96.0.7", started) }
    };
    ledger.walk(walked(0, DialOutcome::Connected { local_peer: None }));
    assert_eq!(sent(&mut ledger).len(), 1, "the first walk is told");
    ledger.walk(walked(10, DialOutcome::Skipped));
    assert_eq!(sent(&mut ledger), [], "for want of budget nothing is known to be otherwise");
    assert_eq!(ledger.heartbeat().targets[0].started, at(0), "and what is known grows older");
}

/// A walk of a plan as the ledger gave it out.
fn under(planned: &Plan, walk: Walk) -> Walk {
    Walk { plan_generation: planned.generation, ..walk }
}

#[test]
fn what_was_found_of_another_target_is_not_sent_for_the_new_one() {
    // The operator has started anew: it counts from 1, and one of the targets is another now.
    let mut ledger = Ledger::default();
    let old = ledger.plan(plan(37, &[("changed", 30), ("same", 30)]), true);
    for target in ["changed", "same"] {
        ledger.walk(under(&old, walk(target, "10.0.0.1", 100)));
    }
    assert_eq!(sent(&mut ledger).len(), 2);
    ledger.begin_stream();
    let new = ledger.plan(plan(1, &[("changed", 60), ("same", 30)]), true);
    let again = ledger.next_evidence().expect("what still holds is sent again");
    assert_eq!((again.target, again.plan_generation), (key("same"), 1), "under the new generation");
    assert!(!ledger.has_evidence(), "what was found of another target is not");
    ledger.walk(under(&old, walk("changed", "10.0.0.1", 200)));
    assert!(!ledger.has_evidence(), "nor a walk that was under way");
    ledger.send_all();
    assert_eq!(sent(&mut ledger), [("same".to_owned(), 100)], "not even if the hub asks for everything");
    ledger.walk(under(&new, walk("changed", "10.0.0.1", 300)));
    assert_eq!(sent(&mut ledger), [("changed".to_owned(), 300)], "it finds the same, and is told");
}

#[test]
fn generations_that_begin_anew_lose_no_walk_of_a_changed_target() {
    let mut ledger = Ledger::default();
    let old = ledger.plan(plan(36, &[("a", 30)]), true);
    ledger.walk(under(&old, walk("a", "10.0.0.1", 100)));
    ledger.plan(plan(37, &[("a", 60)]), false);
    sent(&mut ledger);
    ledger.begin_stream();
    let new = ledger.plan(plan(1, &[("a", 60)]), true);
    ledger.walk(under(&new, walk("a", "10.0.0.1", 200)));
    let told = ledger.next_evidence().expect("the first walk of what it has become");
    assert_eq!((told.started, told.plan_generation), (at(200), 1));
}

#[test]
fn the_first_walk_of_a_target_is_not_one_of_what_it_was() {
    let mut ledger = Ledger::default();
    let old = ledger.plan(plan(1, &[("a", 30)]), true);
    // The generation may even be the same, where the operator began anew.
    for (generation, whole) in [(2, false), (1, true)] {
        let interval = 40 + generation;
        let new = ledger.plan(plan(generation, &[("a", interval)]), whole);
        for interim in [true, false] {
            ledger.walk(under(&old, Walk { interim, ..walk("a", "10.0.0.1", 100) }));
        }
        assert!(!ledger.has_evidence(), "it was under way when the target changed");
        assert!(new.generation > old.generation, "walks of the two are told apart");
    }
}

#[test]
fn half_a_walk_replaces_no_whole_one() {
    use DialPurpose::{Endpoint, ServiceAddress};
    let mut ledger = ledger(&[("a", 30)]);
    let walked = |started, dials: &[(DialPurpose, DialOutcome)]| {
        let mut walk = dialled(&[], Trigger::Interval, started);
        let template = walk.connect.as_ref().expect("dials").dials[0].clone();
        let of = |(purpose, outcome): &(DialPurpose, DialOutcome)| Dial {
            purpose: *purpose,
            outcome: outcome.clone(),
            ..template.clone()
        };
        walk.connect = Some(Connect { dials: dials.iter().map(of).collect(), ..Connect::default() });
        walk
    };
    let connected = DialOutcome::Connected { local_peer: None };
    let skipped = DialOutcome::Skipped;
    ledger.walk(walked(100, &[(ServiceAddress, connected.clone()), (Endpoint, connected.clone())]));
    assert_eq!(sent(&mut ledger).len(), 1);
    ledger.walk(walked(200, &[(ServiceAddress, DialOutcome::Silent), (Endpoint, skipped.clone())]));
    assert!(!ledger.has_evidence(), "the endpoints were not dialled");
    assert_eq!(ledger.heartbeat().targets[0].started, at(100), "what is known grows older");
    let some = [(ServiceAddress, DialOutcome::Silent), (Endpoint, DialOutcome::Silent), (Endpoint, skipped)];
    ledger.walk(walked(300, &some));
    assert_eq!(sent(&mut ledger), [("a".to_owned(), 300)], "one endpoint of two is evidence");
}

#[test]
fn a_walk_that_could_not_ask_its_proxy_takes_nothing_back() {
    use DialOutcome::{NotAllowed, Silent, Skipped};
    let mut ledger = ledger(&[("a", 30)]);
    let through = |started, outcomes: &[DialOutcome]| {
        let direct = dialled(&[], Trigger::Interval, started);
        let template = direct.connect.as_ref().expect("dials").dials[0].clone();
        let dial = |outcome: &DialOutcome| {
            let outcome = outcome.clone();
            Dial { purpose: DialPurpose::Proxy, outcome, ..template.clone() }
        };
        let proxied = ProxyAttempt {
            container: "web".into(),
            proxy: "proxy.corp:3128".into(),
            dials: outcomes.iter().map(dial).collect(),
            connect_status: None,
            tls: None,
            request: None,
            elapsed: Duration::ZERO,
        };
        Walk { proxied: Some(proxied), ..direct }
    };
    ledger.walk(through(100, &[DialOutcome::Connected { local_peer: None }]));
    assert_eq!(sent(&mut ledger).len(), 1);
    for (started, outcomes) in
        [(200, &[Skipped][..]), (300, &[Skipped, Skipped]), (400, &[NotAllowed, Skipped])]
    {
        ledger.walk(through(started, outcomes));
        assert!(!ledger.has_evidence(), "{outcomes:?} says nothing of the proxy");
    }
    assert_eq!(ledger.heartbeat().targets[0].started, at(100), "what is known grows older");
    ledger.walk(through(500, &[Silent, Skipped]));
    assert_eq!(sent(&mut ledger), [("a".to_owned(), 500)], "one address of two is evidence");
}

#[test]
fn a_walk_without_queries_left_leaves_what_is_known() {
    let mut ledger = ledger(&[("a", 30)]);
    ledger.walk(walk("a", "10.0.0.1", 100));
    assert_eq!(sent(&mut ledger).len(), 1);
    let local = |what: &str| Some(LocalTrouble { what: what.into(), errno: 11 });
    ledger.walk(Walk { local: local(LocalTrouble::BUDGET), ..walk("a", "", 200) });
    assert!(!ledger.has_evidence(), "it is the sidecar's own thrift");
    ledger.walk(Walk { local: local("file descriptors"), ..walk("a", "", 300) });
    assert_eq!(sent(&mut ledger), [("a".to_owned(), 300)], "and this is trouble");
}

#[test]
fn a_target_that_gets_budget_now_and_then_does_not_flap() {
    let mut ledger = ledger(&[("a", 30)]);
    ledger.walk(walk("a", "10.0.0.1", 100));
    assert_eq!(sent(&mut ledger).len(), 1);
    let local = LocalTrouble { what: LocalTrouble::BUDGET.into(), errno: 11 };
    for round in 1..=5 {
        let starved = Walk { local: Some(local.clone()), ..walk("a", "", round * 1_000) };
        ledger.walk(starved);
        ledger.walk(walk("a", "10.0.0.1", round * 1_000 + 500));
        assert!(!ledger.has_evidence(), "round {round}: it is as it was");
        assert_eq!(
            ledger.heartbeat().targets[0].started,
            at(round * 1_000 + 500),
            "and the hub knows how new"
        );
    }
    assert_eq!(ledger.transitions(0), None, "nothing has changed in between");
}

#[test]
fn the_time_of_a_walk_is_told_while_it_is_about_the_target_as_it_is() {
    let mut ledger = ledger(&[("a", 10)]);
    let dial = |outcome| Dial {
        purpose: DialPurpose::Address,
        protocol: peerwalk_model::Protocol::Tcp,
        remote: ([10, 0, 0, 1], 80).into(),
        local: None,
        started: at(0),
        elapsed: Duration::from_millis(20),
        retransmits: 0,
        mss: None,
        outcome,
    };
    let dialled = |outcome, started| Walk {
        connect: Some(Connect { dials: vec![dial(outcome)], ..Connect::default() }),
        ..walk("a", "10.0.0.1", started)
    };
    let took = |ledger: &Ledger| ledger.heartbeat().targets[0].took.map(|took| took.connect.as_millis());
    ledger.walk(dialled(DialOutcome::Connected { local_peer: None }, 0));
    assert_eq!(took(&ledger), Some(20), "it passed");
    ledger.plan(plan(2, &[("a", 20)]), false);
    assert_eq!(took(&ledger), None, "the target is another one now");
    ledger.walk(Walk { plan_generation: 2, ..dialled(DialOutcome::Connected { local_peer: None }, 10) });
    assert_eq!(took(&ledger), Some(20), "and this is a walk of it");
    ledger.walk(Walk { plan_generation: 2, ..dialled(DialOutcome::Silent, 20) });
    assert_eq!(took(&ledger), None, "it failed");
}
