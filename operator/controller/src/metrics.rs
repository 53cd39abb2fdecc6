//! The controller's metrics. Labels come from closed enums, but for those of `check_ready` and
//! `check_latency_seconds`, which name the check, and its target, and of `injection_paused`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use peerwalk_model::report::Sockets;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::cluster::sidecar::SidecarCause;

/// What became of a status write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum WriteResult {
    /// The API server has it.
    Stored,
    /// The object changed meanwhile.
    Conflict,
    /// The object is gone.
    Gone,
    /// The API server does not take it: trying the same again is of little use.
    Refused,
    /// The API server did not answer in time.
    Timeout,
    /// It was not sent, since this replica leads no longer.
    Fenced,
    /// Anything else, which passes: no connection, or an API server that is overloaded or broken.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: WriteResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByName {
    namespace: String,
    name: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByNamespace {
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByQuantile {
    namespace: String,
    name: String,
    target: String,
    quantile: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

/// Counters and gauges, shared by cloning.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    writes: Family<ByResult, Counter>,
    events_lost: Counter,
    evidence_lost: Counter,
    judged: Counter,
    pairs: Gauge,
    pods: Gauge,
    ready: Family<ByName, Gauge<i64, AtomicI64>>,
    latency: Family<ByQuantile, Gauge<f64, AtomicU64>>,
    sockets: Family<ByState, Gauge<i64, AtomicI64>>,
    leaked: Gauge,
    breakers: Gauge,
    paused: Family<ByNamespace, Gauge>,
    pauses: Family<ByCause, Counter>,
    missed: Counter,
    overtaken: Counter,
    transitions_lost: Counter,
    watches_interrupted: Counter,
    kinds_unheard: Gauge,
    leading: Gauge,
}

impl Metrics {
    /// Makes them known to a registry.
    pub fn register(&self, registry: &mut Registry) {
        use WriteResult::{Conflict, Failed, Fenced, Gone, Refused, Stored, Timeout};
        self.register_injection(registry);
        let inner = &self.0;
        // Shown from the beginning, so that the first one counts as an increase.
        for result in [Stored, Conflict, Gone, Refused, Timeout, Fenced, Failed] {
            drop(inner.writes.get_or_create(&ByResult { result }));
        }
        registry.register("status_writes", "Status writes by what became of them", inner.writes.clone());
        registry.register("events_lost", "Events that were not published", inner.events_lost.clone());
        registry.register(
            "evidence_dropped",
            "Evidence that named no known pod or target",
            inner.evidence_lost.clone(),
        );
        registry.register("pairs_judged", "Judgements of single pairs", inner.judged.clone());
        registry.register("pairs", "Pairs of source pod and target that are walked", inner.pairs.clone());
        registry.register("pods_known", "Pods in the index", inner.pods.clone());
        registry.register(
            "check_ready",
            "Ready condition of each check: 1 for the status it has, 0 for the others",
            inner.ready.clone(),
        );
        registry.register(
            "check_latency_seconds",
            "How long walks of a target take that pass, over the pods of the check",
            inner.latency.clone(),
        );
        registry.register("leading", "Whether this replica judges and writes: 1 or 0", inner.leading.clone());
        registry.register(
            "sidecar_sockets",
            "Sockets of all attached sidecars to targets, and dials that wait for their turn",
            inner.sockets.clone(),
        );
        registry.register(
            "sidecar_sockets_leaked",
            "Sockets of attached sidecars that were open for longer than any walk takes: a defect",
            inner.leaked.clone(),
        );
        registry.register(
            "sidecar_breakers_open",
            "Addresses that attached sidecars dial less often, since walk after walk failed there",
            inner.breakers.clone(),
        );
        registry.register(
            "statuses_overtaken",
            "Statuses that a later one of the same check replaced before they were written",
            inner.overtaken.clone(),
        );
        registry.register(
            "transitions_lost",
            "Transitions that found no room in a sidecar while no hub took them",
            inner.transitions_lost.clone(),
        );
        registry.register(
            "watches_interrupted",
            "Times a watch of the API server failed and its kind was not heard of",
            inner.watches_interrupted.clone(),
        );
        registry.register(
            "kinds_unheard",
            "Kinds of object that are not heard of now: never listed, or their watch is lost",
            inner.kinds_unheard.clone(),
        );
    }

    fn register_injection(&self, registry: &mut Registry) {
        let inner = &self.0;
        for cause in SidecarCause::ALL {
            drop(inner.pauses.get_or_create(&ByCause { cause: cause.label() }));
        }
        registry.register(
            "injection_paused",
            "1 for each namespace in which pods get no sidecar since it failed there; * stands for all of them",
            inner.paused.clone(),
        );
        registry.register(
            "injection_pauses",
            "Times injection was paused, by what failed",
            inner.pauses.clone(),
        );
        registry.register(
            "injection_missed",
            "Pods that opted in and were made without a sidecar, and without the webhook saying why",
            inner.missed.clone(),
        );
    }

    /// Counts a status that was replaced before it was written.
    pub fn status_overtaken(&self) {
        self.0.overtaken.inc();
    }

    /// Counts transitions that sidecars lost.
    pub fn transitions_lost(&self, count: u64) {
        self.0.transitions_lost.inc_by(count);
    }

    /// Counts a watch that failed.
    pub fn watch_interrupted(&self) {
        self.0.watches_interrupted.inc();
    }

    /// How many kinds are not heard of.
    pub fn kinds_unheard(&self, kinds: usize) {
        self.0.kinds_unheard.set(i64::try_from(kinds).unwrap_or(i64::MAX));
    }

    /// Injection is paused in a namespace.
    pub fn injection_paused(&self, namespace: &str, cause: &'static str) {
        self.0.paused.get_or_create(&ByNamespace { namespace: namespace.to_owned() }).set(1);
        self.0.pauses.get_or_create(&ByCause { cause }).inc();
    }

    /// Injection goes on in a namespace.
    pub fn injection_resumes(&self, namespace: &str) {
        self.0.paused.remove(&ByNamespace { namespace: namespace.to_owned() });
    }

    /// Counts a pod that opted in and was made without a sidecar.
    pub fn injection_missed(&self) {
        self.0.missed.inc();
    }

    /// Whether this replica leads.
    pub fn leading(&self, leads: bool) {
        self.0.leading.set(leads.into());
    }

    /// Counts a status write.
    pub fn status_write(&self, result: WriteResult) {
        self.0.writes.get_or_create(&ByResult { result }).inc();
    }

    /// Counts an event that was not published.
    pub fn event_lost(&self) {
        self.0.events_lost.inc();
    }

    /// Counts evidence that could not be used.
    pub fn evidence_lost(&self) {
        self.0.evidence_lost.inc();
    }

    /// Counts pairs that were judged.
    pub fn judged(&self, pairs: usize) {
        self.0.judged.inc_by(u64::try_from(pairs).unwrap_or(u64::MAX));
    }

    /// How many pairs were judged.
    #[cfg(test)]
    pub fn judgements(&self) -> u64 {
        self.0.judged.get()
    }

    /// How much is planned and known.
    pub fn sizes(&self, pairs: usize, pods: usize) {
        self.0.pairs.set(i64::try_from(pairs).unwrap_or(i64::MAX));
        self.0.pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    /// How long walks of a target take, by half and by 99 of 100 of them; `None` when that is not known any more.
    pub fn latency(&self, namespace: &str, name: &str, target: &str, times: Option<(Duration, Duration)>) {
        for (quantile, time) in [("0.5", times.map(|times| times.0)), ("0.99", times.map(|times| times.1))] {
            let (namespace, name, target) = (namespace.to_owned(), name.to_owned(), target.to_owned());
            let labels = ByQuantile { namespace, name, target, quantile };
            match time {
                Some(time) => {
                    self.0.latency.get_or_create(&labels).set(time.as_secs_f64());
                }
                None => {
                    self.0.latency.remove(&labels);
                }
            }
        }
    }

    /// The sockets of all attached sidecars together.
    pub fn sockets(&self, sockets: Sockets) {
        for (state, number) in [("active", sockets.active), ("waiting", sockets.waiting)] {
            self.0.sockets.get_or_create(&ByState { state }).set(number.into());
        }
        self.0.leaked.set(sockets.leaked.into());
        self.0.breakers.set(sockets.breakers.into());
    }

    /// The Ready condition of a check; `None` when the check is gone.
    pub fn ready(&self, namespace: &str, name: &str, ready: Option<&str>) {
        for status in ["True", "False", "Unknown"] {
            let labels = ByName { namespace: namespace.to_owned(), name: name.to_owned(), status };
            match ready {
                Some(ready) => {
                    self.0.ready.get_or_create(&labels).set(i64::from(ready == status));
                }
                None => {
                    self.0.ready.remove(&labels);
                }
            }
        }
    }
}
