//! Evidence in, verdict out: one file a scenario, in a folder named after the code. An unknown key is an error.
//!
//! What a file leaves out is ordinary: a walk from 100 000 to 102 000 ms, judged at 102 500 ms, decisions that
//! were in force long before, one Service with one ready endpoint.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // All of it is test code.

#[path = "support/scene.rs"]
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_diagnosis::{
    Case, Coverage, EndpointFacts, Facts, PairEvidence, Run, ServiceFacts, Sighting, SourceFacts,
    TargetFacts, Thresholds, check, explain, judge, outcome,
};
use peerwalk_model::evidence::{
    Breaker, Connect, LocalTrouble, ProxyAttempt, Request, Resolve, Route, Strain, Tls, Trigger, Walk,
};
use peerwalk_model::plan::Control;
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Confidence, Observed, Outcome, Reason, Stage, TargetKey, Verdict};
use serde::Deserialize;

use scene::{SOURCE, at, decision, dials, history, node};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scenario {
    /// What it is about, in a sentence.
    about: String,
    #[serde(default)]
    expect: Expectation,
    #[serde(default)]
    wants_request: bool,
    #[serde(default = "after_the_walk")]
    now: i64,
    walk: Option<ScenarioWalk>,
    target: ScenarioTarget,
    #[serde(default)]
    source: ScenarioSource,
    #[serde(default)]
    endpoints: BTreeMap<IpAddr, ScenarioEndpoint>,
    #[serde(default)]
    decisions: BTreeMap<SocketAddr, Vec<Change>>,
    #[serde(default)]
    dns_decisions: BTreeMap<SocketAddr, Vec<Change>>,
    /// Senders of ICMP errors that are pods.
    #[serde(default)]
    pod_offenders: BTreeSet<IpAddr>,
    #[serde(default)]
    controls: Vec<ScenarioControl>,
    #[serde(default)]
    unreadable_policy_kinds: Vec<String>,
    #[serde(default)]
    coverage: ScenarioCoverage,
    verdict: Expected,
}

fn after_the_walk() -> i64 {
    102_500
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioWalk {
    #[serde(default = "started")]
    started: i64,
    #[serde(default = "ended")]
    ended: i64,
    /// The run, where it is longer than the walk.
    since: Option<i64>,
    last_started: Option<i64>,
    last_ended: Option<i64>,
    #[serde(default = "one")]
    consecutive: u32,
    #[serde(default)]
    interim: bool,
    #[serde(default)]
    dials: Vec<String>,
    resolve: Option<Resolve>,
    route: Option<Route>,
    tls: Option<Tls>,
    request: Option<Request>,
    proxied: Option<ScenarioProxied>,
    local: Option<LocalTrouble>,
    strain: Option<Strain>,
    #[serde(default)]
    breakers: Vec<Breaker>,
}

fn started() -> i64 {
    100_000
}

fn ended() -> i64 {
    102_000
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioProxied {
    #[serde(default)]
    dials: Vec<String>,
    connect_status: Option<u16>,
    tls: Option<Tls>,
    request: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum ScenarioTarget {
    Service(ScenarioService),
    Url {
        allowed: bool,
        #[serde(default)]
        of_service: bool,
    },
    Dns,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioService {
    #[serde(default = "yes")]
    found: bool,
    #[serde(default = "yes")]
    port_found: bool,
    #[serde(default = "default_number")]
    number: u16,
    #[serde(default)]
    headless: bool,
    ready: usize,
    #[serde(default)]
    local: usize,
    #[serde(default)]
    internal_traffic_policy_local: bool,
    changed: Option<i64>,
}

fn default_number() -> u16 {
    5432
}

fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioSource {
    started: Option<i64>,
    #[serde(default)]
    host_network: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioEndpoint {
    pod: Option<String>,
    node: Option<String>,
    #[serde(default = "yes")]
    ready: bool,
    #[serde(default = "yes")]
    lease: bool,
    #[serde(default)]
    host_network: bool,
    started: Option<i64>,
    last_heard: Option<i64>,
    admitted: Option<i64>,
    path: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    #[serde(default)]
    at: i64,
    /// Words of [`decision`]; empty allows.
    deny: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioControl {
    pod: String,
    address: SocketAddr,
    proves: Vec<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum ScenarioCoverage {
    #[default]
    Reporting,
    NotInjected,
    NotReporting {
        #[serde(default)]
        denied: bool,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    observed: Observed,
    reason: Option<Reason>,
    stage: Stage,
    confidence: Confidence,
    /// `namespace/name direction`.
    policy: Option<String>,
    outcome: Outcome,
    /// Each is part of some line, which begins with the topic.
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    never_says: Vec<String>,
}

impl ScenarioWalk {
    fn evidence(self) -> PairEvidence {
        let key = TargetKey { check: "storefront".into(), target: "ledger-db".into() };
        let mut walk = Walk::begin(key, 1, Trigger::Interval, at(self.started));
        let dialled: Vec<_> = self.dials.iter().flat_map(|line| dials(line, self.started)).collect();
        walk.connect = (!dialled.is_empty()).then_some(Connect { dials: dialled, ..Connect::default() });
        walk.ended = at(self.ended);
        walk.interim = self.interim;
        walk.resolve = self.resolve;
        walk.route = self.route;
        walk.tls = self.tls;
        walk.request = self.request;
        walk.local = self.local;
        walk.strain = self.strain;
        if let Some(connect) = &mut walk.connect {
            connect.breakers = self.breakers;
        }
        walk.proxied = self.proxied.map(|proxied| ProxyAttempt {
            container: "app".into(),
            proxy: "proxy.corp:3128".into(),
            dials: proxied.dials.iter().flat_map(|line| dials(line, self.started)).collect(),
            connect_status: proxied.connect_status,
            tls: proxied.tls,
            request: proxied.request,
            elapsed: Duration::from_millis(3),
        });
        PairEvidence {
            attestations: Vec::new(),
            walk,
            since: at(self.since.unwrap_or(self.started)),
            started: at(self.last_started.unwrap_or(self.started)),
            ended: at(self.last_ended.unwrap_or(self.ended)),
            consecutive: self.consecutive,
        }
    }
}

impl ScenarioEndpoint {
    fn facts(&self) -> EndpointFacts {
        let seen = |at_ms: Option<i64>, who: &str| at_ms.map(|ms| Sighting { who: who.into(), at: at(ms) });
        EndpointFacts {
            pod: self.pod.clone(),
            node: self.node.as_deref().map(node),
            ready: self.ready,
            host_network: self.host_network,
            node_lease_fresh: self.lease,
            started: self.started.map(at),
            last_heard: self.last_heard.map(at),
            admitted_source: seen(self.admitted, "shop/batch-0"),
            path: seen(self.path, "ledger/ping"),
        }
    }
}

fn target(target: ScenarioTarget) -> TargetFacts {
    match target {
        ScenarioTarget::Url { allowed, .. } => TargetFacts::Url { allowed },
        ScenarioTarget::Dns => TargetFacts::Dns,
        ScenarioTarget::Service(service) => TargetFacts::Service(ServiceFacts {
            name: "ledger/postgres".into(),
            port: "5432".into(),
            found: service.found,
            port_found: service.port_found,
            number: Some(service.number),
            headless: service.headless,
            ready: service.ready,
            local: service.local,
            internal_traffic_policy_local: service.internal_traffic_policy_local,
            changed: service.changed.map(at),
        }),
    }
}

fn histories(
    changes: &BTreeMap<SocketAddr, Vec<Change>>,
    endpoints: &BTreeMap<IpAddr, ScenarioEndpoint>,
) -> Vec<peerwalk_diagnosis::EndpointDecision> {
    let history_of = |(endpoint, changes): (&SocketAddr, &Vec<Change>)| {
        let pod = endpoints.get(&endpoint.ip()).and_then(|endpoint| endpoint.pod.as_deref());
        let changes: Vec<_> = changes.iter().map(|change| (change.at, change.deny.clone())).collect();
        history(*endpoint, pod, &changes)
    };
    changes.iter().map(history_of).collect()
}

fn coverage(coverage: &ScenarioCoverage) -> Coverage {
    match coverage {
        ScenarioCoverage::Reporting => Coverage::Reporting,
        ScenarioCoverage::NotInjected => Coverage::NotInjected,
        ScenarioCoverage::NotReporting { denied } => {
            let hub = "10.244.1.200:8443".parse().unwrap();
            let denies = |hub| Arc::new(decision(hub, Some("peerwalk/hub-0"), &["egress".into()]));
            Coverage::NotReporting { hub: denied.then(|| denies(hub)) }
        }
    }
}

fn run(path: &Path) -> datatest_stable::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let scenario: Scenario = serde_saphyr::from_str(&text)?;
    let evidence = scenario.walk.map(ScenarioWalk::evidence);
    let decisions = histories(&scenario.decisions, &scenario.endpoints);
    let control = |control: ScenarioControl| Control {
        pod: control.pod,
        address: control.address,
        proves: control.proves,
    };
    let facts = Facts {
        coverage: coverage(&scenario.coverage),
        source: SourceFacts {
            pod: "shop/web".into(),
            addresses: vec![SOURCE.parse()?],
            node: Some(node("n1")),
            host_network: scenario.source.host_network,
            started: scenario.source.started.map(at),
        },
        dns: histories(&scenario.dns_decisions, &scenario.endpoints),
        endpoints: scenario.endpoints.iter().map(|(ip, endpoint)| (*ip, endpoint.facts())).collect(),
        pod_offenders: scenario.pod_offenders,
        controls: scenario.controls.into_iter().map(control).collect(),
        unreadable_policy_kinds: scenario.unreadable_policy_kinds,
        url_of_service: matches!(scenario.target, ScenarioTarget::Url { of_service: true, .. }),
        ..Facts::alone(target(scenario.target))
    };
    let case = Case {
        expect: scenario.expect,
        wants_request: scenario.wants_request,
        evidence: evidence.as_ref(),
        decisions: &decisions,
        facts: &facts,
        now: at(scenario.now),
    };
    let verdict = judge(&case);
    let walk = evidence.as_ref().map(|evidence| &evidence.walk);
    let explained = explain("shop/web", "ledger/postgres:5432", &verdict, walk);
    compare(&scenario.about, &case, &scenario.verdict, &verdict, &explained);
    Ok(())
}

fn compare(about: &str, case: &Case, expected: &Expected, verdict: &Verdict, explained: &str) {
    let found = (verdict.observed, verdict.reason, verdict.stage, verdict.confidence);
    let wanted = (expected.observed, expected.reason, expected.stage, expected.confidence);
    assert_eq!(found, wanted, "{about}\n{explained}");
    let policy = verdict.policy.as_ref().map(|policy| {
        let rule = policy.rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
        format!("{}/{} {}{rule}", policy.namespace, policy.name, policy.direction)
    });
    assert_eq!(policy, expected.policy, "the policy: {about}\n{explained}");
    let lines: Vec<String> =
        verdict.because.iter().map(|line| format!("{} {}", line.topic, line.text)).collect();
    for part in &expected.says {
        assert!(lines.iter().any(|line| line.contains(part)), "says {part:?}: {about}\n{explained}");
    }
    for part in &expected.never_says {
        assert!(!lines.iter().any(|line| line.contains(part)), "never says {part:?}: {about}\n{explained}");
    }
    let run = Run { failures: 1, successes: 1, ..Run::default() };
    let found = outcome(case.expect, verdict, run, Thresholds::default());
    assert_eq!(found, expected.outcome, "the outcome of the first walk: {about}\n{explained}");
    assert_eq!(check(case, verdict), Vec::new(), "no invariant is broken: {about}\n{explained}");
    assert_eq!(&judge(case), verdict, "the same case gives the same verdict: {about}");
}

datatest_stable::harness! {
    { test = run, root = "tests/scenarios", pattern = r"\.yaml$" },
}
