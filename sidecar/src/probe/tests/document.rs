//! `docs/probe-output.md` says what the program prints. Each example is read into the model's own types and
//! printed by the program again; each table is held against values that have everything.

use std::collections::BTreeSet;
use std::fmt::Debug;

use peerwalk_diagnosis::Attestation;
use peerwalk_model::evidence::{
    DialOutcome, LocalTrouble, QueryOutcome, RequestOutcome, ResolveSource, TlsOutcome, Transport,
};
use peerwalk_model::plan::HttpMethod;
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_value, json, to_value};

use super::*;
use crate::probe::output::Report;

const DOCUMENT: &str = include_str!("../../../../docs/probe-output.md");
const STAGES: [Stage; 5] = [Stage::Resolve, Stage::Route, Stage::Connect, Stage::Tls, Stage::Request];

/// The text below a heading, or before the first one.
fn section(name: &str) -> &'static str {
    let mut sections = DOCUMENT.split("\n## ");
    if name.is_empty() {
        return sections.next().unwrap();
    }
    let heading = format!("`{name}`\n");
    sections.find_map(|text| text.strip_prefix(&heading)).unwrap_or_else(|| panic!("no section {name}"))
}

fn of(stage: Stage) -> &'static str {
    section(&format!("{stage:?}"))
}

fn examples(section: &str) -> Vec<Value> {
    let blocks = section.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|text| serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in\n{text}"))).collect()
}

/// The names in the first column of the table with this heading.
fn table(section: &str, heading: &str) -> BTreeSet<String> {
    let heading = format!("| {heading} |");
    let rows = section.lines().skip_while(|line| !line.starts_with(&heading)).skip(2);
    let name = |row: &str| row.split('`').nth(1).map(str::to_owned);
    rows.take_while(|line| line.starts_with("| ")).filter_map(name).collect()
}

/// Where the values of a value are, such as `queries[].server`. What is in `leaves` has a table of its own.
fn paths(value: &Value, leaves: &[&str]) -> BTreeSet<String> {
    fn collect(value: &Value, path: String, leaves: &[&str], found: &mut BTreeSet<String>) {
        let last = path.trim_end_matches("[]").rsplit('.').next().unwrap_or_default();
        match value {
            Value::Array(items) => {
                for item in items {
                    collect(item, format!("{path}[]"), leaves, found);
                }
            }
            Value::Object(fields) if !leaves.contains(&last) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    collect(value, path, leaves, found);
                }
            }
            // A variant without fields is its own name.
            Value::String(variant) if path.is_empty() => drop(found.insert(variant.clone())),
            _ => drop(found.insert(path)),
        }
    }
    let mut found = BTreeSet::new();
    collect(value, String::new(), leaves, &mut found);
    found
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    from_value(value.clone()).unwrap_or_else(|error| panic!("{error} in {value:#}"))
}

/// The walk that leaves the evidence of these stages.
fn walk_of(stages: &[Value]) -> Walk {
    let key = TargetKey { check: "probe".to_owned(), target: "documented".to_owned() };
    let mut walk = Walk::begin(key, 0, Trigger::Event, Timestamp::from_millis(1_795_424_524_990));
    walk.ended = Timestamp::from_millis(1_795_424_526_500);
    for stage in stages {
        let evidence = &stage["evidence"];
        match read(&stage["stage"]) {
            Stage::Resolve => walk.resolve = Some(read(evidence)),
            Stage::Route => {
                walk.route = Some(read(&evidence["route"]));
                walk.proxied = read(&evidence["proxied"]);
            }
            Stage::Connect => walk.connect = Some(read(evidence)),
            Stage::Tls => walk.tls = Some(read(evidence)),
            Stage::Request => walk.request = Some(read(evidence)),
        }
    }
    walk
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn every_whole_example_is_what_would_be_printed() {
    let mut results = BTreeSet::new();
    for example in examples(section("")) {
        let name = example["target"].as_str().unwrap();
        let mut walk = walk_of(array(&example["stages"]));
        walk.strain = read(&example["strain"]);
        if array(&example["stages"]).is_empty() {
            walk.local = Some(LocalTrouble { what: "file descriptors".to_owned(), errno: 24 });
        }
        let said = Verdict {
            observed: read(&example["result"]),
            reason: read(&example["reason"]),
            stage: read(&example["stage"]),
            confidence: read(&example["confidence"]),
            policy: None,
            because: read(&example["because"]),
        };
        assert_eq!(to_value(Report::new(name, &walk, &said)).unwrap(), example, "printed, documented");
        let args = args(&[name]);
        let planned = plan(&args.targets[0], &args, vec![]);
        let evidence = PairEvidence::first(walk.clone());
        let (judged, _) = verdict(&evidence, &planned, Expectation::Reachable, None);
        assert_eq!(judged, said, "judged, documented: {name}");
        results.insert(said.observed);
    }
    let expected = [Observed::Reachable, Observed::Unreachable, Observed::Unknown];
    assert_eq!(results, BTreeSet::from(expected), "an example of each result that a probe alone can have");
}

#[test]
fn every_stage_has_an_example_that_would_be_printed() {
    for stage in STAGES {
        let found: Vec<Value> = examples(of(stage)).into_iter().filter(Value::is_object).collect();
        assert!(!found.is_empty(), "{stage} has an example");
        for example in found {
            assert_eq!(read::<Stage>(&example["stage"]), stage, "in its own section");
            let walk = walk_of(std::slice::from_ref(&example));
            let failed = Verdict::unknown(Reason::Probing, stage, vec![]);
            let passed = Verdict { reason: None, ..failed.clone() };
            let verdict = if example["passed"] == json!(true) { passed } else { failed };
            let printed = to_value(Report::new("documented", &walk, &verdict)).unwrap();
            assert_eq!(printed["stages"], json!([example]), "printed, documented");
        }
    }
}

#[test]
fn what_peers_saw_is_as_documented() {
    let documented = examples(section("peers")).remove(0);
    let attestation = |one: &Value| Attestation {
        who: read(&one["who"]),
        endpoint: read(&one["endpoint"]),
        at: read(&one["at"]),
        saw: read(&one["saw"]),
    };
    let all: Vec<Attestation> = array(&documented).iter().map(attestation).collect();
    let (walk, verdict) = (walk_of(&[]), Verdict::unknown(Reason::Probing, Stage::Connect, vec![]));
    let printed = to_value(Report::new("documented", &walk, &verdict).with_peers(&all)).unwrap();
    assert_eq!(printed["peers"], documented, "printed, documented");
    // A socket that is not there has no fields.
    let mut fields = paths(&documented, &["listener"]);
    fields.remove("[].saw.seen[].socket");
    assert_eq!(table(section("peers"), "field"), fields, "documented, printed");
    let seen = array(&documented[0]["saw"]["seen"]);
    let listeners: BTreeSet<String> = seen.iter().flat_map(|seen| paths(&seen["listener"], &[])).collect();
    assert_eq!(table(section("peers"), "listener"), listeners, "documented, printed");
}

/// The documented outcomes of a stage, read and printed again, and all there are.
fn outcomes<T: Serialize + DeserializeOwned + Debug>(stage: Stage, all: &[T]) {
    let documented = examples(of(stage)).into_iter().find(Value::is_array).unwrap();
    let printed: Vec<T> = read(&documented);
    assert_eq!(to_value(printed).unwrap(), documented, "printed, documented: {stage}");
    let all = to_value(all).unwrap();
    let variants = |values: &Value| -> BTreeSet<String> {
        let first = |value: &Value| value.as_object().map(|o| o.keys().next().unwrap().clone());
        array(values).iter().map(|v| first(v).unwrap_or_else(|| v.as_str().unwrap().to_owned())).collect()
    };
    assert_eq!(variants(&documented), variants(&all), "an example of each outcome of {stage}");
    let names: BTreeSet<String> = array(&all).iter().flat_map(|value| paths(value, &[])).collect();
    assert_eq!(table(of(stage), "outcome"), names, "the documented outcomes of {stage} and the real ones");
}

#[test]
fn every_outcome_has_an_example_and_a_row() {
    outcomes::<QueryOutcome>(Stage::Resolve, &values::query_outcomes());
    outcomes::<DialOutcome>(Stage::Connect, &values::dial_outcomes());
    outcomes::<TlsOutcome>(Stage::Tls, &values::tls_outcomes());
    outcomes::<RequestOutcome>(Stage::Request, &values::request_outcomes());
}

/// A walk that reached every stage and has everything.
fn everything() -> Walk {
    let mut walk = walk_of(&[]);
    walk.resolve = Some(values::resolve());
    walk.route = Some(values::route());
    walk.proxied = Some(values::proxied());
    walk.connect = Some(values::connect());
    walk.tls = Some(values::tls());
    walk.request = Some(values::request());
    walk.after = Some(values::after());
    walk.strain = Some(values::strain());
    walk
}

#[test]
fn the_example_of_a_connection_is_what_would_be_printed() {
    for example in examples(section("after")) {
        let walk = Walk { after: Some(read(&example)), ..walk_of(&[]) };
        let verdict = Verdict::unknown(Reason::Probing, Stage::Request, vec![]);
        let printed = to_value(Report::new("documented", &walk, &verdict)).unwrap();
        assert_eq!(printed["after"], example, "printed, documented");
    }
}

#[test]
fn every_field_has_a_row_and_every_row_a_field() {
    let because = vec![Because::new(Topic::Connect, "text")];
    let verdict = Verdict::unknown(Reason::Probing, Stage::Request, because);
    let report = to_value(Report::new("documented", &everything(), &verdict)).unwrap();
    assert_eq!(table(section(""), "field"), paths(&report, &["evidence", "after"]), "documented, printed");
    assert_eq!(table(section("after"), "field"), paths(&report["after"], &[]), "documented, printed");
    let stages = array(&report["stages"]);
    assert_eq!(stages.len(), STAGES.len());
    for (stage, printed) in STAGES.into_iter().zip(stages) {
        let leaves = ["outcome", "dials", "tls", "request"];
        let leaves = if stage == Stage::Route { &leaves[..] } else { &leaves[..1] };
        let fields = paths(&printed["evidence"], leaves);
        assert_eq!(table(of(stage), "field"), fields, "documented, printed: {stage}");
    }
}

#[test]
fn every_word_that_a_field_can_have_is_named() {
    fn named<T: Serialize>(section: &str, words: &[T]) {
        for word in words {
            let word = to_value(word).unwrap();
            assert!(section.contains(&format!("`{}`", word.as_str().unwrap())), "{word} is named");
        }
    }
    named(section(""), &STAGES);
    named(section(""), &[Observed::Reachable, Observed::Denied, Observed::Unreachable, Observed::Unknown]);
    named(section(""), &[Confidence::Confirmed, Confidence::Likely, Confidence::Suspected]);
    named(section(""), &[Topic::Resolve, Topic::Route, Topic::Connect, Topic::Tls, Topic::Request]);
    named(section(""), &[Topic::Alive, Topic::Path, Topic::Policy, Topic::Service, Topic::Local]);
    named(section(""), &[Topic::Missing, Topic::Fix]);
    named(of(Stage::Resolve), &[ResolveSource::HostsFile, ResolveSource::Dns]);
    named(of(Stage::Resolve), &[Transport::Udp, Transport::Tcp]);
    named(of(Stage::Resolve), &[RecordType::A, RecordType::Aaaa]);
    named(of(Stage::Connect), &values::purposes());
    named(of(Stage::Request), &[HttpMethod::Head, HttpMethod::Get]);
}

/// What the program prints for real sockets has no keys but those of the examples.
#[tokio::test]
async fn a_real_walk_has_the_documented_fields() {
    let (report, _) = walked(&[&format!("tcp://localhost:{}", closed().port()), "--family", "4"]).await;
    // A probe that fared well has no strain.
    let mut documented = table(section(""), "field");
    documented.retain(|path| !path.starts_with("strain."));
    documented.insert("strain".to_owned());
    assert_eq!(paths(&report, &["evidence"]), documented);
    let documented = table(of(Stage::Connect), "field");
    // Neighbours, hops and breakers are there where something is amiss.
    let always = |path: &String| path.starts_with("dials") || path.starts_with("hopLimits");
    let dials: BTreeSet<String> = documented.into_iter().filter(always).collect();
    assert_eq!(paths(&report["stages"][1]["evidence"], &["outcome"]), dials);
}
