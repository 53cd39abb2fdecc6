//! Judging the pairs of a check, and the status that follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerwalk_api::{ConnectivityCheck, ConnectivityCheckStatus, Target};
use peerwalk_diagnosis::{Case, Coverage, PairEvidence, Run, Says, Thresholds, judge, outcome, says};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Observed, Outcome, PodRef, Reason, TargetKey, Timestamp, Verdict};

use super::checks::{CheckState, PairState};
use super::facts::Pair;
use super::peers::ANSWER;
use super::status::{self, Discretion, PairView, Round};
use super::target::Resolved;
use super::tell::{Fallen, tell};
use super::{Engine, Output, Touched, limits};
use crate::cluster::record::{ObjectKey, Pod};
use crate::evidence::TargetEvidence;

/// What of a check is to be judged again.
#[derive(Debug, Default)]
struct Due {
    /// All of it.
    whole: bool,
    /// Its status is made anew, whatever comes of its pairs.
    told: bool,
    /// The positions of targets, by source pod.
    pairs: Vec<(PodRef, Vec<usize>)>,
}

impl Engine {
    /// Judges what was touched: of a check that only sidecars have told of, the pairs which that may change.
    pub(super) fn judge_touched(&mut self, touched: &Touched, now: Timestamp, outputs: &mut Vec<Output>) {
        let heard: BTreeSet<ObjectKey> =
            touched.pods.keys().map(|pod| ObjectKey::new(&pod.namespace, &pod.name)).collect();
        let due: Vec<(ObjectKey, Due)> = self
            .index
            .checks()
            .filter_map(|(key, check)| Some((key.clone(), self.due(key, check, touched, &heard)?)))
            .collect();
        for (key, due) in due {
            self.judge_check(&key, &due, now, outputs);
        }
    }

    /// What of a check is to be judged again; `heard` are the names of the pods that were heard of.
    fn due(
        &self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        touched: &Touched,
        heard: &BTreeSet<ObjectKey>,
    ) -> Option<Due> {
        let state = self.checks.get(key)?;
        let whole = touched.cluster() && concerned(key, state, touched);
        let waiting = touched.waiting.contains(key);
        // A sign of life may be what an uncertain verdict on a target of that pod lacks.
        let alive: BTreeSet<usize> = if state.uncertain && !whole {
            heard.iter().filter_map(|pod| state.behind.get(pod)).flatten().copied().collect()
        } else {
            BTreeSet::new()
        };
        let mut pairs = Vec::new();
        if !check.spec.suspend {
            let every = whole || waiting || !alive.is_empty();
            let sampled = &state.selection.sampled;
            let all = sampled.iter().filter(|_| every);
            let told = touched.pods.keys().filter(|pod| !every && sampled.binary_search(pod).is_ok());
            for pod in all.chain(told) {
                let news = touched.pods.get(pod);
                let said = state.pairs.get(pod);
                let positions = check.spec.targets.iter().enumerate().filter(|(position, target)| {
                    let Some(pair) = said.and_then(|said| said.get(&target.name)) else { return true };
                    let told = news.is_some_and(|news| news.tells_of(&key.name, &target.name));
                    let looks = waiting || news.is_some() || alive.contains(position);
                    whole || told || (looks && pair.waits())
                });
                let positions: Vec<usize> = positions.map(|(position, _)| position).collect();
                if !positions.is_empty() {
                    pairs.push((pod.clone(), positions));
                }
            }
        }
        (whole || waiting || !pairs.is_empty()).then_some(Due { whole, told: whole || waiting, pairs })
    }

    fn judge_check(&mut self, key: &ObjectKey, due: &Due, now: Timestamp, outputs: &mut Vec<Output>) {
        let Some(check) = self.index.check(key).cloned() else { return };
        let Some(mut state) = self.checks.remove(key) else { return };
        if due.whole {
            state.judged = now;
        }
        let (mut changed, mut fallen) = (due.told, Vec::new());
        for (pod, positions) in &due.pairs {
            let pairs = (pod, positions.as_slice(), due.whole);
            changed |= self.judge_pod(key, &check, &mut state, pairs, now, (&mut fallen, outputs));
        }
        if changed {
            let base = status::ours(check.status.clone().unwrap_or_default());
            self.tell_check(key, &check, &mut state, &base, now, outputs);
            self.tell_pods(fallen, &base, now, outputs);
        }
        if due.whole {
            self.show_times(key, &mut state);
        }
        self.checks.insert(key.clone(), state);
    }

    /// Judges some pairs of a pod; whether anything is said of them that was not.
    fn judge_pod(
        &mut self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        state: &mut CheckState,
        (pod, positions, whole): (&PodRef, &[usize], bool),
        now: Timestamp,
        (fallen, outputs): (&mut Vec<Fallen>, &mut Vec<Output>),
    ) -> bool {
        let Some(record) = self.index.pod(&ObjectKey::new(&pod.namespace, &pod.name)).cloned() else {
            return false;
        };
        let told = self.evidence.pod(pod);
        let attached = told.is_some_and(|told| told.reports(now, self.settings.silence));
        let heard = told.is_some_and(|told| told.last_heard.is_some());
        // Nobody asks for the way to the hub of a pod that is heard through it.
        let hub = if attached { None } else { self.hub_denied(&record) };
        let discretion = Discretion::new(self.settings.details, &key.namespace, check, &self.index);
        let said = state.pairs.entry(pod.clone()).or_default();
        let (mut changed, mut unproven) = (false, Vec::new());
        for position in positions {
            let (Some(target), Some(resolved)) =
                (check.spec.targets.get(*position), state.targets.get(*position))
            else {
                continue;
            };
            let target_key = TargetKey { check: key.name.clone(), target: target.name.clone() };
            let evidence = self.evidence_of(pod, &target_key);
            let pair = Pair {
                source: &record,
                key: &target_key,
                resolved,
                asked: state.asked.get(*position).copied().unwrap_or_default(),
                evidence,
                stale_after: check.spec.stale_after(),
                now,
            };
            let (verdict, coverage) = self.verdict(&pair, target, hub.as_ref());
            let undisturbed = self.undisturbed(&pair, target, &verdict, hub.as_ref());
            let (evidence, verdict) = undisturbed.unwrap_or((evidence, verdict));
            let surplus = self.plans.get(pod).is_some_and(|plan| plan.surplus.contains(&target_key));
            let verdict = if surplus { limits::not_walked() } else { verdict };
            if verdict.reason.is_some() && verdict.confidence < Confidence::Confirmed {
                unproven.extend(evidence.map(|e| (target_key.clone(), e.walk.started)));
            }
            let before = said.get(&target.name);
            // The rest of a walk, or an answer about it, that is not there yet takes no proof away: it comes in a moment, or
            // is given up.
            let is_open =
                || evidence.is_some_and(|e| e.walk.interim) || self.is_asked_about(pod, &target_key);
            let held = before.filter(|before| takes_back(&verdict, &before.verdict, whole) && is_open());
            let held = held.map(|before| (before.held.unwrap_or(now), before));
            let held = held.filter(|(since, _)| now.since(*since) < ANSWER);
            let (held, verdict) = held.map_or((None, verdict), |(since, b)| (Some(since), b.verdict.clone()));
            let next = follow(before, target, check, evidence, verdict);
            let reports = coverage == Coverage::Reporting;
            let next = PairState { reports, heard: reports && heard, held, ..next };
            if next.outcome == Outcome::Failed && before.is_none_or(|b| b.outcome != Outcome::Failed) {
                fallen.push(Fallen {
                    pod: pod.clone(),
                    target: target.name.clone(),
                    first: before.is_none_or(|b| !b.decided),
                    since: began(&record),
                    verdict: discretion.shown(&next.shown).into_owned(),
                });
            }
            changed |= before.is_none_or(|before| !before.says_the_same(&next));
            said.insert(target.name.clone(), next);
        }
        self.metrics.judged(positions.len());
        for (target, found) in unproven {
            outputs.extend(self.walk_anew(pod, target, found, now));
        }
        changed
    }

    fn verdict(
        &self,
        pair: &Pair<'_>,
        target: &Target,
        hub: Option<&Arc<peerwalk_netpol::Decision>>,
    ) -> (Verdict, Coverage) {
        let (pod, now) = (&pair.source.id, pair.now);
        let facts = self.facts(pair, hub.cloned());
        let walked = pair.evidence.map(|e| PairEvidence {
            attestations: self.attestations(pod, pair.key, pair.resolved, now),
            awaited: self.awaited(pod, pair.key, e.since, now),
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
            decisions: &self.decisions_of(pair),
            facts: &facts,
            now,
        });
        (verdict, facts.coverage)
    }

    /// A walk whose prober was kept from running is as none where what it did not get decides: what was found before it
    /// is judged, by what the cluster is now, as long as it says something.
    fn undisturbed<'a>(
        &self,
        pair: &Pair<'a>,
        target: &Target,
        verdict: &Verdict,
        hub: Option<&Arc<peerwalk_netpol::Decision>>,
    ) -> Option<(Option<&'a TargetEvidence>, Verdict)> {
        let latest = pair.evidence.filter(|_| verdict.reason == Some(Reason::ProbeStarved))?;
        let before = latest.undisturbed.as_deref()?;
        let plan = self.plans.get(&pair.source.id)?;
        if !plan.counts(pair.key, before.plan_generation, before.started) {
            return None;
        }
        let (verdict, _) = self.verdict(&Pair { evidence: Some(before), ..*pair }, target, hub);
        (verdict.observed != Observed::Unknown).then_some((Some(before), verdict))
    }

    /// What follows for the status, and the write of it unless it is held back.
    fn tell_check(
        &mut self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        state: &mut CheckState,
        base: &ConnectivityCheckStatus,
        now: Timestamp,
        outputs: &mut Vec<Output>,
    ) {
        let mut progress = std::mem::take(&mut state.progress);
        let round = self.round(key, check, state, now);
        let version = check.metadata.resource_version.as_deref().unwrap_or_default();
        let before = state.outgoing.pending(version).unwrap_or(base);
        let said = status::status(check, &round, before, &mut progress, now);
        let held = self.holds_back(check, base, &round, &said, now);
        state.progress = progress;
        state.gaps.learn(&said.targets);
        state.waiting = status::waits(&said);
        state.uncertain = state.pairs.values().flat_map(BTreeMap::values).any(uncertain);
        self.show(key, if held { base } else { &said });
        if said == *base {
            state.outgoing.nothing_to_say(base);
        } else if !held {
            outputs.extend(tell(key, check, base, said, &mut state.outgoing, now));
        }
    }

    /// The evidence of a target as it is now meant.
    pub(super) fn evidence_of(&self, pod: &PodRef, key: &TargetKey) -> Option<&TargetEvidence> {
        let evidence = self.evidence.pod(pod)?.target(key)?;
        self.plans.get(pod)?.counts(key, evidence.plan_generation, evidence.started).then_some(evidence)
    }

    fn round<'a>(
        &'a self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        state: &'a CheckState,
        now: Timestamp,
    ) -> Round<'a> {
        let bundles = check.spec.targets.iter().filter_map(|target| target.tls.as_ref());
        let roots = bundles.filter_map(|tls| {
            let bundle = &tls.ca_bundle.config_map;
            let place = (ObjectKey::new(&key.namespace, &bundle.name), bundle.key.clone());
            let error = self.roots.get(&place)?.as_ref().err()?;
            Some((bundle.name.clone(), bundle.key.clone(), error.clone()))
        });
        Round {
            selection: &state.selection,
            allowed: state
                .targets
                .iter()
                .map(|t| !matches!(t, Resolved::Url { allowed: false, .. }))
                .collect(),
            roots_missing: roots.collect(),
            paused: self.injection.paused(&key.namespace),
            pairs: self.views(check, state, now),
            gaps: &state.gaps,
            set_at: self.set_at,
        }
    }

    /// Every pair as the status sees it, by pod and in the order of the spec.
    fn views<'a>(
        &'a self,
        check: &ConnectivityCheck,
        state: &'a CheckState,
        now: Timestamp,
    ) -> Vec<PairView<'a>> {
        let mut views = Vec::new();
        let own = check.metadata.namespace.as_deref().unwrap_or_default();
        let discretion = Discretion::new(self.settings.details, own, check, &self.index);
        for (pod, said) in &state.pairs {
            let Some(record) = self.index.pod(&ObjectKey::new(&pod.namespace, &pod.name)) else { continue };
            let young = now.since(began(record)) < check.spec.progress_deadline.get();
            let of_the_spec = check.spec.targets.iter().enumerate();
            let pairs = of_the_spec.filter_map(|(at, target)| Some((at, said.get(&target.name)?)));
            views.extend(
                pairs.map(|(position, pair)| PairView::new(record, position, pair, young, &discretion)),
            );
        }
        views
    }
}

/// Whether a change of the cluster may concern any pair of a check.
fn concerned(key: &ObjectKey, state: &CheckState, touched: &Touched) -> bool {
    touched.all
        || touched.checks.contains(key)
        || touched.namespaces.contains(&key.namespace)
        || state.targets.iter().filter_map(Resolved::service).any(|service| {
            touched.services.contains(service) || touched.namespaces.contains(&service.namespace)
        })
}

/// Whether a sign of life may make a verdict surer.
fn uncertain(pair: &PairState) -> bool {
    pair.verdict.reason.is_some() && pair.verdict.confidence < Confidence::Confirmed
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
    PairState {
        run,
        counted,
        verdict,
        outcome: now,
        shown,
        expect,
        decided,
        reports: false,
        heard: false,
        held: None,
    }
}

/// Whether a verdict is less sure than the one before of what fails at the same stage. Not where the cluster has changed
/// and the one before may rest on policies that are gone.
fn takes_back(verdict: &Verdict, before: &Verdict, changed: bool) -> bool {
    let (Some(reason), Some(said)) = (verdict.reason, before.reason) else { return false };
    verdict.stage == before.stage
        && verdict.confidence < before.confidence
        && (!changed || reason == said || said != Reason::PolicyDenied)
}

/// Whether a walk has only begun, and shows so far that the application's way connects: its end decides.
fn is_no_news(evidence: Option<&TargetEvidence>, verdict: &Verdict) -> bool {
    evidence.is_some_and(|e| e.walk.interim) && verdict.reason == Some(Reason::Probing)
}

/// How many walks have been completed since the last count.
fn new_walks(counted: (u64, u32), evidence: Option<&TargetEvidence>) -> (u32, (u64, u32)) {
    let Some(evidence) = evidence.filter(|e| !e.walk.interim) else { return (0, counted) };
    let (finding, number) = counted;
    let walks = if finding == evidence.finding && evidence.consecutive >= number {
        evidence.consecutive - number
    } else {
        evidence.consecutive.max(1)
    };
    (walks, (evidence.finding, evidence.consecutive))
}

#[cfg(test)]
mod tests;
