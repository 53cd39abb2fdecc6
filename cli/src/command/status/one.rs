//! All that is known of one check, for whoever was woken by it.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use peerwalk_api::condition::{COVERED, READY, RECONCILING, STALLED};
use peerwalk_api::status::{Outage, Outcome, PolicyStatus, Stage, TargetStatus};
use peerwalk_api::target::Expectation;
use peerwalk_api::{ConnectivityCheckSpec, Target};
use peerwalk_model::Reason;

use crate::age::{age, moment};
use crate::check::Check;
use crate::print::{clean, columns, paint};

/// In this order, and then whatever else a later version writes.
const CONDITIONS: [&str; 4] = [READY, COVERED, RECONCILING, STALLED];

/// All of it.
pub(super) fn text(check: &Check, now: Timestamp) -> String {
    let mut text = String::new();
    head(&mut text, check, now);
    conditions(&mut text, check, now);
    counts(&mut text, check);
    targets(&mut text, check, now);
    outages(&mut text, check, now);
    walks(&mut text, check);
    text
}

fn head(text: &mut String, check: &Check, now: Timestamp) {
    let (namespace, name, generation) = (&check.namespace, &check.name, check.generation);
    let ready = check.ready();
    let word = ready.map_or("Unknown", |ready| ready.status.as_str());
    let reason = ready.map_or(String::new(), |ready| clean(&ready.reason));
    let since =
        check.status.since.as_ref().map_or(String::new(), |since| format!(", {}", long_ago(since, now)));
    let _ = writeln!(text, "{namespace}/{name}   Ready {} {reason}{since}", paint(word));
    match check.status.observed_generation {
        _ if check.current => {}
        None | Some(-1) => text.push_str(
            "No operator has seen this check yet. If that stays, none leads: docs/operations.md, PeerwalkOperatorAbsent.\n",
        ),
        Some(observed) => {
            let _ = writeln!(
                text,
                "Everything below is said of generation {observed}; nothing has been said of generation {generation} yet."
            );
        }
    }
    if let Some(ready) = ready.filter(|ready| !ready.message.is_empty()) {
        let _ = writeln!(text, "\n  {}", clean(&ready.message));
    }
    let code = ready.and_then(|ready| reason_of(&ready.reason));
    remedy(text, "  ", code);
}

/// What the code means and what to do, as the catalogue has it.
fn remedy(text: &mut String, indent: &str, code: Option<Reason>) {
    if let Some(code) = code {
        let _ = writeln!(text, "{indent}{code}: {}", code.meaning());
        let _ = writeln!(text, "{indent}To do: {}", code.remedy());
    }
}

fn reason_of(code: &str) -> Option<Reason> {
    code.parse().ok()
}

fn conditions(text: &mut String, check: &Check, now: Timestamp) {
    let all = &check.status.conditions;
    let ours = CONDITIONS.iter().filter_map(|name| check.status.condition(name));
    let others = all.iter().filter(|condition| !CONDITIONS.contains(&condition.type_.as_str()));
    let rows: Vec<Vec<String>> = ours
        .chain(others)
        .map(|condition| {
            // Ready's message stands above.
            let message = if condition.type_ == READY { String::new() } else { clean(&condition.message) };
            vec![
                format!("  {}", clean(&condition.type_)),
                match condition.type_.as_str() {
                    READY | COVERED => paint(condition.status.as_str()),
                    _ => condition.status.as_str().to_owned(),
                },
                clean(&condition.reason),
                long_ago(&condition.last_transition_time, now),
                message,
            ]
        })
        .collect();
    if !rows.is_empty() {
        let _ = write!(text, "\nConditions\n{}", columns(&rows));
    }
}

fn counts(text: &mut String, check: &Check) {
    let Some(summary) = &check.status.summary else { return };
    let _ = writeln!(
        text,
        "\nPairs of source pod and target: {} of {} as expected, {} failed, {} unknown; {} of {} source pods report",
        summary.as_expected, summary.pairs, summary.failed, summary.unknown, summary.reporting, summary.pods
    );
}

fn targets(text: &mut String, check: &Check, now: Timestamp) {
    if check.status.targets.is_empty() {
        return;
    }
    text.push_str("\nTargets\n");
    let shown = check.ready().and_then(|ready| reason_of(&ready.reason));
    let mut told: Vec<Reason> = shown.into_iter().collect();
    for row in &check.status.targets {
        let asked = check.spec.as_ref().and_then(|spec| of_spec(spec, &row.name));
        target(text, check, row, asked, now);
        // Each code is told once.
        let code = row.reason.as_deref().and_then(reason_of).filter(|code| !told.contains(code));
        if row.outcome != Outcome::AsExpected {
            remedy(text, "      ", code);
            told.extend(code);
        }
    }
    if let Some(omitted) = check.status.omitted.filter(|omitted| *omitted > 0) {
        let _ = writeln!(text, "  and {omitted} more, which the object has no room for");
    }
}

fn of_spec<'a>(spec: &'a ConnectivityCheckSpec, name: &str) -> Option<&'a Target> {
    spec.targets.iter().find(|target| target.name == name)
}

fn target(text: &mut String, check: &Check, row: &TargetStatus, asked: Option<&Target>, now: Timestamp) {
    let outcome = match row.outcome {
        Outcome::AsExpected => "AsExpected",
        Outcome::Failed => "Failed",
        Outcome::Unknown => "Unknown",
    };
    let mut line = format!("  {}   {}   {:?}", clean(&row.name), paint(outcome), row.observed);
    if let Some(reason) = &row.reason {
        let _ = write!(line, ", {}", clean(reason));
    }
    if let Some(stage) = row.stage {
        let _ = write!(line, " at {}", stage_word(stage));
    }
    if let Some(confidence) = row.confidence {
        let _ = write!(line, " ({})", format!("{confidence:?}").to_lowercase());
    }
    if let Some(since) = &row.since {
        let _ = write!(line, ", {}", long_ago(since, now));
    }
    let _ = writeln!(text, "{line}");
    if let Some(asked) = asked {
        let expected = match asked.expect {
            Expectation::Denied => "Denied",
            Expectation::Reachable => "Reachable",
        };
        let _ = writeln!(text, "      asked: {}, expected {expected}", aim(asked, &check.namespace));
    }
    let pods = row.pods;
    let _ = writeln!(
        text,
        "      pods: {} as expected, {} failed, {} unknown",
        pods.as_expected, pods.failed, pods.unknown
    );
    if let Some(policy) = &row.policy {
        let _ = writeln!(text, "      policy: {}", policy_words(policy));
    }
    if !row.message.is_empty() {
        let _ = writeln!(text, "      {}", clean(&row.message));
    }
    for sample in &row.samples {
        let _ = writeln!(text, "      because {}", clean(sample));
    }
}

/// What a target leads to, as its owner wrote it.
fn aim(target: &Target, namespace: &str) -> String {
    if let Some(service) = &target.service {
        let namespace = service.namespace.as_deref().unwrap_or(namespace);
        let name = target.hostname.as_ref().map_or(String::new(), |name| format!(" by the name {name}"));
        return format!("Service {namespace}/{}:{}{name}", service.name, port(&service.port));
    }
    if let Some(url) = &target.url {
        return clean(url);
    }
    target
        .dns
        .as_ref()
        .map_or("nothing that this version knows".to_owned(), |dns| format!("lookup of {}", dns.name))
}

fn port(port: &k8s_openapi::apimachinery::pkg::util::intstr::IntOrString) -> String {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => clean(name),
    }
}

fn policy_words(policy: &PolicyStatus) -> String {
    let place =
        if policy.namespace.is_empty() { String::new() } else { format!("{}/", clean(&policy.namespace)) };
    let rule = policy.rule.map_or(", no rule of it admits this".to_owned(), |rule| format!(", rule {rule}"));
    let direction = format!("{:?}", policy.direction).to_lowercase();
    format!("{direction}, {} {place}{}{rule}", clean(&policy.kind), clean(&policy.name))
}

const fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolve => "Resolve",
        Stage::Route => "Route",
        Stage::Connect => "Connect",
        Stage::Tls => "Tls",
        Stage::Request => "Request",
    }
}

fn outages(text: &mut String, check: &Check, now: Timestamp) {
    if check.status.outages.is_empty() {
        return;
    }
    let row = |outage: &Outage| {
        let end = outage.end.as_ref().map_or(format!("lasts, {}", age(outage.start.0, now)), |end| {
            format!("to {}, {}", moment(end.0), age(outage.start.0, end.0))
        });
        let why = outage.reason.as_deref().map_or("no operator judged".to_owned(), clean);
        let stage = outage.stage.map_or(String::new(), |stage| format!("at {}", stage_word(stage)));
        vec![format!("  {}", clean(&outage.target)), moment(outage.start.0), end, why, stage]
    };
    // The latest is what people look for.
    let rows: Vec<Vec<String>> = check.status.outages.iter().rev().map(row).collect();
    let _ = write!(text, "\nOutages, the latest first\n{}", columns(&rows));
}

/// Where the rest is.
fn walks(text: &mut String, check: &Check) {
    let _ = writeln!(
        text,
        "\nEvery walk, stage by stage: http://localhost:8082/explain/{}/{} of the operator that leads (docs/operations.md, \
         Replicas and take-over)",
        check.namespace, check.name
    );
}

fn long_ago(since: &Time, now: Timestamp) -> String {
    if since.0 == Timestamp::UNIX_EPOCH {
        return "never changed".to_owned();
    }
    format!("since {} ({})", moment(since.0), age(since.0, now))
}

#[cfg(test)]
mod tests;
