//! What is missing before anything can be judged: the right to ask, the target, the sidecar, fresh evidence.

use std::net::IpAddr;

use peerwalk_model::address::never_dialled;
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Verdict};

use super::unreachable;
use crate::address::Answer;
use crate::case::Case;
use crate::facts::{Coverage, GRACE, TargetFacts};
use crate::policy_text;
use crate::view::View;

/// What can be said without looking at what a walk found.
pub(crate) fn without_evidence(case: &Case) -> Option<Verdict> {
    not_allowed(case)
        .or_else(|| target_not_found(case))
        .or_else(|| service_port_not_found(case))
        .or_else(|| stale(case))
}

fn not_allowed(case: &Case) -> Option<Verdict> {
    let TargetFacts::Url { allowed: false } = case.facts.target else { return None };
    Some(forbidden("the operator's configuration does not list the host or its addresses".into()))
}

/// Every address that the name led to may not be dialled.
pub(crate) fn address_not_allowed(view: &View) -> Option<Verdict> {
    let refused: Vec<IpAddr> = view
        .addresses
        .iter()
        .filter(|address| address.answer == Answer::NotAllowed)
        .map(|address| address.remote.ip())
        .collect();
    let any_tried = view.addresses.iter().any(|address| address.answer.was_tried());
    if refused.is_empty() || any_tried {
        return None;
    }
    let behind_service = view.facts.service().is_some() || view.facts.names_service;
    if behind_service && !refused.iter().all(|ip| never_dialled(*ip)) {
        return Some(elsewhere(&refused));
    }
    Some(forbidden(format!(
        "{} may not be dialled: it is neither part of the target nor listed by the operator's configuration",
        listed(&refused)
    )))
}

/// The name of a Service leads to none of the addresses that the source pod may dial for it. That is no fault of the
/// check while name servers and plans follow the cluster each in their own time.
fn elsewhere(refused: &[IpAddr]) -> Verdict {
    let text = format!(
        "the name leads to {}, which is none of the addresses that the source pod was asked to dial: an answer of \
         before the Service or its pods changed, or more endpoints than one pod dials; an answer with a present \
         address would decide",
        listed(refused)
    );
    Verdict::unknown(Reason::NotProven, Stage::Resolve, vec![Because::new(Topic::Missing, text)])
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn forbidden(text: String) -> Verdict {
    let because = vec![Because::new(Topic::Missing, text)];
    Verdict {
        confidence: Confidence::Confirmed,
        ..Verdict::unknown(Reason::TargetNotAllowed, Stage::Connect, because)
    }
}

fn target_not_found(case: &Case) -> Option<Verdict> {
    let service = case.facts.service().filter(|service| !service.found)?;
    let text = format!("there is no Service {}", service.name);
    Some(Verdict::unknown(Reason::TargetNotFound, Stage::Resolve, vec![Because::new(Topic::Service, text)]))
}

fn service_port_not_found(case: &Case) -> Option<Verdict> {
    let service = case.facts.service().filter(|service| !service.port_found)?;
    let text = format!("Service {} has no TCP port {}; only TCP is walked", service.name, service.port);
    let mut because = vec![Because::new(Topic::Service, text)];
    if service.asked.is_some_and(|at| at.plus(GRACE) > case.now) {
        let text =
            "checks and Services are heard of each in their own time: the Service may have the port by now";
        because.push(Because::new(Topic::Missing, text));
        return Some(Verdict::unknown(Reason::ServicePortNotFound, Stage::Connect, because));
    }
    Some(unreachable(Reason::ServicePortNotFound, Stage::Connect, Confidence::Confirmed, because))
}

/// The source pod has not said anything yet.
pub(crate) fn nothing_yet(case: &Case) -> Verdict {
    silent_source(case).unwrap_or_else(|| {
        let text = "the source pod has not completed a walk of this target yet";
        Verdict::unknown(Reason::Probing, Stage::Resolve, vec![Because::new(Topic::Missing, text)])
    })
}

fn stale(case: &Case) -> Option<Verdict> {
    let evidence = case.evidence?;
    if case.now.since(evidence.ended) <= case.facts.stale_after {
        return None;
    }
    Some(silent_source(case).unwrap_or_else(|| {
        let text = "the last completed walk is older than staleAfter";
        Verdict::unknown(Reason::ResultsStale, Stage::Resolve, vec![Because::new(Topic::Missing, text)])
    }))
}

/// Why the source pod says nothing, where that is known.
fn silent_source(case: &Case) -> Option<Verdict> {
    match &case.facts.coverage {
        Coverage::Reporting => None,
        Coverage::NotInjected => {
            let text = "the source pod runs without the sidecar: kubectl rollout restart its workload";
            Some(Verdict::unknown(
                Reason::NotInjected,
                Stage::Resolve,
                vec![Because::new(Topic::Missing, text)],
            ))
        }
        Coverage::NotReporting { replaced_root: true, .. } => {
            let text = "the source pod was injected under a replaced root and cannot verify the hub: restart it \
                        (kubectl rollout restart its workload)";
            let because = vec![Because::new(Topic::Missing, text)];
            Some(Verdict::unknown(Reason::NotReporting, Stage::Resolve, because))
        }
        Coverage::NotReporting { hub, .. } => {
            let mut because = vec![Because::new(
                Topic::Missing,
                "the sidecar of the source pod is not attached to the hub",
            )];
            if let Some(decision) = hub.as_deref().filter(|decision| !decision.is_allowed()) {
                because.extend(policy_text::denial(decision));
                because.extend(policy_text::fixes_to_copy(decision));
            }
            Some(Verdict::unknown(Reason::NotReporting, Stage::Resolve, because))
        }
    }
}
