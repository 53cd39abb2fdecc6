//! What goes into a session and what comes out of it.

use peerwalk_model::{PodRef, TargetKey, Timestamp};
use peerwalk_wire::{Frame, FromHub};

use crate::authenticate::AuthError;
use crate::event::HubEvent;
use crate::mailbox::Orders;
use crate::metrics::{Ended, MessageKind};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// A frame arrived at that moment of the wall clock.
    Frame(Frame, Timestamp),
    /// The transport could not read a frame: it was too large, or no frame at all.
    Broken(String),
    /// The review asked for last has come to this.
    Reviewed(Result<PodRef, AuthError>, Standing),
    /// Orders of the operator.
    Orders(Orders),
    /// Shutdown.
    Drain,
    /// The sidecar ended the stream, or it broke.
    PeerGone,
    /// The time has come that [`super::Session::deadline`] told.
    Tick,
}

/// How the operator stands to a pod whose token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may attach.
    Welcome,
    /// The operator has not seen it.
    Unknown,
    /// There is no room for another stream.
    Full,
}

/// Something to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Send a message.
    Send(FromHub),
    /// Find out whose token this is, and give up an earlier question. With `afresh`, ask again what is
    /// known.
    Review {
        /// The token.
        token: String,
        /// Whether a remembered answer counts.
        afresh: bool,
    },
    /// Let this stream speak for the pod from here on; with the number that the sidecar made up at its start.
    Attach(PodRef, u64),
    /// Hand over an event, and tell [`super::Session::delivered`] how that went.
    Deliver(HubEvent, Note),
    /// Count.
    Count(Count),
    /// End the stream.
    End(Ended),
}

/// What is to be noted about an event that was handed over, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Nothing.
    Nothing,
    /// It was evidence of this target.
    Evidence(TargetKey),
    /// It was transitions, the last of that number.
    Transitions(u64),
}

/// Something to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// A message.
    Message(MessageKind),
    /// Evidence of a target that is not planned.
    Unplanned,
    /// As many transitions of targets that are not planned.
    UnplannedTransitions(u64),
    /// An answer to nothing that was asked.
    Unasked,
    /// A question that is not asked, as too many are open.
    NotAsked,
    /// All evidence asked for again.
    Resend,
}
