//! Where injection pauses: what injected pods show of our container goes into the breakers of their namespace
//! and of the cluster, and what these say goes to the webhook, into the metrics, into Covered and into an event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerwalk_model::Timestamp;

use super::{Engine, Output};
use crate::breaker::{Breaker, Fate, PodSeen, Scope, Step, TRIALS};
use crate::cluster::record::{ObjectKey, Pod};
use crate::cluster::sidecar::{Image, Sidecar, SidecarCause, SidecarFailure};
use crate::publish::{EventRecord, Regarding};

/// A container that has run for so long has started: one that is about to end does not.
const SETTLED: Duration = Duration::from_secs(10);
/// What a pod that has finished showed counts for so long: longer than a pod may be held before that counts alone.
const FINISHED: Duration = Duration::from_mins(2);
/// The scope of all namespaces, as metrics name it.
const ALL: &str = "*";

/// Where pods get no sidecar for now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// In all namespaces.
    pub cluster: Option<Pause>,
    /// In single ones.
    pub namespaces: BTreeMap<String, Pause>,
}

/// Why pods get no sidecar, and how many do all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What fails, with the kubelet's words.
    pub why: String,
    /// How many pods are injected for trial.
    pub trials: u32,
    /// The number of the trial: with the same number, those that were used up stay so.
    pub trial: u64,
}

/// Our container in the pods that have it, and what follows.
#[derive(Debug, Default)]
pub(super) struct Injection {
    pods: BTreeMap<ObjectKey, Known>,
    /// Namespaces in which a pod fails, or whose breaker does not rest.
    namespaces: BTreeMap<String, Place>,
    cluster: Place,
    trial: u64,
    /// What the webhook was told last: nothing by this engine, but maybe by one before it.
    told: Option<Pauses>,
}

/// What is known of one pod.
#[derive(Clone, Debug)]
struct Known {
    uid: String,
    made: Timestamp,
    first: Timestamp,
    shows: Shows,
    /// Its image is the one that the webhook gives.
    own_image: bool,
    since: Timestamp,
}

/// What our container shows in one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shows {
    Nothing,
    Runs,
    Fails(SidecarFailure),
    /// It ran until its pod had finished, however soon that was.
    Ran,
}

/// One scope.
#[derive(Debug, Default)]
struct Place {
    breaker: Breaker,
    why: String,
    trial: u64,
}

impl Injection {
    /// A pod came, changed or went; `image` is what the webhook gives sidecars.
    pub(super) fn pod(&mut self, pod: Option<&Pod>, key: &ObjectKey, image: &Image, now: Timestamp) {
        if let (Some(pod), Some(known)) = (pod.filter(|pod| pod.finished), self.pods.get_mut(key))
            && known.uid == pod.id.uid
            && known.finish(now)
        {
            return;
        }
        // Without the annotation it is somebody else's container. Ours ends with its pod, and that is no failure.
        let ours = |pod: &&Pod| pod.injected && pod.hub_root.is_some() && !pod.finished && !pod.terminating;
        let Some(pod) = pod.filter(ours) else {
            self.pods.remove(key);
            return;
        };
        let new = || Known {
            uid: pod.id.uid.clone(),
            made: pod.created,
            first: now,
            shows: Shows::Nothing,
            own_image: false,
            since: now,
        };
        let known = self.pods.entry(key.clone()).or_insert_with(new);
        if known.uid != pod.id.uid {
            *known = new();
        }
        let shows = match &pod.sidecar {
            // Between two attempts it may show nothing.
            Sidecar::Waiting if known.shows == Shows::Runs => Shows::Nothing,
            Sidecar::Waiting => return,
            Sidecar::Running => Shows::Runs,
            Sidecar::Failing(failure) => Shows::Fails(failure.clone()),
        };
        // Its words change with each attempt, and it fares no other way.
        if std::mem::discriminant(&shows) != std::mem::discriminant(&known.shows) {
            known.since = now;
        }
        if matches!(shows, Shows::Fails(_)) && !self.namespaces.contains_key(&key.namespace) {
            self.namespaces.insert(key.namespace.clone(), Place::default());
        }
        known.shows = shows;
        known.own_image = pod.sidecar_image.as_ref() == Some(image);
    }

    /// Forgets pods that have finished, once what they showed is of long ago.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.pods.retain(|_, known| known.shows != Shows::Ran || now.since(known.since) < FINISHED);
    }

    /// Why pods made now in a namespace get no sidecar.
    pub(super) fn paused(&self, namespace: &str) -> Option<&str> {
        let places = [Some(&self.cluster), self.namespaces.get(namespace)];
        places.into_iter().flatten().find(|place| place.breaker.paused()).map(|place| place.why.as_str())
    }

    fn pods_of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a ObjectKey, &'a Known)> {
        self.pods
            .range(ObjectKey::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == namespace)
    }

    /// The pods whose image cannot be had, before their own containers have started.
    fn without_image(&self) -> impl Iterator<Item = (&ObjectKey, &Known)> {
        let pods = self.namespaces.keys().flat_map(|namespace| self.pods_of(namespace));
        pods.filter(|(_, known)| known.held_for_image())
    }

    /// What all pods show of the image.
    fn of_the_image(&self, now: Timestamp) -> (Scope, Vec<PodSeen>) {
        let held: BTreeSet<&str> = self.without_image().map(|(key, _)| key.namespace.as_str()).collect();
        let scope = Scope::Cluster { held_in: held.len() };
        // All of them are looked at only when it matters.
        if held.len() < 2 && !self.cluster.breaker.paused() {
            return (scope, Vec::new());
        }
        let of_image = |known: &&Known| !matches!(known.shows, Shows::Fails(_)) || known.held_for_image();
        (scope, self.pods.values().filter(of_image).map(|known| known.seen(now)).collect())
    }

    fn pauses(&self) -> Pauses {
        let pause = |place: &Place| {
            let trials = if place.breaker.tries() { TRIALS } else { 0 };
            let pause = Pause { why: place.why.clone(), trials, trial: place.trial };
            place.breaker.paused().then_some(pause)
        };
        let namespaces = self.namespaces.iter();
        Pauses {
            cluster: pause(&self.cluster),
            namespaces: namespaces.filter_map(|(name, place)| Some((name.clone(), pause(place)?))).collect(),
        }
    }
}

impl Known {
    /// Its pod has finished; whether our container ran until then. It started when it had settled, or ended before.
    fn finish(&mut self, now: Timestamp) -> bool {
        if self.shows == Shows::Runs {
            (self.shows, self.since) = (Shows::Ran, self.since.plus(SETTLED).min(now));
        }
        self.shows == Shows::Ran
    }

    /// Whether it has started, as far as may be told of it.
    fn has_run(&self) -> bool {
        matches!(self.shows, Shows::Runs | Shows::Ran)
    }

    /// Whether the pod waits for the image that everybody gets. Whoever makes pods can have one wait for another image, and
    /// is not to pause injection for others by it.
    fn held_for_image(&self) -> bool {
        self.own_image
            && matches!(&self.shows, Shows::Fails(f) if f.cause == SidecarCause::Image && !f.initialized)
    }

    fn seen(&self, now: Timestamp) -> PodSeen {
        let (fate, since) = match &self.shows {
            Shows::Runs if now.since(self.since) >= SETTLED => (Fate::Started, self.since.plus(SETTLED)),
            Shows::Ran => (Fate::Started, self.since),
            Shows::Runs | Shows::Nothing => (Fate::Open, self.since),
            Shows::Fails(failure) if failure.initialized => (Fate::Falls, self.since),
            Shows::Fails(_) => (Fate::Held, self.since),
        };
        PodSeen { made: self.made, first: self.first, fate, since }
    }
}

impl Engine {
    /// Forgets all about injection, as if it had never paused. The webhook hears of it.
    pub(super) fn forget_pauses(&mut self) {
        let injection = std::mem::take(&mut self.injection);
        for namespace in injection.namespaces.keys().map(String::as_str).chain([ALL]) {
            self.metrics.injection_resumes(namespace);
        }
    }

    /// Pauses injection where our container fails, and tries it again: events, metrics, what the webhook is told.
    pub(super) fn watch_injection(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        for name in self.injection.namespaces.keys().cloned().collect::<Vec<_>>() {
            if self.index.namespace(&name).is_none() {
                self.injection.namespaces.remove(&name);
                self.metrics.injection_resumes(&name);
                continue;
            }
            let pods: Vec<PodSeen> = self.injection.pods_of(&name).map(|(_, pod)| pod.seen(now)).collect();
            let Some(place) = self.injection.namespaces.get_mut(&name) else { continue };
            match place.breaker.step(Scope::Namespace, &pods, now) {
                Some(step) => self.went(Some(&name), step, outputs),
                None if place.breaker.rests(now) && !pods.iter().any(|pod| fails(pod.fate)) => {
                    self.injection.namespaces.remove(&name);
                }
                None => {}
            }
        }
        let (scope, pods) = self.injection.of_the_image(now);
        if let Some(step) = self.injection.cluster.breaker.step(scope, &pods, now) {
            self.went(None, step, outputs);
        }
        let pauses = self.injection.pauses();
        if self.injection.told.as_ref() != Some(&pauses) {
            self.injection.told = Some(pauses.clone());
            outputs.push(Output::Injection(pauses));
        }
    }

    /// A breaker took a step: that of a namespace, or that of all.
    fn went(&mut self, namespace: Option<&str>, step: Step, outputs: &mut Vec<Output>) {
        let injection = &mut self.injection;
        // Whoever failed or started last tells of it.
        let fails = |known: &Known| match (&known.shows, namespace) {
            (Shows::Fails(_), Some(_)) => true,
            (Shows::Fails(_), None) => known.held_for_image(),
            _ => false,
        };
        let speaks = |known: &Known| {
            if matches!(step, Step::Closed { .. }) { known.has_run() } else { fails(known) }
        };
        let in_scope = |key: &ObjectKey| namespace.is_none_or(|name| name == key.namespace);
        let speakers = injection.pods.iter().filter(|(key, known)| in_scope(key) && speaks(known));
        let speaker = speakers.max_by_key(|(_, known)| (known.since, known.made));
        let speaker = speaker.map(|(key, known)| (key.clone(), known.clone()));
        let held = injection.pods.iter().filter(|(key, known)| in_scope(key) && fails(known)).count();
        let place = match namespace {
            Some(name) => injection.namespaces.entry(name.to_owned()).or_default(),
            None => &mut injection.cluster,
        };
        let label = namespace.unwrap_or(ALL);
        let record = |(key, known): &(ObjectKey, Known), warning: bool, reason: &str, note: String| {
            let (namespace, name) = (key.namespace.clone(), key.name.clone());
            let pod = peerwalk_model::PodRef { namespace, name, uid: known.uid.clone() };
            Output::Event(EventRecord {
                regarding: Regarding::Pod(pod),
                warning,
                reason: reason.into(),
                note,
            })
        };
        let everywhere = namespace.map_or("any namespace".to_owned(), |name| format!("namespace {name}"));
        match step {
            Step::Opened(wait) => {
                if let Some((_, Known { shows: Shows::Fails(failure), .. })) = &speaker {
                    place.why = failure.words();
                    self.metrics.injection_paused(label, failure.cause.label());
                }
                tracing::warn!(scope = label, why = place.why, wait = ?wait, pods = held, "injection is paused");
                let note = format!(
                    "pods made in {everywhere} get no sidecar for {} min, as it fails in {held} of them: {}. \
                     Pods that wait for it start without it once they are deleted and made again",
                    wait.as_secs() / 60,
                    place.why
                );
                outputs.extend(speaker.iter().map(|pod| record(pod, true, "InjectionPaused", note.clone())));
            }
            Step::Tries => {
                injection.trial += 1;
                place.trial = injection.trial;
                tracing::info!(scope = label, pods = TRIALS, "injection is tried again");
            }
            Step::Closed { started } => {
                self.metrics.injection_resumes(label);
                tracing::info!(scope = label, "injection goes on");
                let note = format!(
                    "the sidecar starts again, and pods made in {everywhere} get it: kubectl rollout restart \
                     gives it to those made meanwhile"
                );
                let speaker = speaker.iter().filter(|_| started);
                outputs.extend(speaker.map(|pod| record(pod, false, "InjectionResumed", note.clone())));
            }
        }
        // Covered tells why pods have no sidecar.
        match namespace {
            Some(name) => {
                self.touched.namespaces.insert(name.to_owned());
            }
            None => self.touched.all = true,
        }
    }
}

/// Whether a fate is a failure.
fn fails(fate: Fate) -> bool {
    matches!(fate, Fate::Held | Fate::Falls)
}
