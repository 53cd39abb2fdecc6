//! Scenarios, as the tests and the pages of the reason codes read them: evidence in, verdict out, one file a scenario,
//! in a folder named after the code. An unknown key is an error.
//!
//! What a file leaves out is ordinary: a walk from 100 000 to 102 000 ms, judged at 102 500 ms, decisions that
//! were in force long before, one Service with one ready endpoint.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // All of it is test code.

mod attestation;
pub mod scene;
mod target;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use attestation::ScenarioAttestation;
use peerwalk_model::plan::Control;
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Confidence, Observed, Outcome, Reason, Stage, Verdict};
use scene::{SOURCE, at, decision, history, node};
use serde::Deserialize;
use target::ScenarioTarget;
use walk::ScenarioWalk;

use crate::{
    Case, Coverage, EndpointDecision, EndpointFacts, Facts, Latency, PairEvidence, Quantiles, Sighting,
    SourceFacts, TargetFacts, explain,
};

/// One file: what is seen and known, and what must be said of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, in a sentence.
    pub about: String,
    /// The page of the code shows it, rather than the first by name.
    #[serde(default)]
    pub example: bool,
    #[serde(default)]
    expect: Expectation,
    #[serde(default)]
    wants_request: bool,
    #[serde(default = "after_the_walk")]
    now: i64,
    walk: Option<ScenarioWalk>,
    /// What sidecars of destination pods saw of its dials.
    #[serde(default)]
    attestations: Vec<ScenarioAttestation>,
    /// Who was asked and has not answered.
    #[serde(default)]
    awaited: BTreeSet<String>,
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
    names_service: bool,
    #[serde(default)]
    services_unheard: bool,
    #[serde(default)]
    coverage: ScenarioCoverage,
    latency: Option<ScenarioLatency>,
    /// What must be said.
    pub verdict: Expected,
}

fn after_the_walk() -> i64 {
    102_500
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioSource {
    started: Option<i64>,
    #[serde(default)]
    host_network: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioEndpoint {
    pod: Option<String>,
    node: Option<String>,
    #[serde(default)]
    gone: bool,
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

/// What walks that passed took: half of them, and nearly all. In milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioLatency {
    #[serde(default = "hundred")]
    samples: usize,
    connect: [u64; 2],
    whole: [u64; 2],
}

fn hundred() -> usize {
    100
}

impl ScenarioLatency {
    /// Under the limits of the profile Lan.
    fn facts(&self) -> Latency {
        let quantiles = |[p50, p99]: [u64; 2]| Quantiles {
            p50: Duration::from_millis(p50),
            p99: Duration::from_millis(p99),
        };
        Latency {
            samples: self.samples,
            connect: quantiles(self.connect),
            whole: quantiles(self.whole),
            connect_limit: Duration::from_secs(2),
            whole_limit: Duration::from_secs(3),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    #[serde(default)]
    at: i64,
    /// Words of [`decision`]; empty allows.
    deny: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioControl {
    pod: String,
    address: SocketAddr,
    proves: Vec<IpAddr>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum ScenarioCoverage {
    #[default]
    Reporting,
    NotInjected,
    NotReporting {
        #[serde(default)]
        denied: bool,
        #[serde(default, rename = "replacedRoot")]
        replaced_root: bool,
    },
}

/// What must be said.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// What was observed.
    pub observed: Observed,
    /// The code.
    pub reason: Option<Reason>,
    /// Its stage.
    pub stage: Stage,
    /// How sure it is.
    pub confidence: Confidence,
    /// `namespace/name direction`.
    pub policy: Option<String>,
    /// What comes of it, by the first walk.
    pub outcome: Outcome,
    /// Each is part of some line, which begins with the topic.
    #[serde(default)]
    pub says: Vec<String>,
    /// None is part of any line.
    #[serde(default)]
    pub never_says: Vec<String>,
}

impl ScenarioEndpoint {
    fn facts(&self) -> EndpointFacts {
        let seen = |at_ms: Option<i64>, who: &str| at_ms.map(|ms| Sighting { who: who.into(), at: at(ms) });
        EndpointFacts {
            pod: self.pod.clone(),
            gone: self.gone,
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

fn histories(
    changes: &BTreeMap<SocketAddr, Vec<Change>>,
    endpoints: &BTreeMap<IpAddr, ScenarioEndpoint>,
) -> Vec<EndpointDecision> {
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
        ScenarioCoverage::NotReporting { denied, replaced_root } => {
            let hub = "10.244.1.200:8443".parse().unwrap();
            let denies = |hub| Arc::new(decision(hub, Some("peerwalk/hub-0"), &["egress".into()]));
            Coverage::NotReporting { hub: denied.then(|| denies(hub)), replaced_root: *replaced_root }
        }
    }
}

/// Everything a [`Case`] borrows.
#[derive(Debug)]
pub struct Situation {
    expect: Expectation,
    wants_request: bool,
    evidence: Option<PairEvidence>,
    decisions: Vec<EndpointDecision>,
    facts: Facts,
    now: i64,
}

impl Scenario {
    /// Reads the text of a file.
    pub fn read(text: &str) -> Result<Self, serde_saphyr::Error> {
        serde_saphyr::from_str(text)
    }

    /// The code that a user sees of it. What is reachable has one only where a denial was expected.
    pub fn shows(&self) -> Option<Reason> {
        let violates =
            self.verdict.observed == Observed::Reachable && self.verdict.outcome == Outcome::Failed;
        self.verdict.reason.or(violates.then_some(Reason::UnexpectedlyReachable))
    }

    /// What is judged.
    pub fn situation(self) -> Situation {
        let control = |control: ScenarioControl| Control {
            pod: control.pod,
            address: control.address,
            proves: control.proves,
        };
        let facts = Facts {
            coverage: coverage(&self.coverage),
            source: SourceFacts {
                pod: "shop/web".into(),
                addresses: vec![SOURCE.parse().unwrap()],
                node: Some(node("n1")),
                host_network: self.source.host_network,
                started: self.source.started.map(at),
            },
            dns: histories(&self.dns_decisions, &self.endpoints),
            endpoints: self.endpoints.iter().map(|(ip, endpoint)| (*ip, endpoint.facts())).collect(),
            pod_offenders: self.pod_offenders,
            controls: self.controls.into_iter().map(control).collect(),
            unreadable_policy_kinds: self.unreadable_policy_kinds,
            latency: self.latency.as_ref().map(ScenarioLatency::facts),
            names_service: self.names_service,
            services_unheard: self.services_unheard,
            ..Facts::alone(self.target.facts())
        };
        let attestations = self.attestations.iter().map(ScenarioAttestation::attestation).collect();
        let evidence =
            self.walk.map(|walk| PairEvidence { attestations, awaited: self.awaited, ..walk.evidence() });
        Situation {
            expect: self.expect,
            wants_request: self.wants_request,
            evidence,
            decisions: histories(&self.decisions, &self.endpoints),
            facts,
            now: self.now,
        }
    }
}

impl Situation {
    /// The case of it.
    pub fn case(&self) -> Case<'_> {
        Case {
            expect: self.expect,
            wants_request: self.wants_request,
            evidence: self.evidence.as_ref(),
            decisions: &self.decisions,
            facts: &self.facts,
            now: at(self.now),
        }
    }

    /// What a person reads of a verdict about it.
    pub fn explained(&self, verdict: &Verdict) -> String {
        let walk = self.evidence.as_ref().map(|evidence| &evidence.walk);
        explain("shop/web", &self.aim(), verdict, walk)
    }

    /// The target as the operator would name it.
    fn aim(&self) -> String {
        let walk = self.evidence.as_ref().map(|evidence| &evidence.walk);
        let name = || Some(walk?.resolve.as_ref()?.name.clone());
        let url = || Some(walk?.request.as_ref()?.url.clone());
        let dialled = || Some(format!("tcp://{}", walk?.connect.as_ref()?.dials.first()?.remote));
        let known = match &self.facts.target {
            TargetFacts::Service(service) => Some(format!("{}:{}", service.name, service.port)),
            TargetFacts::Url { .. } => url().or_else(dialled).or_else(name),
            TargetFacts::Dns => name(),
        };
        known.unwrap_or_else(|| "https://payments.example.com".to_owned())
    }
}
