//! What happens on one stream, decided without I/O and without a clock: inputs and the time go in, actions
//! come out, and the driver carries them out in order.

mod asked;
mod attachment;
mod token;
mod turn;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::{Plan, PodRef, Timestamp};
use peerwalk_wire::{
    Frame, FromHub, FromSidecar, Hello, Refusal, RefusalCode, RetryReason, SUPPORTED, limits, negotiate,
};

use crate::authenticate::AuthError;
use crate::config::Config;
use crate::mailbox::{Orders, WalkOrder};
use crate::metrics::{Ended, MessageKind};
use crate::rate::Bucket;
use attachment::Attachment;
use token::Token;
pub(crate) use turn::{Action, Count, Input, Note, Standing};

/// Missing heartbeats that end a stream.
const MISSING_HEARTBEATS: u32 = 3;
/// When to come back while the operator has not seen the pod: its watch is a moment behind.
const POD_UNKNOWN_DELAY: Duration = Duration::from_secs(2);
/// When to come back while tokens cannot be reviewed.
const UNAVAILABLE_DELAY: Duration = Duration::from_secs(5);
/// When to come back to a standby that does not know who leads: another replica is about to.
const NO_LEADER_DELAY: Duration = Duration::from_secs(1);
/// When to come back to a hub that has no room.
const FULL_DELAY: Duration = Duration::from_secs(15);
/// When to come back after sending too much.
const RATE_DELAY: Duration = Duration::from_secs(30);

/// One stream.
pub(crate) struct Session {
    heartbeat_interval: Duration,
    hello_timeout: Duration,
    review_again: Duration,
    bucket: Bucket,
    /// When the sidecar was last heard.
    heard: Duration,
    /// What it was asked to walk since its last heartbeat, and before that since the one before. With the
    /// second heartbeat it has lived for a whole interval after it was asked, and has heard.
    asked: [WalkOrder; 2],
    state: State,
}

enum State {
    /// Nothing has been said yet.
    Silent,
    /// The first message was good; whose token it is is not known yet.
    Reviewing { hello: Box<Hello>, token: Token, version: u32 },
    /// Attached.
    Attached(Box<Attachment>),
    /// The stream has ended, or is about to.
    Over,
}

impl Session {
    /// A stream that begins at `now`, on whatever clock the driver uses.
    pub(crate) fn new(config: &Config, now: Duration) -> Self {
        Self {
            heartbeat_interval: config.heartbeat_interval,
            hello_timeout: config.hello_timeout,
            review_again: config.review_again,
            bucket: Bucket::new(config.rate, now),
            heard: now,
            asked: [WalkOrder::Nothing, WalkOrder::Nothing],
            state: State::Silent,
        }
    }

    /// What to do about an input.
    pub(crate) fn on(&mut self, input: Input, now: Duration) -> Vec<Action> {
        match input {
            _ if self.is_over() => Vec::new(),
            Input::Frame(frame, at) => self.frame(&frame, at, now),
            Input::Broken(why) => self.refuse(RefusalCode::Protocol, &why),
            Input::Reviewed(result, standing) => self.reviewed(result, standing, now),
            Input::Orders(orders) => self.orders(orders, now),
            Input::Drain => self.end(Some(FromHub::Draining), Ended::Draining),
            Input::PeerGone => self.end(None, Ended::Peer),
            Input::Tick => self.tick(now),
        }
    }

    /// The next time at which [`Input::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Silent => Some(self.heard + self.hello_timeout),
            State::Attached(attachment) => {
                let idle = self.heard + self.heartbeat_interval * MISSING_HEARTBEATS;
                Some(attachment.review_due().map_or(idle, |due| due.min(idle)))
            }
            // Reviews come to an end by themselves.
            State::Reviewing { .. } | State::Over => None,
        }
    }

    /// Whether frames are wanted now: none between the first message and the answer to it.
    pub(crate) fn listens(&self) -> bool {
        matches!(self.state, State::Silent | State::Attached(_))
    }

    /// Whether the stream has ended.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Notes whether somebody took an event, and says what to send for it.
    pub(crate) fn delivered(&mut self, note: Note, taken: bool) -> Option<FromHub> {
        let State::Attached(attachment) = &mut self.state else { return None };
        match note {
            // The next digest shall show that it is missing.
            Note::Evidence(target) if !taken => attachment.lost(&target),
            Note::Transitions(through) if taken => return attachment.received(through),
            Note::Transitions(_) => attachment.lost_transitions(),
            Note::Nothing | Note::Evidence(_) => {}
        }
        None
    }

    /// What the sidecar was asked to walk and may not have heard of when the stream ended.
    pub(crate) fn unheard(&mut self) -> WalkOrder {
        let [mut all, before] = mem::take(&mut self.asked);
        all.merge(before);
        all
    }

    fn frame(&mut self, frame: &Frame, at: Timestamp, now: Duration) -> Vec<Action> {
        if !self.bucket.take(frame.len(), now) {
            return self.too_much();
        }
        if matches!(self.state, State::Silent) && frame.len() > limits::HELLO_FRAME_BYTES {
            let (bytes, limit) = (frame.len(), limits::HELLO_FRAME_BYTES);
            return self.refuse(
                RefusalCode::Protocol,
                &format!("the first message has {bytes} bytes, {limit} are allowed"),
            );
        }
        let message = match FromSidecar::decode(frame, at) {
            Ok(message) => message,
            Err(error) => {
                let mut actions = vec![Action::Count(Count::Message(MessageKind::Malformed))];
                actions.extend(self.refuse(RefusalCode::Protocol, &error.to_string()));
                return actions;
            }
        };
        self.heard = now;
        let mut actions = vec![Action::Count(Count::Message(kind(&message)))];
        actions.extend(self.message(message, at, now));
        actions
    }

    fn message(&mut self, message: FromSidecar, at: Timestamp, now: Duration) -> Vec<Action> {
        match (&mut self.state, message) {
            (State::Silent, FromSidecar::Hello(hello)) => {
                let token = Token::new(hello.token.clone(), at, now);
                self.hello(hello, token)
            }
            (State::Attached(attachment), FromSidecar::Token(token)) => {
                match attachment.new_token(Token::new(token, at, now), now) {
                    Some(review) => vec![review],
                    None => self.too_much(),
                }
            }
            (State::Attached(attachment), FromSidecar::Evidence(walk)) => attachment.evidence(walk, at),
            (State::Attached(attachment), FromSidecar::Heartbeat(heartbeat)) => {
                self.asked[1] = mem::take(&mut self.asked[0]);
                attachment.heartbeat(heartbeat, at)
            }
            (State::Attached(attachment), FromSidecar::Transitions(transitions)) => {
                attachment.transitions(transitions, at)
            }
            (State::Attached(attachment), FromSidecar::Saw { id, saw }) => attachment.saw(id, saw, at, now),
            (State::Silent, _) => self.refuse(RefusalCode::Protocol, "the first message is not Hello"),
            _ => self.refuse(RefusalCode::Protocol, "Hello is the first message and no other"),
        }
    }

    fn hello(&mut self, hello: Hello, token: Token) -> Vec<Action> {
        match negotiate(hello.versions, SUPPORTED) {
            Ok(version) => {
                let review = token.review(false);
                self.state = State::Reviewing { hello: Box::new(hello), token, version };
                vec![review]
            }
            Err(refusal) => self.refuse(refusal.code, &refusal.message),
        }
    }

    fn reviewed(
        &mut self,
        result: Result<PodRef, AuthError>,
        standing: Standing,
        now: Duration,
    ) -> Vec<Action> {
        let pod = match (&mut self.state, result) {
            (State::Attached(attachment), Ok(pod)) if pod == attachment.pod => {
                attachment.confirmed(self.review_again, now);
                return Vec::new();
            }
            (_, Ok(pod)) => pod,
            (_, Err(AuthError::Invalid(why))) => {
                return self.refuse(RefusalCode::Token, &format!("the token is not valid: {why}"));
            }
            // Whoever is attached stays so while nobody can tell: losing the API server ends no stream.
            (State::Attached(attachment), Err(_)) => {
                attachment.unconfirmed(now);
                return Vec::new();
            }
            (_, Err(AuthError::NotReady { retry })) => return self.retry(retry, RetryReason::NotReady),
            (_, Err(AuthError::Unavailable)) => {
                return self.retry(UNAVAILABLE_DELAY, RetryReason::ReviewUnavailable);
            }
        };
        match mem::replace(&mut self.state, State::Over) {
            State::Reviewing { hello, token, version } if hello.pod == pod => match standing {
                Standing::Unknown => self.retry(POD_UNKNOWN_DELAY, RetryReason::PodUnknown),
                Standing::Full => self.retry(FULL_DELAY, RetryReason::Full),
                Standing::Welcome => {
                    self.heard = now;
                    let walks_all = hello.plan_generation == 0;
                    let mut attachment = Attachment::new(pod.clone(), token, walks_all);
                    attachment.confirmed(self.review_again, now);
                    self.state = State::Attached(Box::new(attachment));
                    let heartbeat_interval = self.heartbeat_interval;
                    let welcome = FromHub::Welcome { version, heartbeat_interval };
                    vec![Action::Send(welcome), Action::Attach(pod, hello.instance)]
                }
            },
            _ => self.refuse(RefusalCode::Pod, &format!("the token is the one of pod {pod}, another one")),
        }
    }

    fn orders(&mut self, orders: Orders, now: Duration) -> Vec<Action> {
        if orders.superseded {
            return self.end(Some(FromHub::Superseded), Ended::Superseded);
        }
        if orders.removed {
            let retry = FromHub::RetryAfter { delay: POD_UNKNOWN_DELAY, reason: RetryReason::PodUnknown };
            return self.end(Some(retry), Ended::PodGone);
        }
        if let Some(address) = orders.redirect {
            return self.end(Some(FromHub::Redirect { address }), Ended::Redirected);
        }
        let State::Attached(attachment) = &mut self.state else {
            return if orders.no_leader {
                self.retry(NO_LEADER_DELAY, RetryReason::NotReady)
            } else {
                Vec::new()
            };
        };
        let mut actions = Vec::new();
        let mut walk = orders.walk;
        if let Some(plan) = orders.plan {
            if attachment.will_walk_all() {
                walk = WalkOrder::Nothing;
            }
            actions.extend(attachment.plan(plan));
        }
        self.asked[0].merge(walk.clone());
        match walk {
            WalkOrder::Nothing => {}
            WalkOrder::Some(targets) => {
                actions.push(Action::Send(FromHub::WalkNow(targets.into_iter().collect())));
            }
            WalkOrder::All => actions.push(Action::Send(FromHub::WalkNow(Vec::new()))),
        }
        if !orders.watch.is_zero() {
            actions.push(Action::Send(FromHub::Watch { window: orders.watch }));
        }
        let looks = orders.looks.into_iter();
        actions.extend(
            looks.map(|(id, tuples)| {
                attachment.look(id, tuples, now).unwrap_or(Action::Count(Count::NotAsked))
            }),
        );
        if orders.send_all {
            actions.extend([Action::Count(Count::Resend), Action::Send(FromHub::SendAll)]);
        }
        actions
    }

    fn tick(&mut self, now: Duration) -> Vec<Action> {
        let silence = now.saturating_sub(self.heard);
        match &mut self.state {
            State::Silent if silence >= self.hello_timeout => self.end(None, Ended::HelloTimeout),
            State::Attached(_) if silence >= self.heartbeat_interval * MISSING_HEARTBEATS => {
                self.end(None, Ended::Idle)
            }
            State::Attached(attachment) => attachment.review(now),
            _ => Vec::new(),
        }
    }

    fn too_much(&mut self) -> Vec<Action> {
        let retry = FromHub::RetryAfter { delay: RATE_DELAY, reason: RetryReason::Rate };
        self.end(Some(retry), Ended::Rate)
    }

    fn retry(&mut self, delay: Duration, reason: RetryReason) -> Vec<Action> {
        self.end(Some(FromHub::RetryAfter { delay, reason }), Ended::Retry)
    }

    fn refuse(&mut self, code: RefusalCode, message: &str) -> Vec<Action> {
        let ended = match code {
            RefusalCode::Version => Ended::Version,
            RefusalCode::Token => Ended::Token,
            RefusalCode::Pod => Ended::Pod,
            RefusalCode::Protocol => Ended::Protocol,
        };
        let message = message.chars().take(limits::STRING_BYTES / 4).collect();
        self.end(Some(FromHub::Refused(Refusal { code, message })), ended)
    }

    fn end(&mut self, last: Option<FromHub>, ended: Ended) -> Vec<Action> {
        self.state = State::Over;
        last.map(Action::Send).into_iter().chain([Action::End(ended)]).collect()
    }
}

fn kind(message: &FromSidecar) -> MessageKind {
    match message {
        FromSidecar::Hello(_) => MessageKind::Hello,
        FromSidecar::Token(_) => MessageKind::Token,
        FromSidecar::Evidence(_) => MessageKind::Evidence,
        FromSidecar::Heartbeat(_) => MessageKind::Heartbeat,
        FromSidecar::Transitions(_) => MessageKind::Transitions,
        FromSidecar::Saw { .. } => MessageKind::Saw,
    }
}

/// The plan of a pod that has none yet.
fn no_plan() -> Arc<Plan> {
    Arc::new(Plan::default())
}

#[cfg(test)]
mod tests;
