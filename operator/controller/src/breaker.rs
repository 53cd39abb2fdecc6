//! When injection pauses and when it is tried again, for one namespace or for all. Pure: what pods show goes in,
//! steps come out ([why so](../../../docs/adr/0013-injection-breaker.md)).

#[cfg(test)]
mod tests;

use std::time::Duration;

use peerwalk_model::Timestamp;

/// As many pods that do not start open it.
const FEW: usize = 3;
/// One pod that has not started for this long opens it too, where no later pod has started.
const ALONE: Duration = Duration::from_mins(1);
/// From opening it to the first trial; it doubles with each opening in a row.
const WAIT: Duration = Duration::from_mins(1);
/// The longest wait. What has been closed for as long begins anew with the shortest.
const LONGEST: Duration = Duration::from_hours(1);
/// Pods that are injected at one trial.
pub const TRIALS: u32 = 2;

/// How our container fares in one injected pod, as far as it counts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing is decided.
    Open,
    /// It has run for a while.
    Started,
    /// It does not start, and the pod's own containers wait for it.
    Held,
    /// It ends again and again beside the pod's own containers: they run, and the pod is not ready.
    Falls,
}

/// One injected pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// When it was created, by the API server's clock: it orders pods.
    pub made: Timestamp,
    /// When it was seen first. All moments but `made` are of the operator's clock.
    pub first: Timestamp,
    /// How our container fares.
    pub fate: Fate,
    /// Since when it has fared so.
    pub since: Timestamp,
}

/// What opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One namespace: few pods are enough, whatever the others do.
    Namespace,
    /// All of them: few pods of at least two namespaces, where no later pod has started.
    Cluster {
        /// In how many namespaces pods are held.
        held_in: usize,
    },
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// No pod is injected for so long.
    Opened(Duration),
    /// A few pods are injected again, or a few more.
    Tries,
    /// Every pod is injected again: one has started, or none fails any more.
    Closed {
        /// Whether one has started.
        started: bool,
    },
}

/// Whether pods are injected, in one namespace or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    phase: Phase,
    /// Openings in a row.
    openings: u32,
    /// When it was last closed: failures that have stood since before say nothing new.
    closed: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Pods are injected.
    #[default]
    Closed,
    /// None is.
    Open { until: Timestamp },
    /// A few are, since a moment; a few more if none of them has shown anything by another.
    Trying { since: Timestamp, until: Timestamp },
}

impl Breaker {
    /// Whether pods are not all injected.
    pub fn paused(&self) -> bool {
        self.phase != Phase::Closed
    }

    /// Whether a few pods are injected for trial.
    pub fn tries(&self) -> bool {
        matches!(self.phase, Phase::Trying { .. })
    }

    /// Whether nothing of it has to be remembered.
    pub fn rests(&self, now: Timestamp) -> bool {
        !self.paused() && self.openings > 0 && now.since(self.closed) >= LONGEST || *self == Self::default()
    }

    /// Goes on by what the pods of its scope show at `now`.
    pub fn step(&mut self, scope: Scope, pods: &[PodSeen], now: Timestamp) -> Option<Step> {
        match self.phase {
            Phase::Closed => {
                let new = |pod: &&PodSeen| pod.fate == Fate::Started || pod.since >= self.closed;
                let lately: Vec<PodSeen> = pods.iter().filter(new).copied().collect();
                if !trips(scope, &lately, now) {
                    return None;
                }
                if now.since(self.closed) >= LONGEST {
                    self.openings = 0;
                }
                Some(self.open(now))
            }
            Phase::Open { until } if now >= until => {
                self.phase = Phase::Trying { since: now, until: now.plus(self.wait()) };
                Some(Step::Tries)
            }
            Phase::Open { .. } => None,
            Phase::Trying { since, until } => {
                // Also one that has waited all the time: its kubelet never ceased to try.
                let started = pods.iter().any(|pod| pod.fate == Fate::Started && pod.since >= since);
                if started || now >= until && !pods.iter().any(fails) {
                    self.phase = Phase::Closed;
                    self.closed = now;
                    return Some(Step::Closed { started });
                }
                if pods.iter().any(|pod| pod.first >= since && fails(pod)) {
                    return Some(self.open(now));
                }
                if now < until {
                    return None;
                }
                self.phase = Phase::Trying { since, until: now.plus(self.wait()) };
                Some(Step::Tries)
            }
        }
    }

    fn open(&mut self, now: Timestamp) -> Step {
        self.openings = self.openings.saturating_add(1);
        let wait = self.wait();
        self.phase = Phase::Open { until: now.plus(wait) };
        Step::Opened(wait)
    }

    /// How long it stays open after as many openings in a row.
    fn wait(&self) -> Duration {
        let doublings = self.openings.saturating_sub(1).min(6);
        WAIT.saturating_mul(1 << doublings).min(LONGEST)
    }
}

/// Whether a pod fails by our container.
fn fails(pod: &PodSeen) -> bool {
    matches!(pod.fate, Fate::Held | Fate::Falls)
}

/// Whether what pods show is enough to inject no more.
fn trips(scope: Scope, pods: &[PodSeen], now: Timestamp) -> bool {
    let count = |fate: Fate| pods.iter().filter(|pod| pod.fate == fate).count();
    let held = || pods.iter().filter(|pod| pod.fate == Fate::Held);
    let started_after = |made: Timestamp| pods.iter().any(|pod| pod.fate == Fate::Started && pod.made > made);
    let Some(first) = held().map(|pod| pod.made).min() else {
        return scope == Scope::Namespace
            && count(Fate::Falls) >= FEW
            && count(Fate::Falls) >= count(Fate::Started);
    };
    let alone = |pod: &PodSeen| now.since(pod.since) >= ALONE && !started_after(pod.made);
    match scope {
        Scope::Namespace => {
            count(Fate::Held) >= FEW
                || held().any(alone)
                || count(Fate::Falls) >= FEW && count(Fate::Falls) >= count(Fate::Started)
        }
        Scope::Cluster { held_in } => held_in >= 2 && count(Fate::Held) >= FEW && !started_after(first),
    }
}
