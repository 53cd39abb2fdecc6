//! All state of the controller, and what each input makes of it. Synchronous and without a clock: inputs
//! carry their moment, outputs are values.

mod checks;
mod controls;
mod explain;
mod facts;
mod heard;
mod hub_roots;
mod injection;
mod judge;
mod lead;
mod limits;
mod missing;
mod opted;
mod outages;
mod outgoing;
mod peers;
mod plans;
mod roots;
mod select;
mod sightings;
mod status;
mod target;
mod tell;
mod times;
mod url;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use peerwalk_model::peer::{Saw, Tuple};
use peerwalk_model::report::{Heartbeat, Transition};
use peerwalk_model::{Plan, PodRef, TargetKey, Timestamp, Walk};

use crate::cluster::decode::Kind;
use crate::cluster::record::ObjectKey;
use crate::cluster::{Change, Index};
use crate::decisions::Decisions;
use crate::discovery::PolicyKinds;
use crate::evidence::EvidenceStore;
use crate::metrics::Metrics;
use crate::publish::{EventRecord, StatusWrite, Written};
use crate::seen::Seen;
use crate::settings::Settings;
use crate::watch::WatchEvent;

use checks::CheckState;
pub use explain::Form;
use hub_roots::HubRoots;
use injection::Injection;
pub use injection::{Pause, Pauses};
use lead::Lead;
use missing::Missing;
use opted::OptedIn;
use peers::Peers;
use plans::PodPlan;
use roots::Roots;
pub use roots::RootsRead;
use sightings::Sightings;
use tell::Unreadable;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A watch told of an object.
    Watch(WatchEvent),
    /// A sidecar attached, reported or left; when that reached the hub.
    Sidecar(SidecarEvent, Timestamp),
    /// A status write ended.
    Written(Written),
    /// What reading an entry of a ConfigMap came to that checks name for trusted roots.
    Roots(ObjectKey, String, RootsRead),
    /// The fingerprints of all roots by which pods can verify the hub.
    HubRoots(BTreeSet<String>),
    /// Time passed.
    Tick,
}

/// What a sidecar did. Moments are of the operator's clock.
#[derive(Debug)]
pub enum SidecarEvent {
    /// Its stream is up.
    Attached(PodRef),
    /// Its stream ended.
    Detached(PodRef),
    /// Two processes with its tokens displace each other's streams.
    Contested(PodRef),
    /// A sign of life.
    Heartbeat(PodRef, Heartbeat),
    /// Evidence.
    Walk(PodRef, Box<Walk>),
    /// What changed while nobody listened.
    Transitions(PodRef, Vec<Transition>),
    /// What the pod holds of dials that it was asked about, with the number of the question.
    Saw(PodRef, u64, Saw),
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A pod has this plan from now on; also tells the hub that the pod is known.
    SetPlan(PodRef, Plan),
    /// A pod is gone; its stream ends.
    RemovePod(PodRef),
    /// Walk these targets now.
    WalkNow(PodRef, Vec<TargetKey>),
    /// Send all evidence again.
    SendAll(PodRef),
    /// Dials of others to this pod are about to come: remember for so long which connections are closed.
    Watch(PodRef, Duration),
    /// Tell what this pod holds of these dials, under this number.
    Look(PodRef, u64, Vec<Tuple>),
    /// Write a status.
    Status(ObjectKey, Box<StatusWrite>),
    /// Publish an event.
    Event(EventRecord),
    /// Read the roots of a ConfigMap: its key and entry.
    ReadRoots(ObjectKey, String),
    /// From now on, pods get no sidecar in these namespaces, and in all others do.
    Injection(Pauses),
    /// The fingerprints of the hub's roots that pods were injected under, once all pods are known.
    CarriedRoots(BTreeSet<String>),
    /// In this term every pod has its plan: sidecars may come.
    Planned(u64),
    /// So many pods of a namespace that are there to stay have this controller, by its uid.
    Made {
        /// The namespace.
        namespace: String,
        /// The uid.
        controller: String,
        /// The number.
        pods: u32,
    },
}

/// The controller's state.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    metrics: Metrics,
    index: Index,
    decisions: Decisions,
    evidence: EvidenceStore,
    sightings: Sightings,
    plans: BTreeMap<PodRef, PodPlan>,
    checks: BTreeMap<ObjectKey, CheckState>,
    unreadable: BTreeMap<ObjectKey, Unreadable>,
    /// `None` until discovery has looked for the first time.
    policy_kinds: Option<PolicyKinds>,
    roots: Roots,
    hub_roots: HubRoots,
    touched: Touched,
    pod_events: BTreeMap<PodRef, Timestamp>,
    missing: BTreeMap<PodRef, Missing>,
    /// Transitions that each sidecar has lost by its own count.
    transitions_lost: BTreeMap<PodRef, u64>,
    peers: Peers,
    seen: Seen,
    injection: Injection,
    opted_in: OptedIn,
    /// Kinds that policies decide by and that cannot be heard of, with the moment it began.
    interrupted: BTreeMap<Kind, Timestamp>,
    /// Kinds that are not heard of: they have never been listed, or their watch is lost.
    unheard: BTreeSet<Kind>,
    /// When the clock was last set.
    set_at: Option<Timestamp>,
    lead: Lead,
}

/// What inputs have touched since the last time all was brought up to date.
#[derive(Debug, Default)]
struct Touched {
    /// Everything.
    all: bool,
    /// Namespaces whose pods, policies or labels changed.
    namespaces: BTreeSet<String>,
    /// Namespaces whose policies or labels changed.
    policies: BTreeSet<String>,
    /// Addresses of pods that came or went, or that policies may see otherwise now.
    ips: BTreeSet<IpAddr>,
    /// Services that changed, with their endpoints.
    services: BTreeSet<ObjectKey>,
    /// Checks whose spec changed.
    checks: BTreeSet<ObjectKey>,
    /// Checks that wait for what time alone may bring.
    waiting: BTreeSet<ObjectKey>,
    /// Pods that were heard of.
    pods: BTreeMap<PodRef, News>,
}

/// What was heard of a pod. A sign of life alone is news only for pairs that wait for one.
#[derive(Debug, Default)]
struct News {
    /// It began or ceased to report.
    reports: bool,
    /// Targets of which a walk came.
    walked: BTreeSet<TargetKey>,
}

impl News {
    /// Whether it is of one target.
    fn tells_of(&self, check: &str, target: &str) -> bool {
        self.reports || self.walked.iter().any(|walked| walked.check == check && walked.target == target)
    }
}

impl Touched {
    /// Whether anything but evidence has changed.
    fn cluster(&self) -> bool {
        self.all
            || !self.namespaces.is_empty()
            || !self.policies.is_empty()
            || !self.ips.is_empty()
            || !self.services.is_empty()
            || !self.checks.is_empty()
    }

    /// What was heard of a pod.
    fn news(&mut self, pod: PodRef) -> &mut News {
        self.pods.entry(pod).or_default()
    }
}

impl Engine {
    /// An engine that knows nothing yet, and is silent until it is told to [lead](Engine::lead).
    pub fn new(settings: Settings, metrics: Metrics, now: Timestamp) -> Self {
        Self {
            settings,
            metrics,
            index: Index::default(),
            decisions: Decisions::default(),
            evidence: EvidenceStore::default(),
            sightings: Sightings::default(),
            plans: BTreeMap::new(),
            checks: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            policy_kinds: None,
            roots: Roots::new(now),
            hub_roots: HubRoots::default(),
            touched: Touched::default(),
            pod_events: BTreeMap::new(),
            missing: BTreeMap::new(),
            transitions_lost: BTreeMap::new(),
            peers: Peers::default(),
            seen: Seen::default(),
            injection: Injection::default(),
            opted_in: OptedIn::default(),
            interrupted: BTreeMap::new(),
            unheard: Kind::REQUIRED.into(),
            set_at: None,
            lead: Lead::default(),
        }
    }

    /// Whether every kind has been listed, so that there is something to judge by.
    pub fn ready(&self) -> bool {
        self.index.complete()
    }

    /// Takes in something that happened. Nothing is decided before [`Engine::settle`].
    pub fn take(&mut self, input: Input, now: Timestamp) -> Vec<Output> {
        match input {
            Input::Watch(event) => self.take_watch(event, now),
            Input::Sidecar(event, at) => {
                let outputs = self.take_sidecar(event, at, now);
                return if self.leads() { outputs } else { Vec::new() };
            }
            Input::Written(written) => return self.written(written, now).into_iter().collect(),
            Input::HubRoots(roots) => self.take_hub_roots(roots),
            Input::Roots(config_map, entry, read) => self.take_roots(config_map, entry, read),
            Input::Tick => return self.tick(now),
        }
        Vec::new()
    }

    /// Brings plans, decisions, verdicts and statuses up to date with everything taken in.
    pub fn settle(&mut self, now: Timestamp) -> Vec<Output> {
        if !self.index.complete() {
            return Vec::new();
        }
        let made = self.index.made().into_iter();
        let made = made.map(|(namespace, controller, pods)| Output::Made { namespace, controller, pods });
        let mut outputs: Vec<Output> = made.collect();
        self.watch_injection(now, &mut outputs);
        self.look_for_sidecars(now, &mut outputs);
        if !self.leads() {
            return self.stand_by(outputs);
        }
        if self.waits_for_watches(now) {
            return outputs;
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.checks.extend(self.on_the_way_of(&touched));
        if touched.cluster() {
            outputs.extend(self.carried_roots());
            self.refresh(&touched, now, &mut outputs);
            self.follow_members(&touched, now);
        }
        self.judge_touched(&touched, now, &mut outputs);
        self.tell_unreadable(now, &mut outputs);
        self.tell_planned(now, &mut outputs);
        for output in &outputs {
            if let Output::Status(check, write) = output {
                let ready = write.status.condition(peerwalk_api::condition::READY);
                tracing::debug!(%check, ready = ready.map(|c| c.status.as_str()), "judged");
            }
        }
        outputs
    }

    /// Whether judging rests because a watch was lost: what stands may rest on policies that have gone, and
    /// most interruptions are over at once. After that it goes on, and no claim about policy is confirmed.
    fn waits_for_watches(&self, now: Timestamp) -> bool {
        const PATIENCE: Duration = Duration::from_secs(30);
        self.interrupted.values().any(|since| now.since(*since) < PATIENCE)
    }

    fn take_watch(&mut self, event: WatchEvent, now: Timestamp) {
        let changes = match event {
            WatchEvent::Interrupted(kind) => {
                self.metrics.watch_interrupted();
                self.unheard.insert(kind);
                // What a check wants has no part in what is so.
                if kind != Kind::Check {
                    self.interrupted.entry(kind).or_insert(now);
                }
                return;
            }
            WatchEvent::Applied(object) => vec![self.index.apply(object)],
            WatchEvent::Deleted(kind, key) => vec![self.index.delete(kind, &key)],
            WatchEvent::Listed(kind, named) => {
                let was_complete = self.index.complete();
                self.unheard.remove(&kind);
                self.touched.all |= self.interrupted.remove(&kind).is_some();
                let gone = self.index.finish_list(kind, &named);
                self.touched.all |= !was_complete;
                if self.index.complete() {
                    self.seen.completed(now);
                }
                gone.iter().map(|key| self.index.delete(kind, key)).collect()
            }
            WatchEvent::PolicyKinds(kinds) => {
                self.take_policy_kinds(kinds, now);
                return;
            }
            WatchEvent::NotServed(kind) => {
                self.unheard.remove(&kind);
                self.touched.all |= self.interrupted.remove(&kind).is_some();
                self.index.keys(kind).iter().map(|key| self.index.delete(kind, key)).collect()
            }
        };
        for change in changes {
            self.touch(change, now);
        }
    }

    /// A kind that is served from now on may decide, and is not known before its first list is complete.
    fn take_policy_kinds(&mut self, kinds: PolicyKinds, now: Timestamp) {
        let known = self.policy_kinds.as_ref();
        self.touched.all |= known != Some(&kinds);
        for kind in &kinds.served {
            if known.is_none_or(|known| !known.served.contains(kind)) {
                self.unheard.insert(*kind);
                self.interrupted.entry(*kind).or_insert(now);
            }
        }
        self.policy_kinds = Some(kinds);
    }

    fn touch(&mut self, change: Change, now: Timestamp) {
        match change {
            Change::None => {}
            Change::Pod(change) => {
                self.seen.pod(&self.index, &change, now);
                self.injection.pod(
                    self.index.pod(&change.key),
                    &change.key,
                    &self.settings.sidecar_image,
                    now,
                );
                if change.new && self.index.complete() {
                    self.opted_in.new.push((change.key.clone(), now));
                }
                if change.addresses || change.selected_by || self.index.pod(&change.key).is_none() {
                    self.touched.ips.extend(change.ips);
                }
                self.touched.namespaces.insert(change.key.namespace);
            }
            Change::Service(key) => self.touch_service(key, now),
            Change::Services(old, new) => {
                self.touch_service(old, now);
                self.touch_service(new, now);
            }
            Change::Namespace(name) => {
                self.opted_in.namespace(&self.index, &name, now);
                self.touch_policies([name], now);
            }
            Change::Policy(namespaces) => self.touch_policies(namespaces, now),
            Change::Node => self.touched.all = true,
            Change::Check(key) => {
                self.touched.checks.insert(key);
            }
        }
    }

    /// Policies that apply to pods of these namespaces, or what they are selected by.
    fn touch_policies(&mut self, namespaces: impl IntoIterator<Item = String>, now: Timestamp) {
        for name in namespaces {
            self.seen.namespace(&name, now);
            self.touched.policies.insert(name.clone());
            self.touched.namespaces.insert(name);
        }
    }

    fn touch_service(&mut self, key: ObjectKey, now: Timestamp) {
        self.seen.service(&key, now);
        self.look_after(&key, now);
        self.touched.services.insert(key);
    }

    /// Time passes for pairs that wait for something, and now and then for all: a slow full pass that repairs
    /// what was lost.
    fn tick(&mut self, now: Timestamp) -> Vec<Output> {
        const FULL_PASS: Duration = Duration::from_secs(15);
        self.opted_in.forget(now);
        self.injection.forget(now);
        self.metrics.kinds_unheard(self.unheard.len());
        if !self.leads() {
            self.seen.forget(&self.index, now);
            self.metrics.sizes(0, self.index.pods().count());
            return Vec::new();
        }
        for (key, check) in &self.checks {
            if now.since(check.judged) >= FULL_PASS {
                self.touched.checks.insert(key.clone());
            } else if check.waits() {
                self.touched.waiting.insert(key.clone());
            }
        }
        let mut outputs = self.tick_peers(now);
        self.sightings.forget(now);
        self.seen.forget(&self.index, now);
        let pairs = self.checks.values().map(CheckState::pairs).sum();
        self.metrics.sizes(pairs, self.index.pods().count());
        outputs.extend(self.read_roots_again(now));
        outputs
    }
}

#[cfg(test)]
mod tests;
