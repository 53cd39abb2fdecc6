//! What is written is read as what it was, with ages in place of moments; and judging by it comes to the same.

use peerwalk_model::evidence::{DialPurpose, Walk};
use peerwalk_model::{Confidence, Reason};

use super::*;
use crate::scenario::Scenario;
use crate::{Case, TargetFacts, judge};

const REFUSED: &str = "
about: refused by the node of a target that a policy denies
target: { service: { ready: 1 } }
endpoints:
  10.244.1.8: { pod: ledger/postgres-0, node: n2, started: 20000 }
source: { started: 10000 }
decisions:
  \"10.244.1.8:5432\": [{ deny: [] }, { at: 40000, deny: [ingress] }]
dnsDecisions:
  \"10.244.0.53:53\": [{ deny: [egress] }]
walk: { dials: [endpoint 10.244.1.8:5432 icmp 3/13 from 10.90.0.2] }
verdict: { observed: Denied, reason: PolicyDenied, stage: Connect, confidence: confirmed, outcome: Failed }
";

fn set<T: Ord + std::str::FromStr>(words: &[&str]) -> BTreeSet<T>
where
    T::Err: std::fmt::Debug,
{
    words.iter().map(|word| word.parse().unwrap()).collect()
}

/// What a case knows, written at its `now` and read back.
fn written(case: &Case) -> Known {
    let mut known = Known::default();
    known.add(case.facts, case.decisions, case.now);
    known.add(case.facts, case.decisions, case.now);
    serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap()
}

#[test]
fn ages_take_the_place_of_moments_and_nothing_is_said_twice() {
    let situation = Scenario::read(REFUSED).unwrap().situation();
    let known = written(&situation.case());
    assert_eq!(known.contradiction(), None);
    assert_eq!(known.nodes.keys().collect::<Vec<_>>(), ["n1", "n2"]);
    let [source] = &known.sources[..] else { panic!("one source: {known:#?}") };
    assert_eq!(source.started_ms_ago, Some(92_500), "judged at 102 500 ms, started at 10 000 ms");
    let [endpoint] = &source.endpoints[..] else { panic!("one endpoint: {source:#?}") };
    let since: Vec<u64> = endpoint.history.iter().map(|known| known.since_ms_ago).collect();
    assert_eq!((endpoint.started_ms_ago, since), (Some(82_500), vec![102_500, 62_500]));
    assert_eq!(source.name_servers.len(), 1);
}

/// The walk of the scenario, made ten hours later by somebody who has the file.
#[test]
fn another_judge_comes_to_the_same_verdict_on_another_clock() {
    let situation = Scenario::read(REFUSED).unwrap().situation();
    let case = situation.case();
    let known = written(&case);
    let later = Duration::from_hours(10);
    let mut evidence = case.evidence.unwrap().clone();
    for dial in evidence.walk.connect.iter_mut().flat_map(|connect| &mut connect.dials) {
        dial.started = dial.started.plus(later);
        dial.purpose = DialPurpose::Address;
    }
    let began = evidence.started.plus(later);
    let walk = Walk { started: began, ended: evidence.ended.plus(later), ..evidence.walk };
    evidence = crate::PairEvidence::first(walk);
    let alone = || Facts::alone(TargetFacts::Url { allowed: true });
    let dialled = set(&["10.244.1.8:5432"]);
    let (facts, decisions) =
        known.about(alone(), &set(&["10.244.0.5"]), &dialled, &BTreeSet::new(), began).unwrap();
    assert_eq!(facts.source.pod, "shop/web");
    let verdict = judge(&Case {
        evidence: Some(&evidence),
        decisions: &decisions,
        facts: &facts,
        now: evidence.ended,
        ..case
    });
    assert_eq!((verdict.reason, verdict.confidence), (Some(Reason::PolicyDenied), Confidence::Confirmed));
    let policy = verdict.policy.unwrap();
    assert_eq!((policy.namespace.as_str(), policy.name.as_str()), ("ledger", "default-deny"));
}

#[test]
fn what_is_known_holds_for_its_source_and_what_was_dialled_alone() {
    let situation = Scenario::read(REFUSED).unwrap().situation();
    let known = written(&situation.case());
    let about = |from: &[&str], dialled: &[&str], servers: &[&str]| {
        let facts = Facts::alone(TargetFacts::Dns);
        let began = Timestamp::from_millis(1_000_000);
        known.about(facts, &set(from), &set(dialled), &set(servers), began)
    };
    assert_eq!(about(&["10.244.0.6"], &["10.244.1.8:5432"], &[]), None, "another pod");
    assert_eq!(about(&["10.244.0.5", "10.244.0.6"], &["10.244.1.8:5432"], &[]), None, "both of two pods");
    assert_eq!(about(&[], &["10.244.1.8:5432"], &[]), None, "from nowhere that is known");
    let counts = |dialled: &[&str], servers: &[&str]| {
        let (facts, decisions) = about(&["10.244.0.5"], dialled, servers).unwrap();
        (decisions.len(), facts.endpoints.len(), facts.dns.len())
    };
    assert_eq!(counts(&["10.244.1.8:5432"], &[]), (1, 1, 0));
    assert_eq!(counts(&["10.244.1.8:5433"], &[]), (0, 0, 0), "another port");
    assert_eq!(counts(&[], &["10.244.0.53:53"]), (0, 0, 1));
}

#[test]
fn contradictions_name_the_endpoint_and_the_remedy() {
    let situation = Scenario::read(REFUSED).unwrap().situation();
    let good = written(&situation.case());
    let source = |change: fn(&mut KnownSource)| {
        let mut known = good.clone();
        change(&mut known.sources[0]);
        known.contradiction().expect("it contradicts itself").to_string()
    };
    for (error, wanted) in [
        (source(|source| source.addresses.clear()), "write the pod's addresses"),
        (source(|source| source.endpoints[0].history.clear()), "write the present decision"),
        (source(|source| source.endpoints[0].history.reverse()), "write the oldest decision first"),
        (source(|source| source.endpoints[0].address.set_port(1)), "for endpoint 10.244.1.8:1 is about"),
        (source(|source| source.addresses = vec!["10.244.0.6".parse().unwrap()]), "10.244.0.5 to"),
    ] {
        assert!(error.contains(wanted), "{wanted:?} in {error}");
    }
}

#[test]
fn what_the_operator_says_of_its_own_walks_is_passed_over() {
    let text = r#"{ "check": "shop/storefront", "unreadablePolicyKinds": [], "sources": [], "walks": [{ "x": 1 }] }"#;
    let known: Known = serde_json::from_str(text).unwrap();
    assert_eq!(known.check.as_deref(), Some("shop/storefront"));
    let missing = serde_json::from_str::<Known>(r#"{ "sources": [] }"#).unwrap_err().to_string();
    assert!(
        missing.contains("unreadablePolicyKinds"),
        "silence does not mean that there are none: {missing}"
    );
}
