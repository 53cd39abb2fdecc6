//! Judging the pairs of a check, and what follows from it: the status, and events on transitions.

use std::time::Duration;

use peerwalk_api::condition::{ConditionStatus, READY};
use peerwalk_api::{CheckResult, ConnectivityCheck, ConnectivityCheckStatus, Target};
use peerwalk_diagnosis::{Case, PairEvidence, Run, Says, Thresholds, judge, outcome, says};
use peerwalk_model::{Outcome, PodRef, TargetKey, Timestamp, Verdict};

use super::checks::{CheckState, PairState};
use super::facts::Pair;
use super::status::{self, PairView, Round};
use super::target::Resolved;
use super::{Engine, Output, Touched};
use crate::cluster::record::ObjectKey;
use crate::evidence::TargetEvidence;
use crate::publish::{EventRecord, Regarding, StatusWrite};

/// A write that is neither stored nor refused after this is put into the outbox again.
const WRITE_AGAIN: Duration = Duration::from_secs(15);
/// Events on one source pod are at least this far apart.
const POD_EVENTS: Duration = Duration::from_mins(5);

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
        for (key, error) in self.index.unreadable_checks() {
            if touched.all || touched.checks.contains(key) {
                outputs.push(Output::Event(EventRecord {
                    regarding: Regarding::Check { key: key.clone(), uid: String::new() },
                    warning: true,
                    reason: "NotReadable".into(),
                    note: format!("this check cannot be read and is not carried out: {error}"),
                }));
            }
        }
    }

    fn concerned(&self, key: &ObjectKey, touched: &Touched) -> bool {
        let Some(state) = self.checks.get(key) else { return true };
        touched.all
            || touched.checks.contains(key)
            || touched.namespaces.contains(&key.namespace)
            || touched.pods.iter().any(|pod| state.selection.sampled.binary_search(pod).is_ok())
            || state.targets.iter().filter_map(Resolved::service).any(|service| {
                touched.services.contains(service) || touched.namespaces.contains(&service.namespace)
            })
    }

    fn judge_check(&mut self, key: &ObjectKey, now: Timestamp, outputs: &mut Vec<Output>) {
        let Some(check) = self.index.check(key).cloned() else { return };
        let Some(mut state) = self.checks.remove(key) else { return };
        state.judged = now;
        let mut views = Vec::new();
        if !check.spec.suspend {
            for pod in state.selection.sampled.clone() {
                self.judge_pod(key, &check, &mut state, &pod, now, &mut views);
            }
        }
        let round = self.round(&state, views);
        let base = check.status.clone().unwrap_or_default();
        let said = status::status(&check, &round, &base, &mut state.unknown_since, now);
        state.waiting = status::waits(&said);
        let held = self.holds_back(&check, &base, &said, now);
        if !held {
            self.publish(key, &check, &mut state, &base, said, now, outputs);
            self.pod_events(&check, &state, now, outputs);
        }
        self.checks.insert(key.clone(), state);
    }

    fn judge_pod(
        &mut self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        state: &mut CheckState,
        pod: &PodRef,
        now: Timestamp,
        views: &mut Vec<PairView>,
    ) {
        let Some(record) = self.index.pod(&ObjectKey::new(&pod.namespace, &pod.name)).cloned() else {
            return;
        };
        let hub = self.hub_denied(&record);
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
            let place = (pod.clone(), position);
            let next = follow(state.pairs.get(&place), target, check, evidence, verdict);
            views.push(PairView::new(&record, position, &facts, &next));
            state.pairs.insert(place, next);
        }
    }

    /// The evidence of a target as it is now meant.
    pub(super) fn evidence_of(&self, pod: &PodRef, key: &TargetKey) -> Option<&TargetEvidence> {
        let evidence = self.evidence.pod(pod)?.target(key)?;
        self.plans.get(pod)?.counts(key, evidence.plan_generation).then_some(evidence)
    }

    fn round(&self, state: &CheckState, pairs: Vec<PairView>) -> Round {
        let roots = self.roots.iter().filter_map(|((map, entry), roots)| {
            roots.as_ref().err().map(|error| (map.name.clone(), entry.clone(), error.clone()))
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

    /// After a start nothing becomes Unknown for want of reports before sidecars had time to come back.
    fn holds_back(
        &self,
        check: &ConnectivityCheck,
        base: &ConnectivityCheckStatus,
        said: &ConnectivityCheckStatus,
        now: Timestamp,
    ) -> bool {
        let known = base.observed_generation == check.metadata.generation
            && base.condition(READY).is_some_and(|ready| ready.status != ConditionStatus::Unknown);
        // Proof rests on what other sidecars report too, so any Unknown may be for want of them.
        let missing = said.result == CheckResult::Unknown;
        known && missing && now.since(self.started) <= self.settings.attach_within
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one transition; a struct would name them twice"
    )]
    fn publish(
        &self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        state: &mut CheckState,
        base: &ConnectivityCheckStatus,
        said: ConnectivityCheckStatus,
        now: Timestamp,
        outputs: &mut Vec<Output>,
    ) {
        if let Some(ready) = said.condition(READY) {
            self.metrics.ready(&key.namespace, &key.name, Some(ready.status.as_str()));
        }
        if said == *base {
            state.sent = None;
            return;
        }
        let waiting =
            state.sent.as_ref().is_some_and(|(sent, at)| *sent == said && now.since(*at) < WRITE_AGAIN);
        if waiting {
            return;
        }
        let before = state.sent.as_ref().map_or(base, |(sent, _)| sent);
        outputs.extend(transition_event(key, check, before, &said).map(Output::Event));
        let resource_version = check.metadata.resource_version.clone().unwrap_or_default();
        state.sent = Some((said.clone(), now));
        outputs.push(Output::Status(key.clone(), Box::new(StatusWrite { resource_version, status: said })));
    }

    /// A write ended. One that was not stored is judged and put again.
    pub(super) fn written(&mut self, written: &crate::publish::Written) {
        if !written.stored
            && let Some(state) = self.checks.get_mut(&written.check)
        {
            state.sent = None;
            self.touched.checks.insert(written.check.clone());
        }
    }

    fn pod_events(
        &mut self,
        check: &ConnectivityCheck,
        state: &CheckState,
        now: Timestamp,
        outputs: &mut Vec<Output>,
    ) {
        for ((pod, position), pair) in &state.pairs {
            let recent = self.pod_events.get(pod).is_some_and(|at| now.since(*at) < POD_EVENTS);
            if pair.outcome != Outcome::Failed || recent {
                continue;
            }
            self.pod_events.insert(pod.clone(), now);
            let target = check.spec.targets.get(*position).map_or("", |target| target.name.as_str());
            outputs.push(Output::Event(EventRecord {
                regarding: Regarding::Pod(pod.clone()),
                warning: true,
                reason: pair.shown.reason.map_or_else(|| "UnexpectedlyReachable".into(), |r| r.code().into()),
                note: format!("{target}: {}", status::headline(&pair.shown)),
            }));
        }
    }
}

/// What is said of a pair after one more verdict.
fn follow(
    before: Option<&PairState>,
    target: &Target,
    check: &ConnectivityCheck,
    evidence: Option<&TargetEvidence>,
    verdict: Verdict,
) -> PairState {
    let expect = target.expect.into();
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
    let stands = before.filter(|b| {
        matches!(
            says(expect, &verdict),
            peerwalk_diagnosis::Says::Waits | peerwalk_diagnosis::Says::SeemsViolated
        ) && b.outcome == now
            && now != Outcome::Unknown
            && run.failures < thresholds.failures
    });
    let shown = stands.map_or_else(|| verdict.clone(), |b| b.shown.clone());
    PairState { run: Run { previous: Some(now), ..run }, counted, verdict, outcome: now, shown }
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

fn transition_event(
    key: &ObjectKey,
    check: &ConnectivityCheck,
    before: &ConnectivityCheckStatus,
    said: &ConnectivityCheckStatus,
) -> Option<EventRecord> {
    if check.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let (old, new) = (before.condition(READY), said.condition(READY)?);
    if old.is_some_and(|old| old.status == new.status && old.reason == new.reason) {
        return None;
    }
    Some(EventRecord {
        regarding: Regarding::Check { key: key.clone(), uid: check.metadata.uid.clone().unwrap_or_default() },
        warning: new.status == ConditionStatus::False,
        reason: new.reason.clone(),
        note: format!("Ready is {}: {}", new.status.as_str(), new.message),
    })
}
