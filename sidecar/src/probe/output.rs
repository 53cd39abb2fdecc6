//! One JSON object for each target. The shape is documented in `docs/probe-output.md`.

use std::net::IpAddr;
use std::time::Duration;

use peerwalk_diagnosis::Attestation;
use peerwalk_model::evidence::{
    AfterConnect, Connect, DialOutcome, DialPurpose, ProxyAttempt, Request, RequestOutcome, Resolve, Route,
    Strain, Tls, TlsOutcome,
};
use peerwalk_model::peer::Saw;
use peerwalk_model::{Because, Confidence, Observed, Reason, Stage, Timestamp, Verdict, Walk};
use serde::Serialize;

/// A walk and its verdict.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    target: &'a str,
    result: Observed,
    reason: Option<Reason>,
    stage: Stage,
    confidence: Confidence,
    because: &'a [Because],
    addresses: Vec<IpAddr>,
    stages: Vec<StageReport<'a>>,
    after: Option<&'a AfterConnect>,
    strain: Option<&'a Strain>,
    peers: Vec<PeerReport<'a>>,
}

/// What a peer saw of the walk's dials at one moment.
#[derive(Debug, Serialize)]
struct PeerReport<'a> {
    who: &'a str,
    endpoint: bool,
    at: Timestamp,
    saw: &'a Saw,
}

/// One stage that was reached.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StageReport<'a> {
    stage: Stage,
    passed: bool,
    elapsed_ms: f64,
    evidence: Evidence<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Evidence<'a> {
    Resolve(&'a Resolve),
    Route { route: &'a Route, proxied: Option<&'a ProxyAttempt> },
    Connect(&'a Connect),
    Tls(&'a Tls),
    Request(&'a Request),
}

impl<'a> Report<'a> {
    pub(super) fn new(target: &'a str, walk: &'a Walk, verdict: &'a Verdict) -> Self {
        Self {
            target,
            result: verdict.observed,
            reason: verdict.reason,
            stage: verdict.stage,
            confidence: verdict.confidence,
            because: &verdict.because,
            addresses: addresses(walk),
            stages: stages(walk, verdict),
            after: walk.after.as_ref(),
            strain: walk.strain.as_ref(),
            peers: Vec::new(),
        }
    }

    pub(super) fn with_peers(self, attestations: &'a [Attestation]) -> Self {
        let peer = |one: &'a Attestation| {
            let Attestation { who, endpoint, at, saw } = one;
            PeerReport { who, endpoint: *endpoint, at: *at, saw }
        };
        Self { peers: attestations.iter().map(peer).collect(), ..self }
    }
}

/// What the name led to, or the address that was given.
fn addresses(walk: &Walk) -> Vec<IpAddr> {
    if let Some(resolve) = &walk.resolve {
        return resolve.addresses.clone();
    }
    let mut found = Vec::new();
    for dial in walk.connect.iter().flat_map(|connect| &connect.dials) {
        if dial.purpose != DialPurpose::Control && !found.contains(&dial.remote.ip()) {
            found.push(dial.remote.ip());
        }
    }
    found
}

fn stages<'a>(walk: &'a Walk, verdict: &Verdict) -> Vec<StageReport<'a>> {
    let mut stages = Vec::new();
    let mut add = |stage, passed, elapsed, evidence| {
        stages.push(StageReport { stage, passed, elapsed_ms: ms(elapsed), evidence });
    };
    if let Some(resolve) = &walk.resolve {
        let passed = !resolve.addresses.is_empty();
        add(Stage::Resolve, passed, resolve.elapsed, Evidence::Resolve(resolve));
    }
    if let Some(route) = &walk.route {
        let passed = verdict.reason.is_none() || verdict.stage != Stage::Route;
        let elapsed = walk.proxied.as_ref().map_or(Duration::ZERO, |attempt| attempt.elapsed);
        add(Stage::Route, passed, elapsed, Evidence::Route { route, proxied: walk.proxied.as_ref() });
    }
    if let Some(connect) = &walk.connect {
        let target = connect.dials.iter().filter(|dial| dial.purpose != DialPurpose::Control);
        let is_answer = |outcome: &DialOutcome| {
            matches!(outcome, DialOutcome::Connected { .. } | DialOutcome::Answered { .. })
        };
        let passed = target.clone().any(|dial| is_answer(&dial.outcome));
        let elapsed = target.map(|dial| dial.elapsed).max().unwrap_or_default();
        add(Stage::Connect, passed, elapsed, Evidence::Connect(connect));
    }
    if let Some(tls) = &walk.tls {
        add(Stage::Tls, tls.outcome == TlsOutcome::Established, tls.elapsed, Evidence::Tls(tls));
    }
    if let Some(request) = &walk.request {
        let passed =
            matches!(request.outcome, RequestOutcome::Status(status) if status < request.status_below);
        add(Stage::Request, passed, request.elapsed, Evidence::Request(request));
    }
    stages
}

/// Milliseconds to the microsecond: finer figures are noise.
#[allow(clippy::cast_precision_loss)]
fn ms(elapsed: Duration) -> f64 {
    elapsed.as_micros() as f64 / 1000.0
}
