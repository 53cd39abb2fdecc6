//! Carries out what a [`Session`] decides: reads frames, asks reviews, sends messages, keeps the time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, future};
use peerwalk_model::PodRef;
use peerwalk_wire::{Frame, FromHub};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status, Streaming};
use tracing::{debug, info};

use crate::authenticate::AuthError;
use crate::event::HubEvent;
use crate::handle::Role;
use crate::mailbox::Mailbox;
use crate::metrics::{Ended, EndedLabels, MessageLabels};
use crate::session::{Action, Count, Input, Session};
use crate::shared::Shared;

/// One stream at work.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    session: Session,
    began: Instant,
    mailbox: Arc<Mailbox>,
    outbound: mpsc::Sender<FromHub>,
    review: BoxFuture<'static, Result<PodRef, AuthError>>,
    attached: Option<PodRef>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, outbound: mpsc::Sender<FromHub>) -> Self {
        let mailbox = Arc::new(Mailbox::new((shared.config.clock)()));
        Self {
            session: Session::new(&shared.config, Duration::ZERO),
            began: Instant::now(),
            mailbox,
            outbound,
            review: no_review(),
            attached: None,
            shared,
        }
    }

    /// Drives the stream to its end.
    pub(crate) async fn run(mut self, mut inbound: Streaming<Frame>) {
        if let Role::Standby { redirect } = self.shared.registry.role() {
            self.mailbox.leave(|orders| orders.redirect = Some(redirect));
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
        if self.shared.registry.detach(&pod, &self.mailbox) {
            self.shared.tell(HubEvent::Detached { pod, at: (self.shared.config.clock)() });
        }
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
            () = self.shared.drain.cancelled() => Input::Drain,
            () = self.outbound.closed() => Input::PeerGone,
            orders = self.mailbox.take() => Input::Orders(orders),
            result = &mut self.review => {
                self.review = no_review();
                let known = result.as_ref().is_ok_and(|pod| self.shared.reviews.knows(pod));
                Input::Reviewed(result, known)
            }
            frame = inbound.message(), if self.session.listens() => self.received(frame),
            () = tick => Input::Tick,
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
        if matches!(input, Input::Frame(..)) {
            self.mailbox.heard((self.shared.config.clock)());
        }
        for action in self.session.on(input, self.began.elapsed()) {
            self.act(action)?;
        }
        ControlFlow::Continue(())
    }

    fn act(&mut self, action: Action) -> ControlFlow<Ended> {
        match action {
            Action::Send(message) => return self.send(message),
            Action::Review { token, afresh } => {
                let shared = Arc::clone(&self.shared);
                self.review = async move { shared.reviews.review(&token, afresh).await }.boxed();
            }
            Action::Attach(pod) => self.attach(pod),
            Action::Deliver(event, receipt) => return self.deliver(event, receipt),
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

    fn attach(&mut self, pod: PodRef) {
        info!(%pod, uid = %pod.uid, "sidecar attached");
        self.shared.metrics.streams.inc();
        self.shared.tell(HubEvent::Attached { pod: pod.clone(), at: (self.shared.config.clock)() });
        self.shared.registry.attach(&pod, &self.mailbox);
        self.attached = Some(pod);
    }

    fn deliver(&mut self, event: HubEvent, receipt: Option<FromHub>) -> ControlFlow<Ended> {
        let target = match &event {
            HubEvent::Evidence { walk, .. } => Some(walk.target.clone()),
            _ => None,
        };
        if self.shared.tell(event) {
            return receipt.map_or(ControlFlow::Continue(()), |receipt| self.send(receipt));
        }
        if let Some(target) = target {
            self.session.lost(&target);
        }
        ControlFlow::Continue(())
    }

    fn count(&self, count: Count) {
        let metrics = &self.shared.metrics;
        match count {
            Count::Message(kind) => metrics.messages.get_or_create(&MessageLabels { kind }).inc(),
            Count::Unplanned => metrics.unplanned.inc(),
            Count::Resend => metrics.resends.inc(),
        };
    }
}

fn no_review() -> BoxFuture<'static, Result<PodRef, AuthError>> {
    future::pending().boxed()
}
