//! `peerwalk-sidecar probe`: walks targets once, from wherever it runs, and says what it found.

mod args;
mod output;
mod peers;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_diagnosis::{Case, Facts, PairEvidence, TargetFacts, judge};
use peerwalk_model::evidence::Trigger;
use peerwalk_model::plan::{Control, PlannedTarget, RecordType, Retries, TargetKind};
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Observed, TargetKey, Verdict, Walk};
use peerwalk_probe::{ContainerEnv, DialRules, Environment, Family, Prober};

use peers::Peers;

pub use args::{ControlName, Expect, FamilyArg, Output, ProbeArgs};
pub use target::Target;

const AS_EXPECTED: u8 = 0;
const NOT_AS_EXPECTED: u8 = 1;
/// As clap has it for arguments that it refuses itself.
const USAGE: u8 = 2;
/// The exit code where nothing certain can be said.
pub const UNKNOWN: u8 = 3;

/// Walks the targets one after the other and prints each as soon as it is judged. The worst exit code wins,
/// in the order 2, 1, 3, 0; output that cannot be written counts as unknown, and ends no walk.
pub async fn run(args: ProbeArgs) -> ExitCode {
    if let Some(conflict) = args.conflict() {
        let _ = writeln!(io::stderr(), "error: {conflict}\n\nFor more information, try '--help'.");
        return ExitCode::from(USAGE);
    }
    let expect = args.expect.expectation();
    let peers = Arc::new(Peers::new(&args.peer));
    let prober = prober(&args, &peers);
    let controls = controls(&prober, &args.control).await;
    let (mut code, mut written) = (AS_EXPECTED, Ok(()));
    for target in &args.targets {
        let planned = plan(target, &args, controls.clone());
        peers.begin().await;
        let (walk, planned) = walk(&prober, target, planned, args.family).await;
        let attestations = peers.end(&walk).await;
        let evidence = PairEvidence { attestations, ..PairEvidence::first(walk) };
        let verdict = verdict(&evidence, &planned, expect);
        code = worse(code, exit_code(expect, verdict.observed));
        // What follows a line that broke off would not be read as what it is.
        if written.is_ok() {
            written = write(target, &evidence, &verdict, args.output);
        }
    }
    if let Err(error) = written {
        let _ = writeln!(io::stderr(), "error: the output cannot be written: {error}");
        code = worse(code, UNKNOWN);
    }
    ExitCode::from(code)
}

/// A walk has no witness where there is nobody to ask.
fn prober(args: &ProbeArgs, peers: &Arc<Peers>) -> Prober {
    let prober = Prober::new(environment(args.family));
    if args.peer.is_empty() { prober } else { prober.with_witness(Arc::clone(peers) as _) }
}

/// A person may dial anything; proxies are those of our own environment.
fn environment(family: Option<FamilyArg>) -> Environment {
    let is_proxy = |name: &str| name.to_ascii_lowercase().ends_with("_proxy") || name == "REQUEST_METHOD";
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_proxy(name))
        .collect();
    let own = ContainerEnv { name: "environment".to_owned(), variables, not_visible: false, complete: true };
    Environment {
        containers: vec![own],
        rules: DialRules::Anything,
        family: family.map(FamilyArg::family),
        ..Environment::default()
    }
}

/// The addresses of the controls. One that does not resolve is left out, and said so.
async fn controls(prober: &Prober, names: &[ControlName]) -> Vec<Control> {
    let mut controls = Vec::new();
    for name in names {
        let addresses = prober.addresses(&name.host).await;
        if addresses.is_empty() {
            let _ = writeln!(io::stderr(), "warning: control {name} does not resolve and is left out");
        }
        controls.extend(addresses.into_iter().map(|ip| Control {
            pod: name.to_string(),
            address: (ip, name.port).into(),
            proves: Vec::new(),
        }));
    }
    controls
}

fn plan(target: &Target, args: &ProbeArgs, controls: Vec<Control>) -> PlannedTarget {
    let record = if args.family == Some(FamilyArg::V6) { RecordType::Aaaa } else { RecordType::A };
    PlannedTarget {
        kind: target.kind(record),
        http: target.http(),
        connect_timeout: args.timeout.min(Duration::from_secs(2)),
        total_timeout: args.timeout,
        interval: Duration::ZERO,
        retries: Retries {
            attempts: 2,
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(2),
        },
        controls,
    }
}

/// Walks a target. A name without IPv4 address is asked for its IPv6 address too, unless a family is given.
async fn walk(
    prober: &Prober,
    target: &Target,
    mut planned: PlannedTarget,
    family: Option<FamilyArg>,
) -> (Walk, PlannedTarget) {
    let key = TargetKey { check: "probe".to_owned(), target: target.to_string() };
    let walk = prober.walk(key.clone(), &planned, 0, Trigger::Event, |_| {}).await;
    let found = walk.resolve.as_ref().is_some_and(|resolve| !resolve.addresses.is_empty());
    if let (TargetKind::Dns(dns), None, false) = (&mut planned.kind, family, found) {
        dns.record = RecordType::Aaaa;
        let second = prober.walk(key, &planned, 0, Trigger::Event, |_| {}).await;
        if second.resolve.as_ref().is_some_and(|resolve| !resolve.addresses.is_empty()) {
            return (second, planned);
        }
    }
    (walk, planned)
}

/// Judges with what a probe alone can know: nothing of the cluster. A control that was given stands on the
/// way to every address.
fn verdict(evidence: &PairEvidence, planned: &PlannedTarget, expect: Expectation) -> Verdict {
    let target = match planned.kind {
        TargetKind::Dns(_) => TargetFacts::Dns,
        TargetKind::Service(_) | TargetKind::Url(_) => TargetFacts::Url { allowed: true },
    };
    let walk = &evidence.walk;
    let mut facts = Facts::alone(target);
    let dialled: Vec<_> =
        walk.connect.iter().flat_map(|connect| &connect.dials).map(|dial| dial.remote.ip()).collect();
    let proves = |control: &Control| Control { proves: dialled.clone(), ..control.clone() };
    facts.controls = planned.controls.iter().map(proves).collect();
    judge(&Case {
        expect,
        wants_request: planned.http.is_some(),
        evidence: Some(evidence),
        decisions: &[],
        facts: &facts,
        now: walk.ended,
    })
}

fn write(target: &Target, evidence: &PairEvidence, verdict: &Verdict, format: Output) -> io::Result<()> {
    let text = text(target, evidence, verdict, format)?;
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn text(target: &Target, evidence: &PairEvidence, verdict: &Verdict, format: Output) -> io::Result<String> {
    let walk = &evidence.walk;
    let name = target.to_string();
    match format {
        Output::Text => Ok(peerwalk_diagnosis::explain("here", &name, verdict, Some(walk))),
        Output::Json => {
            let report = output::Report::new(&name, walk, verdict).with_peers(&evidence.attestations);
            Ok(format!("{}\n", serde_json::to_string(&report).map_err(io::Error::other)?))
        }
    }
}

fn exit_code(expect: Expectation, observed: Observed) -> u8 {
    match (expect, observed) {
        (Expectation::Reachable, Observed::Reachable) | (Expectation::Denied, Observed::Denied) => {
            AS_EXPECTED
        }
        (Expectation::Reachable, Observed::Denied | Observed::Unreachable)
        | (Expectation::Denied, Observed::Reachable) => NOT_AS_EXPECTED,
        // A target that is down is not thereby denied.
        (_, Observed::Unknown) | (Expectation::Denied, Observed::Unreachable) => UNKNOWN,
    }
}

fn worse(one: u8, other: u8) -> u8 {
    let rank = |code| match code {
        NOT_AS_EXPECTED => 2,
        UNKNOWN => 1,
        _ => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

impl FamilyArg {
    fn family(self) -> Family {
        match self {
            Self::V4 => Family::V4,
            Self::V6 => Family::V6,
        }
    }
}

#[cfg(test)]
mod tests;
