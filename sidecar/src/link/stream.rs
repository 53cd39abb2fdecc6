//! One stream: hello, then whatever the ledger has to tell, until it ends.

use std::time::Duration;

use peerwalk_model::report::Heartbeat;
use peerwalk_model::{TargetKey, Walk};
use peerwalk_wire::grpc::HubClient;
use peerwalk_wire::{Frame, FromHub, FromSidecar, Hello, PlanDelta, RetryReason, Versions, WireError};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tracing::{debug, error, info, warn};

use super::Settings;
use super::asked::Asked;
use crate::ledger::Ledger;
use crate::schedule::Order;

/// Time for the hub to answer the first message: it may have to ask the API server.
const ANSWER: Duration = Duration::from_secs(30);
/// Frames between us and the transport. Few, as ages grow old in a queue.
const FRAMES: usize = 4;
/// What to wait after a refusal, and after another stream of our own pod took the place.
const REFUSED: Duration = Duration::from_secs(30);
/// Time for the transport to say goodbye at shutdown.
const GOODBYE: Duration = Duration::from_millis(500);
/// The shortest heartbeat interval a hub can ask for.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(100);

/// How a stream ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Attach there instead.
    Redirected(String),
    /// The hub asked to come back after this long.
    After(Duration),
    /// The hub is not ready, and asked to come back after this long.
    NotReady(Duration),
    /// The hub is going away.
    Drained,
    /// It broke, or never came to be.
    Broken {
        /// Whether the hub had said welcome.
        welcomed: bool,
    },
    /// The process ends.
    Shutdown,
}

/// One stream and what it works with.
pub(super) struct Stream<'a> {
    pub(super) settings: &'a Settings,
    pub(super) ledger: &'a mut Ledger,
    pub(super) walks: &'a mut mpsc::Receiver<Walk>,
    pub(super) orders: &'a mpsc::Sender<Order>,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) asked: Asked,
}

/// What is due on an attached stream.
#[derive(Default)]
struct Due {
    token: Option<String>,
    heartbeat: bool,
    /// The number of the last transition sent on this stream.
    transitions_through: u64,
}

impl Stream<'_> {
    pub(super) async fn run(mut self, mut client: HubClient<Channel>, token: String) -> Ending {
        let (outbound, frames) = mpsc::channel(FRAMES);
        let hello = FromSidecar::Hello(Hello {
            versions: Versions::supported(),
            token: token.clone(),
            pod: self.settings.pod.clone(),
            sidecar_version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.settings.instance,
            plan_generation: self.ledger.current_plan().generation,
        });
        match hello.encode((self.settings.clock)()) {
            // The channel is new and has room.
            Ok(frame) => drop(outbound.try_send(frame)),
            Err(error) => {
                error!(%error, "our own first message breaks the protocol");
                return Ending::After(REFUSED);
            }
        }
        let deadline = Instant::now() + ANSWER;
        let mut inbound = {
            let attaching = client.attach(ReceiverStream::new(frames));
            match self.while_walking(attaching, deadline).await {
                Ok(Ok(response)) => response.into_inner(),
                Ok(Err(status)) => return broken(&status, false),
                Err(ending) => return ending,
            }
        };
        let first = self.while_walking(inbound.message(), deadline).await;
        let heartbeat = match first.map(|message| read(message, false)) {
            Ok(Ok(FromHub::Welcome { version, heartbeat_interval })) => {
                info!(version, "attached to the hub");
                heartbeat_interval.max(SHORTEST_HEARTBEAT)
            }
            Ok(Ok(other)) => return self.follow(other, false).await.unwrap_or(Ending::After(REFUSED)),
            Ok(Err(ending)) | Err(ending) => return ending,
        };
        let ending = self.attached(&mut inbound, &outbound, (heartbeat, token)).await;
        drop(outbound);
        if matches!(ending, Ending::Shutdown) {
            let rest = async { while let Ok(Some(_)) = inbound.message().await {} };
            let _ = timeout(GOODBYE, rest).await;
        }
        ending
    }

    async fn attached(
        &mut self,
        inbound: &mut Streaming<Frame>,
        outbound: &mpsc::Sender<Frame>,
        (heartbeat, mut token): (Duration, String),
    ) -> Ending {
        let mut beats = interval(heartbeat);
        let mut checks = interval(self.settings.token_check);
        let mut due = Due::default();
        loop {
            let waiting = self.is_waiting(&due);
            tokio::select! {
                () = self.shutdown.cancelled() => return Ending::Shutdown,
                message = inbound.message() => {
                    let message = match read(message, true) {
                        Ok(message) => message,
                        Err(ending) => return ending,
                    };
                    if let Some(ending) = self.follow(message, true).await {
                        return ending;
                    }
                }
                Some(walk) = self.walks.recv() => self.ledger.walk(walk),
                permit = outbound.reserve(), if waiting => match permit {
                    Ok(permit) => if let Some(frame) = self.next_frame(&mut due) {
                        permit.send(frame);
                    },
                    Err(_) => return Ending::Broken { welcomed: true },
                },
                () = self.asked.remember() => {}
                _ = beats.tick() => due.heartbeat = true,
                _ = checks.tick() => match self.settings.token.read() {
                    Ok(found) if found != token => {
                        info!("the token was rotated");
                        token.clone_from(&found);
                        due.token = Some(found);
                    }
                    Ok(_) => {}
                    Err(error) => warn!(%error, "the token cannot be read"),
                },
            }
        }
    }

    fn is_waiting(&self, due: &Due) -> bool {
        due.token.is_some()
            || due.heartbeat
            || self.asked.has_answers()
            || self.ledger.has_evidence()
            || self.ledger.transitions(due.transitions_through).is_some()
    }

    /// The next thing to send. Evidence goes before the heartbeat whose digest counts it.
    fn next_frame(&mut self, due: &mut Due) -> Option<Frame> {
        let now = (self.settings.clock)();
        if let Some(token) = due.token.take() {
            return sendable(FromSidecar::Token(token).encode(now), None, self.ledger);
        }
        // What it is about changes from one second to the next.
        if let Some((id, saw)) = self.asked.next_answer() {
            return sendable(FromSidecar::Saw { id, saw }.encode(now), None, self.ledger);
        }
        if let Some(walk) = self.ledger.next_evidence() {
            let target = walk.target.clone();
            let frame = FromSidecar::Evidence(Box::new(walk)).encode(now);
            return sendable(frame, Some(&target), self.ledger);
        }
        if let Some(transitions) = self.ledger.transitions(due.transitions_through) {
            due.transitions_through = transitions.first - 1 + transitions.transitions.len() as u64;
            return sendable(FromSidecar::Transitions(transitions).encode(now), None, self.ledger);
        }
        due.heartbeat = false;
        let heartbeat = Heartbeat { sockets: (self.settings.sockets)(), ..self.ledger.heartbeat() };
        sendable(FromSidecar::Heartbeat(heartbeat).encode(now), None, self.ledger)
    }

    /// Does what the hub says; the stream's end, if that is what it says.
    async fn follow(&mut self, message: FromHub, welcomed: bool) -> Option<Ending> {
        match message {
            FromHub::PlanDelta(delta) if welcomed => return self.plan(delta).await,
            FromHub::WalkNow(targets) if welcomed => {
                debug!(targets = targets.len(), "asked to walk now");
                return self.order(Order::WalkNow(targets)).await;
            }
            FromHub::SendAll if welcomed => {
                info!("the hub asks for all evidence again");
                self.ledger.send_all();
            }
            FromHub::Watch { window } if welcomed => self.asked.watch(window),
            FromHub::Look { id, tuples } if welcomed => self.asked.look(id, &tuples),
            FromHub::TransitionsReceived { through } if welcomed => self.ledger.received(through),
            FromHub::Redirect { address } => return Some(Ending::Redirected(address)),
            FromHub::RetryAfter { delay, reason } => {
                info!(?reason, "the hub asks us to come back later");
                return Some(match reason {
                    RetryReason::NotReady => Ending::NotReady(delay),
                    _ => Ending::After(delay),
                });
            }
            FromHub::Superseded => {
                warn!("another stream of this pod took our place");
                return Some(Ending::After(REFUSED));
            }
            FromHub::Refused(refusal) => {
                error!(code = ?refusal.code, why = %refusal.message, "the hub refuses us");
                return Some(Ending::After(REFUSED));
            }
            FromHub::Draining => {
                info!("the hub is going away");
                return Some(Ending::Drained);
            }
            FromHub::Welcome { .. }
            | FromHub::PlanDelta(_)
            | FromHub::WalkNow(_)
            | FromHub::SendAll
            | FromHub::Watch { .. }
            | FromHub::Look { .. }
            | FromHub::TransitionsReceived { .. } => {
                error!("the hub sends a message out of turn");
                return Some(Ending::Broken { welcomed: false });
            }
        }
        None
    }

    async fn plan(&mut self, delta: PlanDelta) -> Option<Ending> {
        let whole = delta.base_generation == 0;
        match delta.apply(self.ledger.current_plan()) {
            Ok(plan) => {
                info!(generation = plan.generation, targets = plan.targets.len(), whole, "new plan");
                let plan = self.ledger.plan(plan, whole);
                self.order(Order::Plan(plan)).await
            }
            Err(error) => {
                error!(%error, "the plan cannot be applied");
                Some(Ending::Broken { welcomed: false })
            }
        }
    }

    async fn order(&self, order: Order) -> Option<Ending> {
        // The schedule takes orders at once; it is gone only at shutdown.
        self.orders.send(order).await.is_err().then_some(Ending::Shutdown)
    }

    /// Takes walks in until `work` is done, or the deadline or shutdown comes.
    async fn while_walking<T>(
        &mut self,
        work: impl Future<Output = T>,
        deadline: Instant,
    ) -> Result<T, Ending> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(Ending::Shutdown),
                () = sleep_until(deadline) => {
                    warn!("the hub does not answer");
                    return Err(Ending::Broken { welcomed: false });
                }
                done = &mut work => return Ok(done),
                Some(walk) = self.walks.recv() => self.ledger.walk(walk),
            }
        }
    }
}

/// What breaks the protocol stays here, and is not counted as sent.
fn sendable(
    frame: Result<Frame, WireError>,
    target: Option<&TargetKey>,
    ledger: &mut Ledger,
) -> Option<Frame> {
    frame
        .inspect_err(|error| {
            error!(%error, "a message breaks the protocol and is not sent");
            if let Some(target) = target {
                ledger.unsendable(target);
            }
        })
        .ok()
}

fn read(message: Result<Option<Frame>, Status>, welcomed: bool) -> Result<FromHub, Ending> {
    match message {
        Ok(Some(frame)) => FromHub::decode(&frame).map_err(|error| {
            error!(%error, "the hub sends what cannot be read");
            Ending::Broken { welcomed: false }
        }),
        Ok(None) => {
            info!("the hub ended the stream");
            Err(Ending::Broken { welcomed })
        }
        // What tonic itself cannot read, such as a frame over the limit, is no better than what we cannot.
        Err(status) => {
            let readable = !matches!(status.code(), Code::OutOfRange | Code::Internal);
            Err(broken(&status, welcomed && readable))
        }
    }
}

fn broken(status: &Status, welcomed: bool) -> Ending {
    warn!(code = ?status.code(), why = status.message(), "the stream broke");
    Ending::Broken { welcomed }
}
