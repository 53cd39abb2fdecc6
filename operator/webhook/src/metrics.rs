//! What the webhook counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::decide::SkipReason;

/// How one admission ended. A closed set, so the number of series is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pod got the sidecar.
    Injected,
    /// The pod has the sidecar from an earlier call, and it was changed.
    Adjusted,
    /// The pod is to stay as it is.
    Skipped(SkipReason),
    /// The pod stays as it is because something went wrong.
    Failed(Failure),
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The body did not arrive whole, or is not read: too long, too late, cut, or too much once it is parsed.
    Body,
    /// The body is not an AdmissionReview that this program reads.
    Review,
    /// The patch does not apply to the pod it was made for.
    Patch,
}

impl Failure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "Body",
            Self::Review => "Review",
            Self::Patch => "Patch",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    result: &'static str,
    reason: &'static str,
}

impl From<Outcome> for Labels {
    fn from(outcome: Outcome) -> Self {
        let (result, reason) = match outcome {
            Outcome::Injected => ("injected", ""),
            Outcome::Adjusted => ("adjusted", ""),
            Outcome::Skipped(reason) => ("skipped", reason.as_str()),
            Outcome::Failed(failure) => ("failed", failure.as_str()),
        };
        Self { result, reason }
    }
}

/// The webhook's metrics. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct WebhookMetrics {
    admissions: Family<Labels, Counter>,
    connections_refused: Counter,
    handshakes_failed: Counter,
    namespaces_unknown: Counter,
}

impl WebhookMetrics {
    /// Registers `webhook_admissions_total{result,reason}`, `webhook_connections_refused_total`,
    /// `webhook_tls_handshakes_failed_total` and `webhook_namespaces_unknown_total` below the registry's prefix.
    pub fn register(&self, registry: &mut Registry) {
        // Shown from the beginning, so that the first one counts as an increase.
        for failure in [Failure::Body, Failure::Review, Failure::Patch] {
            self.admissions(Outcome::Failed(failure));
        }
        registry.register(
            "webhook_admissions",
            "Admission requests by how they ended",
            self.admissions.clone(),
        );
        registry.register(
            "webhook_connections_refused",
            "Connections closed at once because too many were open",
            self.connections_refused.clone(),
        );
        registry.register(
            "webhook_tls_handshakes_failed",
            "TLS handshakes with the webhook that failed, for example over a stale caBundle",
            self.handshakes_failed.clone(),
        );
        registry.register(
            "webhook_namespaces_unknown",
            "Pods that were looked at before it was known what their namespace asks of its pods",
            self.namespaces_unknown.clone(),
        );
    }

    /// How many pods were decided on without knowing their namespace.
    pub fn namespaces_unknown(&self) -> u64 {
        self.namespaces_unknown.get()
    }

    /// How many admissions ended this way.
    pub fn admissions(&self, outcome: Outcome) -> u64 {
        self.admissions.get_or_create(&outcome.into()).get()
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.admissions.get_or_create(&outcome.into()).inc();
    }

    pub(crate) fn count_unknown_namespace(&self) {
        self.namespaces_unknown.inc();
    }

    pub(crate) fn count_refused_connection(&self) {
        self.connections_refused.inc();
    }

    pub(crate) fn count_failed_handshake(&self) {
        self.handshakes_failed.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_named_as_documented() {
        let (metrics, mut registry) = (WebhookMetrics::default(), Registry::with_prefix("peerwalk"));
        metrics.register(&mut registry);
        metrics.count(Outcome::Injected);
        metrics.count(Outcome::Skipped(SkipReason::HostNetwork));
        metrics.count(Outcome::Failed(Failure::Patch));
        metrics.count_refused_connection();
        metrics.count_failed_handshake();
        metrics.count_unknown_namespace();
        metrics.count(Outcome::Adjusted);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        for series in [
            r#"peerwalk_webhook_admissions_total{result="injected",reason=""} 1"#,
            r#"peerwalk_webhook_admissions_total{result="skipped",reason="HostNetwork"} 1"#,
            r#"peerwalk_webhook_admissions_total{result="failed",reason="Patch"} 1"#,
            "peerwalk_webhook_connections_refused_total 1",
            "peerwalk_webhook_tls_handshakes_failed_total 1",
            "peerwalk_webhook_namespaces_unknown_total 1",
            r#"peerwalk_webhook_admissions_total{result="adjusted",reason=""} 1"#,
        ] {
            assert!(text.contains(series), "{series} in:\n{text}");
        }
    }
}
