//! The sockets of one connect stage, driven together.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, LocalTrouble};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::socket::{Attempt, Locals, Parity, Shape, mark};

/// Sockets in the order they were begun, with or without an outcome.
#[derive(Debug)]
pub(crate) struct Series {
    slots: Vec<Slot>,
    locals: Locals,
    marked: Vec<DialPurpose>,
    /// What is sent to the target over UDP; none for TCP.
    datagram: Option<Arc<[u8]>>,
}

#[derive(Debug)]
enum Slot {
    Socket(Box<Attempt>),
    /// Not a socket of this walk: remembered, skipped or not allowed.
    Done(Box<Dial>),
}

impl Series {
    pub(crate) fn new(locals: Locals) -> Self {
        Self { slots: Vec::new(), locals, marked: Vec::new(), datagram: None }
    }

    /// Dials of these purposes get a mark each that the peer's pod may know them by.
    pub(crate) fn marking(self, marked: Vec<DialPurpose>) -> Self {
        Self { marked, ..self }
    }

    /// The target is dialled over UDP, with this datagram.
    pub(crate) fn with_datagram(self, datagram: Option<Arc<[u8]>>) -> Self {
        Self { datagram, ..self }
    }

    pub(crate) fn push_done(&mut self, dial: Dial) {
        self.slots.push(Slot::Done(Box::new(dial)));
    }

    pub(crate) fn begin(
        &mut self,
        purpose: DialPurpose,
        remote: SocketAddr,
        parity: Option<Parity>,
    ) -> Result<(), LocalTrouble> {
        // What proves the path is asked as always.
        let datagram = self.datagram.clone().filter(|_| purpose != DialPurpose::Control);
        let mark = || if self.marked.contains(&purpose) { mark::random(remote) } else { None };
        let shape = match (datagram, mark()) {
            (Some(datagram), _) => Shape::Datagram(datagram),
            (None, Some(mss)) => Shape::Marked(mss),
            (None, None) => Shape::Plain,
        };
        let attempt = Attempt::begin_with(purpose, remote, parity, shape)?;
        self.slots.push(Slot::Socket(Box::new(attempt)));
        Ok(())
    }

    /// Waits until every socket has an outcome, or until the moment.
    pub(crate) async fn drive(&mut self, until: Instant) {
        // Late is no error: those without an outcome are silent.
        let _ = timeout_at(until, self.settled()).await;
    }

    /// Waits until every socket has an outcome.
    pub(crate) async fn settled(&mut self) {
        let Self { slots, locals, .. } = self;
        poll_fn(|cx| {
            let mut pending = false;
            for slot in slots.iter_mut() {
                if let Slot::Socket(attempt) = slot {
                    pending |= attempt.poll_known(cx, Some(locals)).is_pending();
                }
            }
            if pending { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Sends the datagrams again that got no answer.
    pub(crate) fn resend(&mut self) {
        for slot in &mut self.slots {
            if let Slot::Socket(attempt) = slot {
                attempt.resend();
            }
        }
    }

    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Socket(attempt) => Some(attempt.as_ref()),
            Slot::Done(_) => None,
        })
    }

    /// Sockets without an outcome.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts().filter(|attempt| attempt.outcome().is_none())
    }

    /// The evidence by now.
    pub(crate) fn dials(&self) -> Vec<Dial> {
        self.slots
            .iter()
            .map(|slot| match slot {
                Slot::Socket(attempt) => attempt.dial(),
                Slot::Done(dial) => dial.as_ref().clone(),
            })
            .collect()
    }

    /// The first connection of a purpose, to speak over.
    pub(crate) fn take_stream(&mut self, purpose: DialPurpose) -> Option<(TcpStream, SocketAddr)> {
        let connected = |slot: &Slot| {
            matches!(slot, Slot::Socket(attempt) if attempt.purpose() == purpose
                && matches!(attempt.outcome(), Some(DialOutcome::Connected { .. })))
        };
        let index = self.slots.iter().position(connected)?;
        match self.slots.swap_remove(index) {
            Slot::Socket(attempt) => {
                let remote = attempt.remote();
                attempt.into_stream().map(|stream| (stream, remote))
            }
            Slot::Done(_) => None,
        }
    }
}
