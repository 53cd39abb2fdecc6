//! The loop that joins the engine with the world: inputs from watches, sidecars and writes; outputs to the
//! hub and the API server.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use peerwalk_model::Timestamp;
use tokio::sync::{mpsc, oneshot, watch as told};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clocks::Clocks;
use crate::cluster::record::ObjectKey;
use crate::engine::{Engine, Form, Input, Output, RootsRead, SidecarEvent};
use crate::leading::Leading;
use crate::metrics::Metrics;
use crate::publish::{EventRecord, Outbox, Written, publish_events, write_statuses};
use crate::settings::{ROOTS_BYTES, Settings};
use crate::{discovery, watch};

/// Inputs taken in before all is brought up to date.
const BATCH: usize = 1024;
/// From one tick to the next.
const TICK: Duration = Duration::from_secs(1);
/// For reading a ConfigMap.
const READ: Duration = Duration::from_secs(5);
/// Events that wait to be published.
const EVENTS: usize = 256;

/// Why the controller ended before it was asked to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A task ended that never does. Without it the controller would go on by what it knew then.
    #[error("the task of {0} ended; restart the operator")]
    TaskEnded(&'static str),
    /// A task panicked; the panic itself was logged when it came.
    #[error("a task panicked; restart the operator and report what it logged")]
    TaskPanicked,
}

/// Tasks that never end by themselves, each giving its name when it does.
pub(crate) type Tasks = JoinSet<&'static str>;

/// What the controller needs besides the API server.
#[derive(Debug)]
pub struct Links<F> {
    /// What sidecars tell, and when it reached the hub.
    pub sidecars: mpsc::Receiver<(SidecarEvent, Timestamp)>,
    /// Takes what concerns the hub: plans, removals, requests to walk and to send again, and the roots that pods carry;
    /// and the webhook's pauses.
    pub hub: F,
    /// The fingerprints of all roots by which pods can verify the hub.
    pub hub_roots: tokio::sync::watch::Receiver<BTreeSet<String>>,
    /// Requests to explain a check.
    pub explain: mpsc::Receiver<Explain>,
    /// Whether this replica leads.
    pub leading: told::Receiver<Leading>,
    /// Told once everything has been listed.
    pub ready: oneshot::Sender<()>,
    /// Told at each turn of the loop, by which others see that it does not hang.
    pub turns: tokio::sync::watch::Sender<Instant>,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// A request to explain a check.
#[derive(Debug)]
pub struct Explain {
    /// Which check.
    pub check: ObjectKey,
    /// In which form.
    pub form: Form,
    /// Where the text goes; `None` when there is no such check.
    pub answer: oneshot::Sender<Option<String>>,
}

/// The controller with its client.
#[derive(Clone)]
pub struct Controller {
    /// The client for watches and writes.
    pub client: Client,
    /// The configuration.
    pub settings: Settings,
    /// The metrics.
    pub metrics: Metrics,
}

struct Channels {
    watch: mpsc::Receiver<watch::WatchEvent>,
    written: mpsc::Receiver<Written>,
    roots: mpsc::Receiver<(ObjectKey, String, RootsRead)>,
    roots_sender: mpsc::Sender<(ObjectKey, String, RootsRead)>,
    events: mpsc::Sender<EventRecord>,
    outbox: Outbox,
}

/// Runs until shutdown.
pub async fn run<F: FnMut(Output)>(
    controller: Controller,
    mut links: Links<F>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let mut engine = Engine::new(controller.settings.clone(), controller.metrics.clone(), (links.now)());
    let mut clocks = Clocks { wall: (links.now)(), monotonic: Instant::now() };
    let mut tasks = Tasks::new();
    let mut channels = start(&controller, &links.leading, &mut tasks, &shutdown);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ready = Some(links.ready);
    let mut inputs = VecDeque::from([Input::HubRoots(links.hub_roots.borrow_and_update().clone())]);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(event) = channels.watch.recv() => inputs.push_back(Input::Watch(event)),
            Some((event, at)) = links.sidecars.recv() => inputs.push_back(Input::Sidecar(event, at)),
            Some(written) = channels.written.recv() => inputs.push_back(Input::Written(written)),
            Some((map, entry, roots)) = channels.roots.recv() => {
                inputs.push_back(Input::Roots(map, entry, roots));
            }
            Ok(()) = links.hub_roots.changed() => {
                inputs.push_back(Input::HubRoots(links.hub_roots.borrow_and_update().clone()));
            }
            Some(Explain { check, form, answer }) = links.explain.recv() => {
                // Whoever asked may be gone; that is no one's loss.
                let _ = answer.send(engine.explain(&check, form, (links.now)()));
            }
            Ok(()) = links.leading.changed() => {}
            _ = ticks.tick() => inputs.push_back(Input::Tick),
            // At shutdown the writer ends too, and rightly.
            error = ended(&mut tasks) => return if shutdown.is_cancelled() { Ok(()) } else { Err(error) },
        }
        take_waiting(&mut channels, &mut links.sidecars, &mut inputs);
        links.turns.send_replace(Instant::now());
        let now = (links.now)();
        let set = clocks.were_set(now, Instant::now());
        if set {
            warn!("the clock was set; what sidecars have found is asked for again, as after a restart");
            engine.clock_set(now);
        }
        // By the clock each time: after a pause nobody has said yet that the lead is lost.
        let term = links.leading.borrow_and_update().term(Instant::now());
        let anew = engine.lead(term, now) || set;
        if term.is_none() {
            channels.outbox.clear(&controller.metrics);
        }
        // Sidecars have told what waits by plans that an engine which has begun anew does not have before it settles.
        let mut outputs = if anew { engine.settle(now) } else { Vec::new() };
        for input in inputs.drain(..) {
            outputs.extend(engine.take(input, now));
        }
        outputs.extend(engine.settle(now));
        for output in outputs {
            carry_out(&controller, &channels, &mut links.hub, output);
        }
        if engine.ready()
            && let Some(ready) = ready.take()
        {
            info!("every kind has been listed");
            // The receiver may have stopped waiting.
            let _ = ready.send(());
        }
    }
}

/// Starts what surrounds the engine.
fn start(
    controller: &Controller,
    leading: &told::Receiver<Leading>,
    tasks: &mut Tasks,
    shutdown: &CancellationToken,
) -> Channels {
    let Controller { client, metrics, .. } = controller;
    let (watch_sender, watch) = mpsc::channel(BATCH);
    let (written_sender, written) = mpsc::channel(BATCH);
    let (served_sender, served) = told::channel(BTreeSet::new());
    let (roots_sender, roots) = mpsc::channel(16);
    let (events, events_receiver) = mpsc::channel(EVENTS);
    let outbox = Outbox::default();
    let writer = write_statuses(
        client.clone(),
        outbox.clone(),
        written_sender,
        metrics.clone(),
        leading.clone(),
        shutdown.clone(),
    );
    tasks.spawn(writer.map(|()| "writing statuses"));
    let publisher = publish_events(client.clone(), events_receiver, metrics.clone(), leading.clone());
    tasks.spawn(publisher.map(|()| "publishing events"));
    tasks.spawn(discovery::watch(client.clone(), watch_sender.clone(), served_sender).map(|()| "discovery"));
    watch::spawn(client, &watch_sender, &served, tasks);
    Channels { watch, written, roots, roots_sender, events, outbox }
}

/// The first of the tasks to end, which none of them should.
async fn ended(tasks: &mut Tasks) -> Error {
    match tasks.join_next().await {
        Some(Ok(name)) => Error::TaskEnded(name),
        Some(Err(_)) => Error::TaskPanicked,
        // Nothing runs, so nothing ends.
        None => std::future::pending().await,
    }
}

/// Takes what has already arrived, so that a burst is judged once.
fn take_waiting(
    channels: &mut Channels,
    sidecars: &mut mpsc::Receiver<(SidecarEvent, Timestamp)>,
    inputs: &mut VecDeque<Input>,
) {
    while inputs.len() < BATCH {
        if let Ok(event) = channels.watch.try_recv() {
            inputs.push_back(Input::Watch(event));
        } else if let Ok((event, at)) = sidecars.try_recv() {
            inputs.push_back(Input::Sidecar(event, at));
        } else if let Ok((map, entry, roots)) = channels.roots.try_recv() {
            inputs.push_back(Input::Roots(map, entry, roots));
        } else {
            return;
        }
    }
}

fn carry_out(controller: &Controller, channels: &Channels, hub: &mut impl FnMut(Output), output: Output) {
    match output {
        Output::Status(check, write) => {
            if channels.outbox.put(check, *write) {
                controller.metrics.status_overtaken();
            }
        }
        Output::Event(event) => queue_event(&channels.events, &controller.metrics, event),
        Output::ReadRoots(map, entry) => {
            let (client, sender) = (controller.client.clone(), channels.roots_sender.clone());
            tokio::spawn(async move {
                let roots = read_roots(client, &map, &entry).await;
                // The loop has ended when nobody takes it.
                let _ = sender.send((map, entry, roots)).await;
            });
        }
        output @ (Output::SetPlan(..)
        | Output::RemovePod(_)
        | Output::WalkNow(..)
        | Output::SendAll(_)
        | Output::Watch(..)
        | Output::Look(..)
        | Output::Injection(_)
        | Output::CarriedRoots(_)
        | Output::Made { .. }
        | Output::Planned(_)) => {
            hub(output);
        }
    }
}

/// An event that finds no room is lost, like one that the API server does not take.
fn queue_event(events: &mpsc::Sender<EventRecord>, metrics: &Metrics, event: EventRecord) {
    if events.try_send(event).is_err() {
        metrics.event_lost();
        warn!("too many events at once, one is lost");
    }
}

async fn read_roots(client: Client, map: &ObjectKey, entry: &str) -> RootsRead {
    let api: Api<ConfigMap> = Api::namespaced(client, &map.namespace);
    match timeout(READ, api.get_opt(&map.name)).await {
        Ok(Ok(found)) => roots_in(found, entry),
        Ok(Err(error)) => RootsRead::Failed(error.to_string()),
        Err(_) => RootsRead::Failed("the API server did not answer in time".to_owned()),
    }
}

/// What an answer of the API server holds.
fn roots_in(found: Option<ConfigMap>, entry: &str) -> RootsRead {
    let Some(map) = found else { return RootsRead::Missing("there is no such ConfigMap".to_owned()) };
    let Some(roots) = map.data.and_then(|mut data| data.remove(entry)) else {
        return RootsRead::Missing("it has no such entry".to_owned());
    };
    usable(roots).map_or_else(RootsRead::Missing, RootsRead::Found)
}

/// Roots that a sidecar takes, or why it would not.
fn usable(roots: String) -> Result<String, String> {
    if roots.len() > ROOTS_BYTES {
        return Err(format!(
            "it has {} bytes, at most {ROOTS_BYTES} can be sent to a sidecar: leave only the roots that are needed",
            roots.len()
        ));
    }
    if !roots.contains("-----BEGIN CERTIFICATE-----") {
        return Err(
            "it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----".to_owned()
        );
    }
    Ok(roots)
}

#[cfg(test)]
mod joint;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Regarding;

    #[tokio::test]
    async fn a_task_that_ends_or_panics_ends_the_controller_while_others_run() {
        let mut tasks = Tasks::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(async { "watching Pods" });
        assert_eq!(ended(&mut tasks).await, Error::TaskEnded("watching Pods"));
        tasks.spawn(async { panic!("an object that cannot be decoded") });
        assert_eq!(ended(&mut tasks).await, Error::TaskPanicked);
    }

    #[test]
    fn an_event_without_room_is_counted_as_lost() {
        let (events, _receiver) = mpsc::channel(1);
        let metrics = Metrics::default();
        let mut registry = prometheus_client::registry::Registry::default();
        metrics.register(&mut registry);
        let lost = || {
            let (namespace, name, uid) = ("shop".into(), "web-1".into(), "1".into());
            let regarding = Regarding::Pod(peerwalk_model::PodRef { namespace, name, uid });
            let event = EventRecord { regarding, warning: true, reason: String::new(), note: String::new() };
            queue_event(&events, &metrics, event);
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            let line = text.lines().find(|line| line.starts_with("events_lost_total")).map(str::to_owned);
            line.unwrap_or_default()
        };
        assert_eq!(lost(), "events_lost_total 0", "there is room");
        assert_eq!(lost(), "events_lost_total 1", "there is none");
    }

    #[test]
    fn roots_that_no_sidecar_takes_are_refused_with_the_reason() {
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned();
        assert_eq!(usable(pem.clone()), Ok(pem.clone()));
        for (roots, told) in [
            (pem + &"#".repeat(ROOTS_BYTES), "it has 65595 bytes, at most 65536"),
            ("MIIB".to_owned(), "no certificate in PEM"),
            (String::new(), "no certificate in PEM"),
        ] {
            let error = usable(roots).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn an_answer_without_roots_is_certain() {
        let with = |entry: &str, text: &str| {
            let data = [(entry.to_owned(), text.to_owned())].into();
            Some(ConfigMap { data: Some(data), ..ConfigMap::default() })
        };
        let pem = "-----BEGIN CERTIFICATE-----";
        assert_eq!(roots_in(with("ca.crt", pem), "ca.crt"), RootsRead::Found(pem.to_owned()));
        for found in [None, Some(ConfigMap::default()), with("other", pem), with("ca.crt", "MIIB")] {
            assert!(matches!(roots_in(found.clone(), "ca.crt"), RootsRead::Missing(_)), "{found:?}");
        }
    }
}
