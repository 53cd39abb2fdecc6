//! Walks judged with what an operator knows. The decisions are those of `docs/decision.md`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use peerwalk_diagnosis::{Known, KnownSource};
use peerwalk_model::evidence::{Connect, Dial, DialOutcome, DialPurpose, IcmpError, Trigger};
use peerwalk_model::{Confidence, Protocol, Reason, Timestamp};
use serde_json::json;

use super::*;

const BEGAN: Timestamp = Timestamp::from_millis(1_795_424_525_000);
const ENDPOINT: &str = "10.244.1.8:5432";
/// The same pod, where policies admit everybody.
const HEALTH: &str = "10.244.1.8:8080";
const ELSEWHERE: &str = "10.244.1.9:8080";

fn documented() -> Vec<String> {
    let page = include_str!("../../../../docs/decision.md");
    page.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// The example of the page.
fn known() -> Known {
    decision::read(&documented()[0]).unwrap()
}

fn allowing() -> Known {
    let mut known = known();
    known.sources[0].endpoints[0].history = serde_json::from_str(&documented()[1]).unwrap();
    known
}

fn dial(purpose: DialPurpose, remote: &str, number: u16, outcome: DialOutcome) -> Dial {
    let local: IpAddr = "10.244.0.5".parse().unwrap();
    Dial {
        protocol: Protocol::Tcp,
        mss: None,
        purpose,
        remote: remote.parse().unwrap(),
        local: Some((local, 40_000 + number).into()),
        started: BEGAN,
        elapsed: Duration::from_millis(1),
        retransmits: 1,
        outcome,
    }
}

fn silent() -> Vec<Dial> {
    (0..8).map(|number| dial(DialPurpose::Address, ENDPOINT, number, DialOutcome::Silent)).collect()
}

fn refused(offender: &str) -> Vec<Dial> {
    let error = IcmpError { v6: false, kind: 3, code: 13, offender: Some(offender.parse().unwrap()) };
    let outcome = DialOutcome::Failed { errno: 113, immediate: false, queue: vec![error] };
    vec![dial(DialPurpose::Address, ENDPOINT, 0, outcome)]
}

fn reset() -> Vec<Dial> {
    let outcome = DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] };
    vec![dial(DialPurpose::Address, ENDPOINT, 0, outcome)]
}

fn connected(purpose: DialPurpose, remote: &str) -> Dial {
    dial(purpose, remote, 100, DialOutcome::Connected { local_peer: None })
}

fn and(mut dials: Vec<Dial>, more: Dial) -> Vec<Dial> {
    dials.push(more);
    dials
}

fn walked(dials: Vec<Dial>) -> Walk {
    let key = TargetKey { check: "probe".to_owned(), target: format!("tcp://{ENDPOINT}") };
    let mut walk = Walk::begin(key, 0, Trigger::Event, BEGAN);
    walk.connect = Some(Connect { dials, ..Connect::default() });
    walk.ended = BEGAN.plus(Duration::from_secs(2));
    walk
}

fn judged(dials: Vec<Dial>, expect: Expectation, known: &Known) -> (Verdict, Option<String>) {
    let args = args(&[&format!("tcp://{ENDPOINT}")]);
    let controls = dials.iter().filter(|dial| dial.purpose == DialPurpose::Control);
    let controls = controls.map(|dial| Control {
        pod: dial.remote.to_string(),
        address: dial.remote,
        proves: Vec::new(),
    });
    let planned = plan(&args.targets[0], &args, controls.collect());
    verdict(&PairEvidence::first(walked(dials)), &planned, expect, Some(known))
}

#[test]
fn a_decision_gives_the_word_and_what_is_missing_caps_it() {
    use Confidence::{Confirmed, Likely};
    let health = connected(DialPurpose::Control, HEALTH);
    let elsewhere = connected(DialPurpose::Control, ELSEWHERE);
    let connects = vec![connected(DialPurpose::Address, ENDPOINT)];
    for (about, dials, known, expected, says) in [
        (
            "the target's node",
            refused("10.90.0.2"),
            known(),
            (Reason::PolicyDenied, Confirmed),
            "default-deny",
        ),
        ("its bridge", refused("10.244.1.1"), known(), (Reason::PolicyDenied, Confirmed), "node n2"),
        ("another pod there", refused("10.244.1.9"), known(), (Reason::Filtered, Likely), "another pod"),
        ("a router", refused("192.0.2.1"), known(), (Reason::Filtered, Likely), "neither of the pods' nodes"),
        (
            "though it is allowed",
            refused("10.90.0.2"),
            allowing(),
            (Reason::Filtered, Likely),
            "policies allow it",
        ),
        ("alone", silent(), known(), (Reason::PolicyDenied, Likely), "no packet from it was seen"),
        (
            "elsewhere",
            and(silent(), elsewhere),
            known(),
            (Reason::PolicyDenied, Likely),
            "the path to the node",
        ),
        (
            "the pod answers",
            and(silent(), health.clone()),
            known(),
            (Reason::PolicyDenied, Confirmed),
            "port 8080",
        ),
        (
            "allowed, it answers",
            and(silent(), health),
            allowing(),
            (Reason::Dropped, Likely),
            "policies allow it",
        ),
        ("a closed port?", reset(), known(), (Reason::PolicyDenied, Likely), "a closed port"),
        ("not enforced?", connects, known(), (Reason::PolicyNotEnforced, Likely), "a connection alone"),
    ] {
        let (verdict, missing) = judged(dials, Expectation::Reachable, &known);
        assert_eq!(missing, None, "{about}");
        assert_eq!(
            (verdict.reason, verdict.confidence),
            (Some(expected.0), expected.1),
            "{about}: {verdict:#?}"
        );
        let lines: Vec<_> = verdict.because.iter().map(|line| line.text.as_str()).collect();
        assert!(lines.iter().any(|line| line.contains(says)), "{about}: {says:?} in {lines:#?}");
    }
}

#[test]
fn an_expected_denial_is_met_by_a_proven_one_alone() {
    for (about, dials, code) in [
        ("by the target's node", refused("10.90.0.2"), AS_EXPECTED),
        ("by somebody else", refused("192.0.2.1"), UNKNOWN),
        ("with silence alone", silent(), UNKNOWN),
        ("with a connection", vec![connected(DialPurpose::Address, ENDPOINT)], NOT_AS_EXPECTED),
    ] {
        let (verdict, _) = judged(dials, Expectation::Denied, &known());
        assert_eq!(exit_code(Expectation::Denied, verdict.observed), code, "{about}: {verdict:#?}");
    }
}

#[test]
fn kinds_that_nobody_can_read_keep_a_claim_from_being_confirmed() {
    let known = Known { unreadable_policy_kinds: vec!["CiliumNetworkPolicy".to_owned()], ..known() };
    let (verdict, _) = judged(refused("10.90.0.2"), Expectation::Reachable, &known);
    assert_eq!((verdict.reason, verdict.confidence), (Some(Reason::PolicyDenied), Confidence::Likely));
}

#[test]
fn a_decision_that_just_changed_is_programming() {
    let mut known = known();
    let mut allowed = allowing().sources[0].endpoints[0].history[0].clone();
    allowed.since_ms_ago = 60_000;
    let history = &mut known.sources[0].endpoints[0].history;
    history[0].since_ms_ago = 1_000;
    history.insert(0, allowed);
    assert_eq!(known.contradiction(), None);
    let connects = vec![connected(DialPurpose::Address, ENDPOINT)];
    let (verdict, _) = judged(connects, Expectation::Reachable, &known);
    assert_eq!(verdict.reason, Some(Reason::PolicyProgramming), "{verdict:#?}");
}

#[test]
fn what_is_known_of_others_is_not_used_and_that_is_said() {
    let other = |change: fn(&mut KnownSource)| {
        let mut known = known();
        change(&mut known.sources[0]);
        judged(refused("10.90.0.2"), Expectation::Reachable, &known)
    };
    for ((verdict, missing), wanted) in [
        (
            other(|source| source.addresses = vec!["10.244.0.6".parse().unwrap()]),
            "it is about walks from shop/web-7c9, and this one came from 10.244.0.5",
        ),
        (other(|source| source.endpoints.clear()), "it has no decision for 10.244.1.8:5432"),
        (
            other(|source| source.endpoints[0].address.set_port(5433)),
            "probe an endpoint, such as tcp://10.244.1.8:5433",
        ),
    ] {
        assert_eq!(missing.as_deref().map(|missing| missing.contains(wanted)), Some(true), "{missing:?}");
        assert_eq!((verdict.reason, verdict.confidence), (Some(Reason::Filtered), Confidence::Likely));
    }
}

#[test]
fn the_way_to_the_name_servers_is_known_too() {
    let mut walk = walked(Vec::new());
    walk.connect = None;
    let mut resolve = values::resolve();
    resolve.addresses.clear();
    resolve.queries[0].outcome = peerwalk_model::evidence::QueryOutcome::Timeout;
    walk.resolve = Some(resolve);
    let own = |_| "10.244.0.5".parse().ok();
    let (facts, decisions, missing) = decision::add(&known(), &walk, Facts::alone(TargetFacts::Dns), own);
    assert_eq!((facts.dns.len(), decisions.len(), missing), (1, 0, None), "by the Service's address");
    let (facts, _, missing) = decision::add(&known(), &walk, Facts::alone(TargetFacts::Dns), |_| None);
    assert_eq!(facts, Facts::alone(TargetFacts::Dns));
    assert!(missing.is_some_and(|missing| missing.contains("this one came from nobody")));
}

#[test]
fn the_own_address_is_the_one_that_packets_leave_from() {
    assert_eq!(decision::own_address("127.0.0.1:9".parse().unwrap()), "127.0.0.1".parse().ok());
}

#[test]
fn what_cannot_be_read_names_the_field_and_the_remedy() {
    let text = |change: fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&documented()[0]).unwrap();
        change(&mut value);
        decision::read(&value.to_string()).unwrap_err()
    };
    for (error, wanted) in [
        (decision::read("{").unwrap_err(), "docs/decision.md"),
        (text(|value| value["policies"] = json!([])), "unknown field `policies`"),
        (text(|value| value["sources"][0]["addresses"] = json!([])), "write the pod's addresses"),
        (
            text(|value| {
                value["sources"][0]["endpoints"][0]["history"][0]["decision"]["verdict"] = json!("allowed");
            }),
            "egress and ingress make it Denied",
        ),
    ] {
        assert!(error.contains(wanted), "{wanted:?} in {error}");
    }
    let missing = Command::try_parse_from(["probe", "tcp://db:1", "--decision", "/nonexistent"]).unwrap_err();
    assert!(missing.to_string().contains("--decision"), "{missing}");
}

/// Every field that can be written is on the page.
#[test]
fn the_page_has_every_field() {
    fn keys(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    // Names of nodes and labels are no fields.
                    if !["n1", "n2", "app"].contains(&key.as_str()) {
                        found.insert(key.clone());
                    }
                    keys(value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
            _ => {}
        }
    }
    let page = include_str!("../../../../docs/decision.md");
    let mut found = BTreeSet::new();
    keys(&serde_json::to_value(known()).unwrap(), &mut found);
    assert!(found.len() > 25, "{found:?}");
    let table: String = page.lines().filter(|line| line.starts_with('|')).collect();
    for key in found {
        let cell = |end: &str| table.contains(&format!("{key}{end}"));
        assert!(cell("`") || cell("[]`") || cell(".NAME`"), "{key} is documented");
    }
}
