//! Carries out what a [`Session`] decides: reads frames, asks reviews, sends messages, keeps the time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, future};
use peerwalk_model::PodRef;
use peerwalk_wire::{Frame, FromHub};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::DropGuard;
use tonic::{Code, Status, Streaming};
use tracing::{debug, info, warn};

use crate::authenticate::AuthError;
use crate::event::HubEvent;
use crate::handle::Role;
use crate::mailbox::Mailbox;
use crate::metrics::{Ended, EndedLabels, MessageLabels};
use crate::registry::{Arrival, Attached};
use crate::seats::Seat;
use crate::session::{Action, Count, Input, Note, Session, Standing};
use crate::shared::Shared;

/// What a token was found to be, and room for the event that its pod attached.
type Reviewed = (Result<PodRef, AuthError>, Option<OwnedPermit<HubEvent>>);

/// One stream at work.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    session: Session,
    began: Instant,
    mailbox: Arc<Mailbox>,
    outbound: mpsc::Sender<FromHub>,
    seat: Arc<Seat>,
    review: BoxFuture<'static, Reviewed>,
    /// Kept from the review to the attachment, so that this event is never lost.
    room: Option<OwnedPermit<HubEvent>>,
    attached: Option<PodRef>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, outbound: mpsc::Sender<FromHub>, seat: Arc<Seat>) -> Self {
        Self {
            session: Session::new(&shared.config, Duration::ZERO),
            began: Instant::now(),
            mailbox: Arc::default(),
            outbound,
            seat,
            review: no_review(),
            room: None,
            attached: None,
            shared,
        }
    }

    /// Drives the stream to its end, and lets go of `over` when it has come.
    pub(crate) async fn run(mut self, mut inbound: Streaming<Frame>, over: DropGuard) {
        // Before anything is read: a standby reviews no tokens.
        if let Role::Standby { redirect } = self.shared.registry.role() {
            self.mailbox.leave(|orders| {
                orders.no_leader = redirect.is_none();
                orders.redirect = redirect;
            });
        }
        let ended = loop {
            let input = self.next(&mut inbound).await;
            if let ControlFlow::Break(ended) = self.step(input) {
                break ended;
            }
        };
        self.shared.metrics.ended.get_or_create(&EndedLabels { reason: ended }).inc();
        let Some(pod) = self.attached else {
            debug!(reason = ?ended, "a stream ended before it was attached");
            return;
        };
        info!(%pod, uid = %pod.uid, reason = ?ended, "sidecar detached");
        self.shared.metrics.streams.dec();
        drop((self.outbound, inbound, over));
        // The pod counts as attached until there is room to say that it is not.
        let room = self.shared.events.clone().reserve_owned().await.ok();
        let at = (self.shared.config.clock)();
        self.shared.registry.detach(&pod, &self.mailbox, self.session.unheard(), || {
            tell(room, HubEvent::Detached { pod: pod.clone(), at });
        });
    }

    async fn next(&mut self, inbound: &mut Streaming<Frame>) -> Input {
        let deadline = self.session.deadline().map(|at| self.began + at);
        let tick = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            // Orders go before frames: what a sidecar tells is held against its plan.
            biased;
            () = self.shared.drain.cancelled() => Input::Drain,
            orders = self.mailbox.take() => Input::Orders(orders),
            (result, room) = &mut self.review => {
                self.review = no_review();
                self.room = room;
                let standing = self.standing(&result);
                Input::Reviewed(result, standing)
            }
            frame = inbound.message(), if self.session.listens() => self.received(frame),
            () = self.outbound.closed() => Input::PeerGone,
            () = tick => Input::Tick,
        }
    }

    fn standing(&self, result: &Result<PodRef, AuthError>) -> Standing {
        match result {
            Ok(pod) if !self.shared.reviews.knows(pod) => Standing::Unknown,
            Ok(_) if !self.seat.attach() => Standing::Full,
            _ => Standing::Welcome,
        }
    }

    fn received(&self, frame: Result<Option<Frame>, Status>) -> Input {
        match frame {
            Ok(Some(frame)) => Input::Frame(frame, (self.shared.config.clock)()),
            // What tonic itself refuses: a frame over the limit, a broken frame header.
            Err(status) if matches!(status.code(), Code::OutOfRange | Code::Internal) => {
                Input::Broken(status.message().to_owned())
            }
            Ok(None) | Err(_) => Input::PeerGone,
        }
    }

    fn step(&mut self, input: Input) -> ControlFlow<Ended> {
        for action in self.session.on(input, self.began.elapsed()) {
            self.act(action)?;
        }
        ControlFlow::Continue(())
    }

    fn act(&mut self, action: Action) -> ControlFlow<Ended> {
        match action {
            Action::Send(message) => return self.send(message),
            Action::Review { token, afresh } => {
                let (shared, attached) = (Arc::clone(&self.shared), self.attached.is_some());
                self.review = async move {
                    let result = shared.reviews.review(&token, afresh).await;
                    let wanted = !attached && result.is_ok();
                    let room = async { shared.events.clone().reserve_owned().await.ok() };
                    (result, if wanted { room.await } else { None })
                }
                .boxed();
            }
            Action::Attach(pod, instance) => self.attach(pod, instance),
            Action::Deliver(event, note) => return self.deliver(event, note),
            Action::Count(count) => self.count(count),
            Action::End(ended) => return ControlFlow::Break(ended),
        }
        ControlFlow::Continue(())
    }

    fn send(&self, message: FromHub) -> ControlFlow<Ended> {
        match self.outbound.try_send(message) {
            Ok(()) => ControlFlow::Continue(()),
            Err(TrySendError::Full(_)) => ControlFlow::Break(Ended::Slow),
            Err(TrySendError::Closed(_)) => ControlFlow::Break(Ended::Peer),
        }
    }

    fn attach(&mut self, pod: PodRef, instance: u64) {
        let (room, at) = (self.room.take(), (self.shared.config.clock)());
        let known = || self.shared.reviews.knows(&pod);
        let tell_attached = || tell(room, HubEvent::Attached { pod: pod.clone(), at });
        let arrival = Arrival { instance, at };
        let attached = self.shared.registry.attach(&pod, &self.mailbox, arrival, known, tell_attached);
        let Some(attached) = attached else { return };
        info!(%pod, uid = %pod.uid, "sidecar attached");
        self.shared.metrics.streams.inc();
        if attached == Attached::Contested {
            warn!(%pod, uid = %pod.uid, "two processes have tokens of one pod and displace each other");
            if self.shared.events.try_send(HubEvent::Contested { pod: pod.clone(), at }).is_err() {
                self.shared.metrics.events_lost.inc();
            }
        }
        self.attached = Some(pod);
    }

    fn deliver(&mut self, event: HubEvent, note: Note) -> ControlFlow<Ended> {
        let shared = &self.shared;
        // A stream whose place was taken tells nothing: the newer one has told already.
        let sent = self.attached.as_ref().and_then(|pod| {
            shared.registry.speak(pod, &self.mailbox, || shared.events.try_send(event).is_ok())
        });
        if sent == Some(false) {
            shared.metrics.events_lost.inc();
        }
        match self.session.delivered(note, sent == Some(true)) {
            Some(receipt) => self.send(receipt),
            None => ControlFlow::Continue(()),
        }
    }

    fn count(&self, count: Count) {
        let metrics = &self.shared.metrics;
        match count {
            Count::Message(kind) => metrics.messages.get_or_create(&MessageLabels { kind }).inc(),
            Count::Unplanned => metrics.unplanned.inc(),
            Count::UnplannedTransitions(number) => metrics.transitions_unplanned.inc_by(number),
            Count::Unasked => metrics.unasked.inc(),
            Count::NotAsked => metrics.questions_lost.inc(),
            Count::Resend => metrics.resends.inc(),
        };
    }
}

fn no_review() -> BoxFuture<'static, Reviewed> {
    future::pending().boxed()
}

/// Without room nobody takes events any more.
fn tell(room: Option<OwnedPermit<HubEvent>>, event: HubEvent) {
    if let Some(room) = room {
        room.send(event);
    }
}
