//! The loop against an API server of our own, on a paused clock: what it does between inputs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::extract::RawQuery;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use peerwalk_model::{PodRef, TargetKey};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::cluster::sidecar::Image;
use crate::settings::{Allow, Details};

/// One pod with a sidecar, and a check of it.
fn objects(path: &str) -> Option<Value> {
    let pod = json!({
        "metadata": {"namespace": "shop", "name": "web-1", "uid": "1", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "app"}],
            "initContainers": [{"name": "peerwalk", "restartPolicy": "Always"}]},
        "status": {"phase": "Running", "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}]},
    });
    let check = json!({
        "metadata": {"namespace": "shop", "name": "storefront", "uid": "2", "generation": 1, "resourceVersion": "1"},
        "spec": {"source": {"podSelector": {"matchLabels": {"app": "web"}}},
            "targets": [{"name": "db", "dns": {"name": "db.example."}}]},
    });
    let items = match path {
        "/api/v1/pods" => vec![pod],
        "/api/v1/namespaces" => vec![json!({"metadata": {"name": "shop"}})],
        "/apis/peerwalk.dev/v1alpha1/connectivitychecks" => vec![check],
        "/api/v1/services"
        | "/api/v1/nodes"
        | "/apis/discovery.k8s.io/v1/endpointslices"
        | "/apis/networking.k8s.io/v1/networkpolicies" => vec![],
        _ => return None,
    };
    Some(json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}))
}

/// It lists these, nothing of it ever changes, and nothing else is there.
async fn answer(uri: Uri, RawQuery(query): RawQuery) -> Response {
    match objects(uri.path()) {
        Some(_) if query.is_some_and(|query| query.contains("watch=true")) => std::future::pending().await,
        Some(list) => Json(list).into_response(),
        None => {
            let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
                "message": "not found"});
            (StatusCode::NOT_FOUND, Json(status)).into_response()
        }
    }
}

static BEGAN: OnceLock<Instant> = OnceLock::new();
/// How far the wall clock was set, in milliseconds.
static SET: AtomicI64 = AtomicI64::new(0);

fn now() -> Timestamp {
    let passed = BEGAN.get_or_init(Instant::now).elapsed();
    Timestamp::from_millis(1_800_000_000_000 + SET.load(Ordering::Relaxed)).plus(passed)
}

fn settings() -> Settings {
    Settings {
        cluster_domain: "cluster.local".into(),
        allow: Allow::default(),
        details: Details::default(),
        hub: ObjectKey::new("peerwalk-system", "peerwalk-hub"),
        hub_address: "10.96.0.99:9443".parse().unwrap(),
        sidecar_image: Image { reference: "sidecar:1".into(), pull_policy: "IfNotPresent".into() },
        attach_within: Duration::from_secs(30),
        silence: Duration::from_secs(20),
    }
}

/// The loop at work.
struct Loop {
    outputs: mpsc::UnboundedReceiver<Output>,
    sidecars: mpsc::Sender<(SidecarEvent, Timestamp)>,
    leading: told::Sender<Leading>,
    registry: Registry,
    _explain: mpsc::Sender<Explain>,
}

impl Loop {
    fn start() -> Self {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let client = Client::new(Router::new().fallback(answer), "shop");
        let controller = Controller { client, settings: settings(), metrics };
        let (sidecars, told) = mpsc::channel(16);
        let (sender, outputs) = mpsc::unbounded_channel();
        let (explain, asked) = mpsc::channel(1);
        let leading = told::Sender::new(leads(1));
        let links = Links {
            sidecars: told,
            hub: move |output| drop(sender.send(output)),
            hub_roots: told::Sender::new(BTreeSet::new()).subscribe(),
            explain: asked,
            leading: leading.subscribe(),
            ready: oneshot::channel().0,
            turns: told::Sender::new(Instant::now()),
            now,
        };
        tokio::spawn(run(controller, links, CancellationToken::new()));
        Self { outputs, sidecars, leading, registry, _explain: explain }
    }

    /// Waits for the pod's plan.
    async fn planned(&mut self) {
        let plan = async {
            while let Some(output) = self.outputs.recv().await {
                if let Output::SetPlan(pod, plan) = output {
                    return (pod.name, plan.targets.len());
                }
            }
            panic!("the loop has ended");
        };
        let plan = timeout(Duration::from_secs(30), plan).await.expect("a plan comes");
        assert_eq!(plan, ("web-1".to_owned(), 1));
    }

    fn plans(&mut self) -> usize {
        let outputs = std::iter::from_fn(|| self.outputs.try_recv().ok());
        outputs.filter(|output| matches!(output, Output::SetPlan(..))).count()
    }

    /// The sidecar tells something, by the plan that it has.
    async fn tells(&self) {
        let pod = PodRef { namespace: "shop".into(), name: "web-1".into(), uid: "1".into() };
        let target = TargetKey { check: "storefront".into(), target: "db".into() };
        let walk = peerwalk_model::Walk::begin(target, 1, peerwalk_model::evidence::Trigger::Interval, now());
        for event in [SidecarEvent::Attached(pod.clone()), SidecarEvent::Walk(pod, Box::new(walk))] {
            self.sidecars.send((event, now())).await.expect("the loop takes it");
        }
    }

    /// What sidecars told and nobody took.
    fn dropped(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find(|line| line.starts_with("evidence_dropped_total "));
        line.expect("it is counted").to_owned()
    }
}

fn leads(term: u64) -> Leading {
    Leading::Leader { term, until: Instant::now() + Duration::from_hours(1000) }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_and_another_term_begin_all_anew_and_lose_nothing_that_waits() {
    const HOUR: i64 = 3_600_000;
    let mut turning = Loop::start();
    turning.planned().await;
    turning.tells().await;
    sleep(Duration::from_mins(2)).await;
    assert_eq!(turning.plans(), 0, "nothing changes while the clock goes on");
    for step in [HOUR, -HOUR] {
        SET.fetch_add(step, Ordering::Relaxed);
        // It waits with the turn that sees the step.
        turning.tells().await;
        turning.planned().await;
        sleep(Duration::from_mins(2)).await;
        assert_eq!(turning.plans(), 0, "once");
        assert_eq!(turning.dropped(), "evidence_dropped_total 0", "{step}");
    }
    turning.leading.send_replace(leads(2));
    turning.tells().await;
    turning.planned().await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(turning.dropped(), "evidence_dropped_total 0", "in the next term");
}
