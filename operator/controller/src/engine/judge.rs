//! Judging the pairs of a check, and the status that follows from it.

use peerwalk_api::{ConnectivityCheck, Target};
use peerwalk_diagnosis::{Case, PairEvidence, Run, Says, Thresholds, judge, outcome, says};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Outcome, PodRef, Reason, TargetKey, Timestamp, Verdict};

use super::checks::{CheckState, PairState};
use super::facts::Pair;
use super::status::{self, PairView, Round};
use super::target::Resolved;
use super::tell::{Fallen, tell};
use super::{Engine, Output, Touched, limits};
use crate::cluster::record::{ObjectKey, Pod};
use crate::evidence::TargetEvidence;

/// What was found in the pairs of a check.
#[derive(Debug, Default)]
struct Found {
    views: Vec<PairView>,
    fallen: Vec<Fallen>,
}

impl Engine {
    /// Judges every check that was touched.
    pub(super) fn judge_touched(&mut self, touched: &Touched, now: Timestamp, outputs: &mut Vec<Output>) {
        let keys: Vec<ObjectKey> = self
            .index
            .checks()
            .map(|(key, _)| key)
            .filter(|key| self.concerned(key, touched))
            .cloned()
            .collect();
        for key in keys {
            self.judge_check(&key, now, outputs);
        }
    }

    fn concerned(&self, key: &ObjectKey, touched: &Touched) -> bool {
        let Some(state) = self.checks.get(key) else { return true };
        touched.all
            || touched.checks.contains(key)
            || touched.namespaces.contains(&key.namespace)
            || touched
                .pods
                .iter()
                .any(|pod| state.selection.sampled.binary_search(pod).is_ok() || state.looks_for(pod))
            || state.targets.iter().filter_map(Resolved::service).any(|service| {
                touched.services.contains(service) || touched.namespaces.contains(&service.namespace)
            })
    }

    fn judge_check(&mut self, key: &ObjectKey, now: Timestamp, outputs: &mut Vec<Output>) {
        let Some(check) = self.index.check(key).cloned() else { return };
        let Some(mut state) = self.checks.remove(key) else { return };
        state.judged = now;
        let mut found = Found::default();
        if !check.spec.suspend {
            for pod in state.selection.sampled.clone() {
                self.judge_pod(key, &check, &mut state, &pod, now, &mut found);
            }
        }
        let round = self.round(key, &check, &state, found.views);
        let base = status::ours(check.status.clone().unwrap_or_default());
        let version = check.metadata.resource_version.as_deref().unwrap_or_default();
        let before = state.outgoing.pending(version).unwrap_or(&base).clone();
        let said = status::status(&check, &round, &before, &mut state.progress, now);
        state.waiting = status::waits(&said);
        let held = self.holds_back(&check, &base, &round, &said, now);
        self.show(key, if held { &base } else { &said });
        if said == base {
            state.outgoing.nothing_to_say(&base);
        } else if !held {
            outputs.extend(tell(key, &check, &base, said, &mut state.outgoing, now));
        }
        self.tell_pods(found.fallen, &base, now, outputs);
        self.checks.insert(key.clone(), state);
    }

    fn judge_pod(
        &mut self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        state: &mut CheckState,
        pod: &PodRef,
        now: Timestamp,
        found: &mut Found,
    ) {
        let Some(record) = self.index.pod(&ObjectKey::new(&pod.namespace, &pod.name)).cloned() else {
            return;
        };
        let hub = self.hub_denied(&record);
        let heard = self.evidence.pod(pod).is_some_and(|told| told.last_heard.is_some());
        let young = now.since(began(&record)) < check.spec.progress_deadline.get();
        for (position, target) in check.spec.targets.iter().enumerate() {
            let Some(resolved) = state.targets.get(position) else { continue };
            let target_key = TargetKey { check: key.name.clone(), target: target.name.clone() };
            let evidence = self.evidence_of(pod, &target_key);
            let pair = Pair {
                source: &record,
                key: &target_key,
                resolved,
                evidence,
                stale_after: check.spec.stale_after(),
                now,
            };
            let facts = self.facts(&pair, hub.clone());
            let decisions = self.decisions_of(&pair);
            let walked = evidence.map(|e| PairEvidence {
                walk: e.walk.clone(),
                since: e.since,
                started: e.started,
                ended: e.ended,
                consecutive: e.consecutive,
            });
            let verdict = judge(&Case {
                expect: target.expect.into(),
                wants_request: target.http_request().is_some(),
                evidence: walked.as_ref(),
                decisions: &decisions,
                facts: &facts,
                now,
            });
            let surplus = self.plans.get(pod).is_some_and(|plan| plan.surplus.contains(&target_key));
            let verdict = if surplus { limits::not_walked() } else { verdict };
            let place = (pod.clone(), target.name.clone());
            let before = state.pairs.get(&place);
            let next = follow(before, target, check, evidence, verdict);
            if next.outcome == Outcome::Failed && before.is_none_or(|b| b.outcome != Outcome::Failed) {
                found.fallen.push(Fallen {
                    pod: pod.clone(),
                    target: target.name.clone(),
                    first: before.is_none_or(|b| !b.decided),
                    since: began(&record),
                    verdict: next.shown.clone(),
                });
            }
            found.views.push(PairView::new(&record, position, (&facts, heard), &next, young));
            state.pairs.insert(place, next);
        }
    }

    /// The evidence of a target as it is now meant.
    pub(super) fn evidence_of(&self, pod: &PodRef, key: &TargetKey) -> Option<&TargetEvidence> {
        let evidence = self.evidence.pod(pod)?.target(key)?;
        self.plans.get(pod)?.counts(key, evidence.plan_generation).then_some(evidence)
    }

    fn round(
        &self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        state: &CheckState,
        pairs: Vec<PairView>,
    ) -> Round {
        let bundles = check.spec.targets.iter().filter_map(|target| target.tls.as_ref());
        let roots = bundles.filter_map(|tls| {
            let bundle = &tls.ca_bundle.config_map;
            let place = (ObjectKey::new(&key.namespace, &bundle.name), bundle.key.clone());
            let error = self.roots.get(&place)?.as_ref().err()?;
            Some((bundle.name.clone(), bundle.key.clone(), error.clone()))
        });
        Round {
            selection: state.selection.clone(),
            allowed: state
                .targets
                .iter()
                .map(|t| !matches!(t, Resolved::Url { allowed: false, .. }))
                .collect(),
            roots_missing: roots.collect(),
            pairs,
        }
    }
}

/// Since when a pod may have walked.
fn began(pod: &Pod) -> Timestamp {
    pod.sidecar_started.unwrap_or(pod.created).max(pod.created)
}

/// What is said of a pair after one more verdict. What was said under another expectation does not count.
fn follow(
    before: Option<&PairState>,
    target: &Target,
    check: &ConnectivityCheck,
    evidence: Option<&TargetEvidence>,
    verdict: Verdict,
) -> PairState {
    let expect = target.expect.into();
    let before = before.filter(|b| b.expect == expect);
    if let Some(stands) = before.filter(|_| is_no_news(evidence, &verdict)) {
        return stands.clone();
    }
    let run = before.map_or_else(Run::default, |b| b.run);
    let counted = before.map_or((0, 0), |b| b.counted);
    let (walks, counted) = new_walks(counted, evidence);
    // Another unproven cause begins anew: it has to repeat by itself before it is told.
    let other_cause = says(expect, &verdict) == Says::SeemsViolated
        && before.is_some_and(|b| b.verdict.reason != verdict.reason);
    let run = if other_cause { Run { failures: 0, ..run } } else { run };
    let run = run.after(says(expect, &verdict), walks);
    let thresholds =
        Thresholds { failures: check.spec.failure_threshold, successes: check.spec.success_threshold };
    let now = outcome(expect, &verdict, run, thresholds);
    let repeats = match says(expect, &verdict) {
        Says::Waits | Says::SeemsViolated => now != Outcome::Unknown && run.failures < thresholds.failures,
        // A failure stands, by its own words, until it is met often enough.
        Says::Met => now == Outcome::Failed,
        Says::Violated | Says::Nothing => false,
    };
    let stands = before.filter(|b| repeats && b.outcome == now);
    let mut shown = stands.map_or_else(|| verdict.clone(), |b| b.shown.clone());
    if now == Outcome::Unknown && says(expect, &verdict) == Says::Met {
        let text = "it is as expected again, and was not for successThreshold walks in a row since it failed";
        let because = vec![Because::new(Topic::Missing, text)];
        shown = Verdict::unknown(Reason::Probing, verdict.stage, because);
    }
    if now == Outcome::Failed {
        shown.reason.get_or_insert(Reason::UnexpectedlyReachable);
    }
    let decided = now != Outcome::Unknown || before.is_some_and(|b| b.decided);
    let run = run.with(now);
    PairState { run, counted, verdict, outcome: now, shown, expect, decided }
}

/// Whether a walk has only begun, and shows so far that the application's way connects: its end decides.
fn is_no_news(evidence: Option<&TargetEvidence>, verdict: &Verdict) -> bool {
    evidence.is_some_and(|e| e.walk.interim) && verdict.reason == Some(Reason::Probing)
}

/// How many walks have been completed since the last count.
fn new_walks(counted: (u64, u32), evidence: Option<&TargetEvidence>) -> (u32, (u64, u32)) {
    let Some(evidence) = evidence.filter(|e| !e.walk.interim) else { return (0, counted) };
    let (signature, number) = counted;
    let walks = if signature == evidence.signature && evidence.consecutive >= number {
        evidence.consecutive - number
    } else {
        evidence.consecutive.max(1)
    };
    (walks, (evidence.signature, evidence.consecutive))
}

#[cfg(test)]
mod tests;
