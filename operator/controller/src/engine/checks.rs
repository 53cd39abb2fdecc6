//! The state of each check, and bringing selections, decisions and plans up to date.

use std::collections::{BTreeMap, BTreeSet};

use peerwalk_api::ConnectivityCheck;
use peerwalk_diagnosis::Run;
use peerwalk_model::plan::PlannedTarget;
use peerwalk_model::verdict::Expectation;
use peerwalk_model::{Confidence, Outcome, PodRef, TargetKey, Timestamp, Verdict};

use super::outages::Gaps;
use super::outgoing::Outgoing;
use super::select::{Selection, select};
use super::status::Progress;
use super::target::Resolved;
use super::ways::Ways;
use super::{Engine, Output, Touched, limits};
use crate::cluster::flow::Destination;
use crate::cluster::record::{ObjectKey, Pod};

/// What is known of one check.
#[derive(Debug, Default)]
pub struct CheckState {
    /// The object's uid: another object of the same name has nothing of this one's.
    pub uid: String,
    /// Its source pods.
    pub selection: Selection,
    /// Its targets as the cluster has them, in the order of the spec.
    pub targets: Vec<Resolved>,
    /// Since when each of them leads to its port of a Service, or to none.
    pub asked: Vec<Timestamp>,
    /// Pods behind its targets, with the positions of these.
    pub behind: BTreeMap<ObjectKey, Vec<usize>>,
    /// Where its walks go besides.
    pub ways: Ways,
    /// What was said of each pair, by pod and name of the target.
    pub pairs: BTreeMap<PodRef, BTreeMap<String, PairState>>,
    /// When all of it was last judged.
    pub judged: Timestamp,
    /// The status that is on its way to the API server.
    pub outgoing: Outgoing,
    /// Since when something has been missing.
    pub progress: Progress,
    /// What sidecars told of the time in which nobody judged.
    pub gaps: Gaps,
    /// Whether it waits for something that time alone may bring.
    pub waiting: bool,
    /// Whether a sign of life may make a verdict surer.
    pub uncertain: bool,
    /// Targets whose times the metrics show.
    pub timed: BTreeSet<String>,
}

/// What was said of one pair.
#[derive(Clone, Debug)]
pub struct PairState {
    /// The run of walks with the same meaning.
    pub run: Run,
    /// Signature and number of the walks already counted.
    pub counted: (u64, u32),
    /// The present verdict.
    pub verdict: Verdict,
    /// The outcome: the one before stands while a new observation waits for its repetition.
    pub outcome: Outcome,
    /// The verdict that the outcome comes from.
    pub shown: Verdict,
    /// What was expected.
    pub expect: Expectation,
    /// Whether any outcome so far was another than Unknown.
    pub decided: bool,
    /// Whether the source pod can report.
    pub reports: bool,
    /// Whether it can, and has been heard.
    pub heard: bool,
    /// Since when the verdict stands for one that is less sure and waits for an answer.
    pub held: Option<Timestamp>,
}

impl PairState {
    /// Whether another says the same to whoever reads the status.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let told = |pair: &Self| (pair.outcome, pair.expect, pair.reports, pair.heard);
        told(self) == told(other) && self.shown == other.shown && self.verdict == other.verdict
    }

    /// Whether another walk, a sign of life or time alone may change what is said of it.
    pub fn waits(&self) -> bool {
        self.outcome == Outcome::Unknown
            || self.verdict.confidence < Confidence::Confirmed
            || self.shown != self.verdict
    }
}

impl CheckState {
    /// How many pairs it has.
    pub fn pairs(&self) -> usize {
        self.selection.sampled.len() * self.targets.len()
    }

    /// Whether time alone may change what is said of it.
    pub fn waits(&self) -> bool {
        self.waiting || self.outgoing.waits()
    }
}

impl Engine {
    /// Brings selections, decisions and plans up to date with what was touched.
    pub(super) fn refresh(&mut self, touched: &Touched, now: Timestamp, outputs: &mut Vec<Output>) {
        let gone: Vec<ObjectKey> =
            self.checks.keys().filter(|key| self.index.check(key).is_none()).cloned().collect();
        let mut pods: BTreeSet<PodRef> = BTreeSet::new();
        if !gone.is_empty() || !touched.checks.is_empty() {
            self.forget_roots();
        }
        for key in gone {
            if let Some(state) = self.checks.remove(&key) {
                self.hide_times(&key, &state);
                pods.extend(state.selection.sampled);
            }
            self.metrics.ready(&key.namespace, &key.name, None);
        }
        let affected: Vec<(ObjectKey, ConnectivityCheck)> = self
            .index
            .checks()
            .filter(|(key, check)| self.affected(key, check, touched))
            .map(|(key, check)| (key.clone(), check.clone()))
            .collect();
        let mut nudged: BTreeMap<PodRef, BTreeSet<TargetKey>> = BTreeMap::new();
        for (key, check) in &affected {
            pods.extend(self.checks.get(key).map(|s| s.selection.sampled.clone()).unwrap_or_default());
            self.refresh_check(key, check, now, &mut nudged, outputs);
            pods.extend(self.checks.get(key).map(|s| s.selection.sampled.clone()).unwrap_or_default());
        }
        pods.extend(self.pods_to_learn(touched));
        self.replan(pods, now, &mut nudged, outputs);
        for (pod, keys) in nudged {
            outputs.push(Output::WalkNow(pod, keys.into_iter().collect()));
        }
    }

    /// Whether a change may concern a check: its spec, its pods, the way to its targets, or the targets.
    fn affected(&self, key: &ObjectKey, check: &ConnectivityCheck, touched: &Touched) -> bool {
        let Some(state) = self.checks.get(key) else { return true };
        touched.all
            || touched.checks.contains(key)
            || touched.namespaces.contains(&key.namespace)
            || state.targets.len() != check.spec.targets.len()
            || state.targets.iter().filter_map(Resolved::service).any(|service| {
                touched.services.contains(service) || touched.namespaces.contains(&service.namespace)
            })
    }

    fn refresh_check(
        &mut self,
        key: &ObjectKey,
        check: &ConnectivityCheck,
        now: Timestamp,
        nudged: &mut BTreeMap<PodRef, BTreeSet<TargetKey>>,
        outputs: &mut Vec<Output>,
    ) {
        let uid = check.metadata.uid.clone().unwrap_or_default();
        let mut state = match self.checks.remove(key) {
            Some(state) if state.uid == uid => state,
            before => {
                let timed = before.as_ref().map(|state| state.timed.clone()).unwrap_or_default();
                let pods = before.into_iter().flat_map(|state| state.selection.sampled);
                self.renew(pods, key, now, nudged);
                CheckState { uid, timed, ..CheckState::default() }
            }
        };
        let selection = select(&self.index, key, check);
        let resolved: Vec<Resolved> =
            check.spec.targets.iter().filter_map(|target| self.resolve(&key.namespace, target)).collect();
        outputs.extend(self.roots_to_read(key, check));
        let mut all_ways = Ways::default();
        for pod in &selection.sampled {
            for (position, (target, resolved)) in check.spec.targets.iter().zip(&resolved).enumerate() {
                let before = state.targets.get(position);
                let mut turned = before.is_some_and(|before| before.leads_elsewhere(resolved));
                let target = TargetKey { check: key.name.clone(), target: target.name.clone() };
                let walk = self.walk_of(pod, &target);
                let destinations = self.on_the_way(resolved, walk);
                let of_a_url = matches!(resolved, Resolved::Url { .. });
                if let Some(ways) = walk.map(|walk| self.ways_of(walk, of_a_url)) {
                    turned |= ways.differ_from(&state.ways);
                    all_ways.extend(ways);
                }
                turned |= self.decide_all(pod, &destinations, now);
                if turned {
                    nudged.entry(pod.clone()).or_default().insert(target);
                }
            }
        }
        let sampled: BTreeSet<&PodRef> = selection.sampled.iter().collect();
        let named: BTreeSet<&str> = check.spec.targets.iter().map(|target| target.name.as_str()).collect();
        state.pairs.retain(|pod, _| sampled.contains(pod));
        state.pairs.values_mut().for_each(|pairs| pairs.retain(|target, _| named.contains(target.as_str())));
        state.gaps.retain(&sampled, &named);
        if check.spec.suspend {
            state.pairs.clear();
        }
        state.selection = selection;
        state.behind = behind(&resolved);
        let asked = |(position, resolved): (usize, &Resolved)| {
            let same = state.targets.get(position).is_some_and(|before| before.port() == resolved.port());
            state.asked.get(position).filter(|_| same).copied().unwrap_or(now)
        };
        state.asked = resolved.iter().enumerate().map(asked).collect();
        state.targets = resolved;
        state.ways = all_ways;
        self.checks.insert(key.clone(), state);
    }

    /// A check was deleted and made anew: what was walked before says nothing of it.
    fn renew(
        &mut self,
        pods: impl Iterator<Item = PodRef>,
        key: &ObjectKey,
        now: Timestamp,
        nudged: &mut BTreeMap<PodRef, BTreeSet<TargetKey>>,
    ) {
        for pod in pods {
            let Some(plan) = self.plans.get_mut(&pod) else { continue };
            let targets = plan.renew(&key.name, now);
            nudged.entry(pod).or_default().extend(targets);
        }
    }

    /// Decides every destination of a pod anew; whether any outcome changed.
    pub(super) fn decide_all(
        &mut self,
        pod: &PodRef,
        destinations: &BTreeSet<Destination>,
        now: Timestamp,
    ) -> bool {
        let key = ObjectKey::new(&pod.namespace, &pod.name);
        let Some(source) = self.index.pod(&key) else { return false };
        let mut changed = false;
        for to in destinations {
            changed |= self.decisions.decide((&self.index, &self.seen), source, *to, now);
        }
        changed
    }

    /// Pods whose plan may have to change though no check did: new ones with a sidecar, and those gone.
    fn pods_to_learn(&self, touched: &Touched) -> BTreeSet<PodRef> {
        let namespaces: BTreeSet<&str> = if touched.all {
            self.index
                .pods()
                .map(|pod| pod.id.namespace.as_str())
                .chain(self.plans.keys().map(|p| p.namespace.as_str()))
                .collect()
        } else {
            touched.namespaces.iter().map(String::as_str).collect()
        };
        let new = namespaces
            .iter()
            .flat_map(|ns| self.index.pods_of(ns))
            .filter(|pod| lives(pod))
            .map(|pod| &pod.id);
        let known = self.plans.keys().filter(|pod| namespaces.contains(pod.namespace.as_str()));
        new.chain(known).cloned().collect()
    }

    fn replan(
        &mut self,
        pods: BTreeSet<PodRef>,
        now: Timestamp,
        nudged: &mut BTreeMap<PodRef, BTreeSet<TargetKey>>,
        outputs: &mut Vec<Output>,
    ) {
        for pod in pods {
            let key = ObjectKey::new(&pod.namespace, &pod.name);
            let alive = self.index.pod(&key).filter(|record| record.id == pod && lives(record)).cloned();
            let Some(record) = alive else {
                self.forget_pod(&pod, outputs);
                continue;
            };
            let wanted = self.destinations_of(&pod);
            self.decisions.retain(&pod, &wanted);
            let (targets, surplus) = limits::fit(self.targets_of(&record));
            let first = !self.plans.contains_key(&pod);
            let plan = self.plans.entry(pod.clone()).or_default();
            let left_out = surplus.len();
            plan.surplus = surplus;
            match plan.replace(targets, now) {
                Some(changed) => {
                    if left_out > 0 {
                        tracing::warn!(
                            %pod, surplus = left_out,
                            "the pod has more targets than a plan holds; the last ones by check and name are \
                             not walked: give it fewer checks"
                        );
                    }
                    nudged.entry(pod.clone()).or_default().extend(changed);
                    self.evidence.retain(&pod, |key| plan.plan.targets.contains_key(key));
                    outputs.push(Output::SetPlan(pod, plan.plan.clone()));
                }
                None if first => {
                    // An empty plan tells the hub that the pod is known; generations begin at 1.
                    plan.plan.generation = 1;
                    outputs.push(Output::SetPlan(pod, plan.plan.clone()));
                }
                None => {}
            }
        }
    }

    fn forget_pod(&mut self, pod: &PodRef, outputs: &mut Vec<Output>) {
        if self.plans.remove(pod).is_some() {
            outputs.push(Output::RemovePod(pod.clone()));
        }
        self.evidence.remove(pod);
        self.decisions.remove(pod);
        self.pod_events.remove(pod);
        self.missing.remove(pod);
        self.transitions_lost.remove(pod);
    }

    /// Everything one pod is asked to walk, by all checks that selected it.
    fn targets_of(&mut self, pod: &Pod) -> BTreeMap<TargetKey, PlannedTarget> {
        let mut planned = BTreeMap::new();
        for (key, state) in &self.checks {
            if key.namespace != pod.id.namespace || state.selection.sampled.binary_search(&pod.id).is_err() {
                continue;
            }
            let Some(check) = self.index.check(key).filter(|check| !check.spec.suspend) else { continue };
            for (target, resolved) in check.spec.targets.iter().zip(&state.targets) {
                if let Some(entry) = self.planned(check, target, resolved, &pod.id) {
                    let key = TargetKey { check: key.name.clone(), target: target.name.clone() };
                    planned.insert(key, (entry, resolved.clone()));
                }
            }
        }
        planned
            .into_iter()
            .map(|(key, (mut entry, resolved))| {
                entry.controls = self.controls(pod, &key, &resolved, &entry.kind);
                (key, entry)
            })
            .collect()
    }
}

/// The pods behind targets, each with the positions of its targets.
fn behind(targets: &[Resolved]) -> BTreeMap<ObjectKey, Vec<usize>> {
    let mut behind: BTreeMap<ObjectKey, Vec<usize>> = BTreeMap::new();
    for (position, resolved) in targets.iter().enumerate() {
        let Resolved::Service(_, _, Some(found)) = resolved else { continue };
        for pod in found.endpoints.iter().filter_map(|endpoint| endpoint.pod.clone()) {
            let positions = behind.entry(pod).or_default();
            if positions.last() != Some(&position) {
                positions.push(position);
            }
        }
    }
    behind
}

/// A pod whose sidecar may speak: it has one, and is neither finished nor gone. A terminating pod still runs.
fn lives(pod: &Pod) -> bool {
    pod.injected && !pod.finished
}
