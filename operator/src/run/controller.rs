//! The controller and the hub, joined: who leads, what sidecars tell, and what they are told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_controller::cluster::ObjectKey;
use peerwalk_controller::cluster::sidecar::Image;
use peerwalk_controller::{Controller, Details, Explain, Links, Output, Settings, SidecarEvent};
use peerwalk_hub::{Hub, HubEvent, HubHandle, Role};
use peerwalk_model::Timestamp;
use peerwalk_webhook::{Namespaces, Pause, Pauses};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tracing::{error, warn};

use super::{Clients, Trust, listen, pulse, when_told};
use crate::args::{Args, CrossNamespaceDetails};
use crate::certificates::Trusted;
use crate::http::{Pulse, Readiness};
use crate::identity::{KnownPods, Reviewer};
use crate::role;
use crate::stages::Stages;

/// Signs of life come at this interval: one of them proves that a silent target's network lives.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a stream may be silent before its pod no longer counts as reporting.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a sidecar may take to attach: longer than its longest back-off.
const ATTACH_WITHIN: Duration = Duration::from_secs(45);
/// Sidecar events that wait for the controller.
const SIDECAR_EVENTS: usize = 4096;

/// Starts them, the hub as one that takes no sidecar yet. Gives where explanations are asked for.
pub(super) async fn start(
    stages: &mut Stages,
    clients: &Clients,
    args: &Args,
    hub_address: SocketAddr,
    trust: &Trust,
    (readiness, (pauses, namespaces), pulses): (&Arc<Readiness>, (&Pauses, &Namespaces), &mut Vec<Pulse>),
    registry: &mut Registry,
) -> anyhow::Result<mpsc::Sender<Explain>> {
    let (pauses, namespaces) = (pauses.clone(), namespaces.clone());
    let pods = KnownPods::default();
    let reviewer = Arc::new(Reviewer::new(clients.api.clone(), pods.clone(), Arc::clone(readiness)));
    let config = peerwalk_hub::Config { heartbeat_interval: HEARTBEAT, ..peerwalk_hub::Config::new(now) };
    let (hub, events) = Hub::new(config, reviewer);
    hub.metrics().register(registry);
    pulses.push(Pulse { of: "the hub", turned: hub.pulse() });
    let handle = hub.handle();
    handle.set_role(Role::Standby { redirect: None });
    let (planned_sender, planned) = watch::channel(None);
    let leading = trust.leading.clone();
    let (followed, follows) = (handle.clone(), leading.clone());
    stages.work.start(|stop| async move {
        role::follow(followed, follows, planned, stop).await;
        Ok(())
    });
    let listener = listen("--hub-listen", args.hub_listen).await?;
    let tls = trust.certificates.hub_tls();
    stages.work.start(|stop| async move {
        hub.serve(listener, tls, stop).await;
        Ok(())
    });

    let (sidecar_sender, sidecars) = mpsc::channel(SIDECAR_EVENTS);
    stages.work.start(|_| forward(events, sidecar_sender));
    let (explain_sender, explain) = mpsc::channel(16);
    let controller = Controller {
        client: clients.watching.clone(),
        settings: settings(args, hub_address),
        metrics: peerwalk_controller::metrics::Metrics::default(),
    };
    controller.metrics.register(registry);
    let ready = when_told(readiness, Readiness::listed);
    let carried = trust.carried.clone();
    let hub = move |output| match output {
        Output::CarriedRoots(roots) => drop(carried.send_replace(Some(roots))),
        Output::Planned(term) => drop(planned_sender.send_replace(Some(term))),
        Output::Made { namespace, controller, pods } => namespaces.made(&namespace, &controller, pods),
        output => to_hub(&handle, &pods, &pauses, output),
    };
    let hub_roots = hub_roots(trust.certificates.trusted());
    let turns = pulse(pulses, "the controller");
    let links = Links { sidecars, hub, hub_roots, explain, leading, ready, turns, now };
    stages.judging.start(|stop| async move { Ok(peerwalk_controller::run(controller, links, stop).await?) });
    Ok(explain_sender)
}

fn settings(args: &Args, hub_address: SocketAddr) -> Settings {
    Settings {
        cluster_domain: args.cluster_domain.clone(),
        allow: args.allow_targets.iter().cloned().collect(),
        details: match args.cross_namespace_details {
            CrossNamespaceDetails::Full => Details::Full,
            CrossNamespaceDetails::Redacted => Details::Redacted,
        },
        hub: ObjectKey::new(&args.namespace, &args.hub_service),
        hub_address,
        sidecar_image: Image {
            reference: args.sidecar_image.clone(),
            pull_policy: args.sidecar_image_pull_policy.as_str().to_owned(),
        },
        attach_within: ATTACH_WITHIN,
        silence: SILENCE,
    }
}

/// Hub events in the controller's words, with the moments at which they reached the hub.
async fn forward(
    mut events: mpsc::Receiver<HubEvent>,
    sidecars: mpsc::Sender<(SidecarEvent, Timestamp)>,
) -> anyhow::Result<()> {
    while let Some(event) = events.recv().await {
        let event = match event {
            HubEvent::Attached { pod, at } => (SidecarEvent::Attached(pod), at),
            HubEvent::Detached { pod, at } => (SidecarEvent::Detached(pod), at),
            HubEvent::Contested { pod, at } => (SidecarEvent::Contested(pod), at),
            HubEvent::Heartbeat { pod, at, heartbeat } => (SidecarEvent::Heartbeat(pod, heartbeat), at),
            HubEvent::Evidence { pod, at, walk } => (SidecarEvent::Walk(pod, walk), at),
            HubEvent::Saw { pod, at, id, saw } => (SidecarEvent::Saw(pod, id, saw), at),
            HubEvent::Transitions { pod, at, transitions } => {
                (SidecarEvent::Transitions(pod, transitions), at)
            }
        };
        if sidecars.send(event).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Tells the webhook where no pod is to be injected.
fn pause(pauses: &Pauses, paused: peerwalk_controller::Pauses) {
    let pause = |pause: peerwalk_controller::Pause| Pause::new(pause.why, pause.trial, pause.trials);
    let namespaces = paused.namespaces.into_iter().map(|(name, paused)| (name, pause(paused)));
    pauses.replace(paused.cluster.map(pause), namespaces.collect());
}

fn to_hub(hub: &HubHandle, pods: &KnownPods, pauses: &Pauses, output: Output) {
    match output {
        Output::SetPlan(pod, plan) => {
            if let Err(error) = hub.set_plan(&pod, plan) {
                error!(%pod, %error, "the plan breaks a limit of the protocol; the pod keeps the one it has");
            }
            pods.add(pod);
        }
        Output::RemovePod(pod) => {
            pods.remove(&pod);
            hub.remove_pod(&pod);
        }
        Output::WalkNow(pod, targets) => {
            // The hub keeps it for a pod that is not attached.
            hub.walk_now(&pod, targets);
        }
        Output::SendAll(pod) => hub.send_all(&pod),
        Output::Watch(pod, window) => {
            hub.watch(&pod, window);
        }
        Output::Look(pod, id, tuples) => {
            hub.look(&pod, id, tuples);
        }
        Output::Injection(paused) => pause(pauses, paused),
        Output::Status(..)
        | Output::Event(_)
        | Output::ReadRoots(..)
        | Output::CarriedRoots(_)
        | Output::Made { .. }
        | Output::Planned(_) => {
            warn!("this is carried out elsewhere");
        }
    }
}

/// The fingerprints of all roots by which pods can verify the hub, as they change.
fn hub_roots(mut trusted: watch::Receiver<Trusted>) -> watch::Receiver<BTreeSet<String>> {
    let sender = watch::Sender::new(trusted.borrow_and_update().hub_fingerprints.clone());
    let receiver = sender.subscribe();
    tokio::spawn(async move {
        while trusted.changed().await.is_ok() {
            sender.send_replace(trusted.borrow_and_update().hub_fingerprints.clone());
        }
    });
    receiver
}

fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}
