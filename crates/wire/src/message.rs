//! The messages of both directions, made of the model's types, and their way into bytes and back.

use std::time::Duration;

use peerwalk_model::peer::{Saw, Tuple};
use peerwalk_model::report::{Heartbeat, Transition};
use peerwalk_model::{PodRef, TargetKey, Timestamp, Walk};
use prost::Message as _;

use crate::delta::PlanDelta;
use crate::error::WireError;
use crate::field::{
    key, key_message, list, millis, pod, pod_message, required, text, text_within, unknown_enum,
};
use crate::frame::Frame;
use crate::handshake::Versions;
use crate::proto::{self, from_hub, from_sidecar};
use crate::{evidence, limits, peer, plan, report};

/// What a sidecar sends.
#[derive(Clone, Debug, PartialEq)]
pub enum FromSidecar {
    /// The first message of a stream.
    Hello(Hello),
    /// The token again, after it was rotated.
    Token(String),
    /// A walk whose signature differs from the one sent last, an interim report, or an answer to
    /// [`FromHub::SendAll`].
    Evidence(Box<Walk>),
    /// A sign of life.
    Heartbeat(Heartbeat),
    /// Changes, replayed until they are received.
    Transitions(Transitions),
    /// An answer to [`FromHub::Look`].
    Saw {
        /// The number of the question.
        id: u64,
        /// What the pod holds.
        saw: Saw,
    },
}

/// The first message of a sidecar.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// The versions it speaks.
    pub versions: Versions,
    /// The projected token of our own audience.
    pub token: String,
    /// Who it says it is.
    pub pod: PodRef,
    /// Version of the program.
    pub sidecar_version: String,
    /// Random, new with each start of the process.
    pub instance: u64,
    /// The plan it works on, 0 for none.
    pub plan_generation: u64,
}

/// Everything but the token.
impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello")
            .field("versions", &self.versions)
            .field("pod", &self.pod)
            .field("sidecar_version", &self.sidecar_version)
            .field("instance", &self.instance)
            .field("plan_generation", &self.plan_generation)
            .finish_non_exhaustive()
    }
}

/// Numbered transitions, so that a replay is recognised and what was received is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    /// The number of the first; the others follow without gaps.
    pub first: u64,
    /// In order.
    pub transitions: Vec<Transition>,
}

/// What the hub sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromHub {
    /// The sidecar is attached.
    Welcome {
        /// The version both speak from here on.
        version: u32,
        /// From one heartbeat to the next; whole milliseconds.
        heartbeat_interval: Duration,
    },
    /// A new plan, or what differs from the last one.
    PlanDelta(PlanDelta),
    /// Walk these targets now; all of them when empty.
    WalkNow(Vec<TargetKey>),
    /// Send the evidence of all targets again.
    SendAll,
    /// Dials of others to this pod are about to come: remember for so long which connections are closed.
    Watch {
        /// For how long from now on; whole milliseconds.
        window: Duration,
    },
    /// Tell what this pod holds of these dials.
    Look {
        /// The number of the question.
        id: u64,
        /// The dials.
        tuples: Vec<Tuple>,
    },
    /// Transitions up to this number have been taken over.
    TransitionsReceived {
        /// The last of them.
        through: u64,
    },
    /// Attach there instead: `host:port`.
    Redirect {
        /// Where.
        address: String,
    },
    /// Come back later.
    RetryAfter {
        /// How much later; whole milliseconds.
        delay: Duration,
        /// Why.
        reason: RetryReason,
    },
    /// Another stream of the same pod has taken this one's place.
    Superseded,
    /// Not accepted, and trying again will not help until something has changed.
    Refused(Refusal),
    /// The hub is going away; attach again in a moment.
    Draining,
}

/// Why to come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// The operator has not seen the pod yet.
    PodUnknown,
    /// Tokens cannot be reviewed now.
    ReviewUnavailable,
    /// No room for another stream.
    Full,
    /// The sidecar sent too much.
    Rate,
    /// The hub is not ready yet.
    NotReady,
}

/// Why a sidecar is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: what was found, and what to do.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// No common version.
    Version,
    /// The token is not valid.
    Token,
    /// The token is another pod's.
    Pod,
    /// A message that breaks the protocol.
    Protocol,
}

impl FromSidecar {
    /// Encodes for sending at `sent_at`. What the other side would refuse is an error here.
    pub fn encode(&self, sent_at: Timestamp) -> Result<Frame, WireError> {
        use from_sidecar::Message;
        let message = match self {
            Self::Hello(hello) => Message::Hello(proto::Hello {
                min_version: hello.versions.min,
                max_version: hello.versions.max,
                token: hello.token.clone(),
                pod: Some(pod_message(&hello.pod)),
                sidecar_version: hello.sidecar_version.clone(),
                instance: hello.instance,
                plan_generation: hello.plan_generation,
            }),
            Self::Token(token) => Message::Token(proto::Token { token: token.clone() }),
            Self::Evidence(walk) => Message::Evidence(evidence::walk_message(walk, sent_at)),
            Self::Heartbeat(heartbeat) => Message::Heartbeat(report::heartbeat_message(heartbeat, sent_at)),
            Self::Transitions(transitions) => {
                Message::Transitions(report::transitions_message(transitions, sent_at))
            }
            Self::Saw { id, saw } => Message::Saw(peer::saw_message(*id, saw)),
        };
        let frame = Frame::from(proto::FromSidecar { message: Some(message) }.encode_to_vec());
        Self::decode(&frame, sent_at)?;
        Ok(frame)
    }

    /// Decodes what arrived at `received_at`.
    pub fn decode(frame: &Frame, received_at: Timestamp) -> Result<Self, WireError> {
        use from_sidecar::Message;
        let decoded: proto::FromSidecar = undo(frame, limits::SIDECAR_FRAME_BYTES)?;
        Ok(match required("message", decoded.message)? {
            Message::Hello(hello) => Self::Hello(Hello {
                versions: Versions { min: hello.min_version, max: hello.max_version },
                token: text_within("hello.token", hello.token, limits::TOKEN_BYTES)?,
                pod: pod(hello.pod)?,
                sidecar_version: text("hello.sidecar_version", hello.sidecar_version)?,
                instance: hello.instance,
                plan_generation: hello.plan_generation,
            }),
            Message::Token(token) => {
                Self::Token(text_within("token.token", token.token, limits::TOKEN_BYTES)?)
            }
            Message::Evidence(walk) => Self::Evidence(Box::new(evidence::walk(walk, received_at)?)),
            Message::Heartbeat(heartbeat) => Self::Heartbeat(report::heartbeat(heartbeat, received_at)?),
            Message::Transitions(transitions) => {
                Self::Transitions(report::transitions(transitions, received_at)?)
            }
            Message::Saw(saw) => {
                let (id, saw) = peer::saw(saw)?;
                Self::Saw { id, saw }
            }
        })
    }
}

impl FromHub {
    /// Encodes for sending. What the other side would refuse is an error here.
    pub fn encode(&self) -> Result<Frame, WireError> {
        let message = self.message();
        let frame = Frame::from(proto::FromHub { message: Some(message) }.encode_to_vec());
        Self::decode(&frame)?;
        Ok(frame)
    }

    fn message(&self) -> from_hub::Message {
        use from_hub::Message;
        match self {
            Self::Welcome { version, heartbeat_interval } => Message::Welcome(proto::Welcome {
                version: *version,
                heartbeat_interval_ms: millis(*heartbeat_interval),
            }),
            Self::PlanDelta(delta) => Message::PlanDelta(plan::delta_message(delta)),
            Self::WalkNow(targets) => {
                Message::WalkNow(proto::WalkNow { targets: targets.iter().map(key_message).collect() })
            }
            Self::SendAll => Message::SendAll(proto::SendAll {}),
            Self::Watch { window } => Message::Watch(proto::Watch { window_ms: millis(*window) }),
            Self::Look { id, tuples } => {
                Message::Look(proto::Look { id: *id, tuples: peer::tuples_message(tuples) })
            }
            Self::TransitionsReceived { through } => {
                Message::TransitionsReceived(proto::TransitionsReceived { through: *through })
            }
            Self::Redirect { address } => Message::Redirect(proto::Redirect { address: address.clone() }),
            Self::RetryAfter { delay, reason } => Message::RetryAfter(proto::RetryAfter {
                delay_ms: millis(*delay),
                reason: retry_value(*reason),
            }),
            Self::Superseded => Message::Superseded(proto::Superseded {}),
            Self::Refused(refusal) => Message::Refused(proto::Refused {
                code: refusal_value(refusal.code),
                message: refusal.message.clone(),
            }),
            Self::Draining => Message::Draining(proto::Draining {}),
        }
    }

    /// Decodes.
    pub fn decode(frame: &Frame) -> Result<Self, WireError> {
        use from_hub::Message;
        let decoded: proto::FromHub = undo(frame, limits::HUB_FRAME_BYTES)?;
        Ok(match required("message", decoded.message)? {
            Message::Welcome(welcome) => Self::Welcome {
                version: welcome.version,
                heartbeat_interval: Duration::from_millis(welcome.heartbeat_interval_ms),
            },
            Message::PlanDelta(delta) => Self::PlanDelta(plan::delta(delta)?),
            Message::WalkNow(walk) => {
                let one = |target| key("walk_now.targets", Some(target));
                Self::WalkNow(list("walk_now.targets", walk.targets, limits::TARGETS, one)?)
            }
            Message::SendAll(_) => Self::SendAll,
            Message::Watch(watch) => Self::Watch { window: Duration::from_millis(watch.window_ms) },
            Message::Look(look) => Self::Look { id: look.id, tuples: peer::tuples(look.tuples)? },
            Message::TransitionsReceived(received) => Self::TransitionsReceived { through: received.through },
            Message::Redirect(redirect) => {
                Self::Redirect { address: crate::field::name("redirect.address", redirect.address)? }
            }
            Message::RetryAfter(retry) => Self::RetryAfter {
                delay: Duration::from_millis(retry.delay_ms),
                reason: retry_reason(retry.reason)?,
            },
            Message::Superseded(_) => Self::Superseded,
            Message::Refused(refused) => Self::Refused(Refusal {
                code: refusal_code(refused.code)?,
                message: text("refused.message", refused.message)?,
            }),
            Message::Draining(_) => Self::Draining,
        })
    }
}

fn undo<M: prost::Message + Default>(frame: &Frame, limit: usize) -> Result<M, WireError> {
    let bytes = frame.len();
    if bytes > limit {
        return Err(WireError::FrameTooLarge { bytes, limit });
    }
    M::decode(frame.as_bytes()).map_err(|source| WireError::Undecodable { bytes, source })
}

fn retry_value(reason: RetryReason) -> i32 {
    match reason {
        RetryReason::PodUnknown => proto::RetryReason::PodUnknown,
        RetryReason::ReviewUnavailable => proto::RetryReason::ReviewUnavailable,
        RetryReason::Full => proto::RetryReason::Full,
        RetryReason::Rate => proto::RetryReason::Rate,
        RetryReason::NotReady => proto::RetryReason::NotReady,
    }
    .into()
}

fn retry_reason(value: i32) -> Result<RetryReason, WireError> {
    match proto::RetryReason::try_from(value) {
        Ok(proto::RetryReason::PodUnknown) => Ok(RetryReason::PodUnknown),
        Ok(proto::RetryReason::ReviewUnavailable) => Ok(RetryReason::ReviewUnavailable),
        Ok(proto::RetryReason::Full) => Ok(RetryReason::Full),
        Ok(proto::RetryReason::Rate) => Ok(RetryReason::Rate),
        Ok(proto::RetryReason::NotReady) => Ok(RetryReason::NotReady),
        Ok(proto::RetryReason::Unspecified) | Err(_) => Err(unknown_enum("retry_after.reason", value)),
    }
}

fn refusal_value(code: RefusalCode) -> i32 {
    match code {
        RefusalCode::Version => proto::RefusalCode::Version,
        RefusalCode::Token => proto::RefusalCode::Token,
        RefusalCode::Pod => proto::RefusalCode::Pod,
        RefusalCode::Protocol => proto::RefusalCode::Protocol,
    }
    .into()
}

fn refusal_code(value: i32) -> Result<RefusalCode, WireError> {
    match proto::RefusalCode::try_from(value) {
        Ok(proto::RefusalCode::Version) => Ok(RefusalCode::Version),
        Ok(proto::RefusalCode::Token) => Ok(RefusalCode::Token),
        Ok(proto::RefusalCode::Pod) => Ok(RefusalCode::Pod),
        Ok(proto::RefusalCode::Protocol) => Ok(RefusalCode::Protocol),
        Ok(proto::RefusalCode::Unspecified) | Err(_) => Err(unknown_enum("refused.code", value)),
    }
}
