//! What the hub asks this pod as a peer of others.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use peerwalk_model::peer::{Saw, Tuple};
use peerwalk_probe::Peer;
use tracing::debug;

/// Answers that wait for the stream. A hub that asks faster than it reads is not answered.
const ANSWERS: usize = 16;

/// The questions of one stream. With it ends whatever is watched.
#[derive(Debug)]
pub(super) struct Asked {
    peer: Peer,
    answers: VecDeque<(u64, Saw)>,
}

impl Asked {
    pub(super) fn new(addresses: Vec<IpAddr>) -> Self {
        Self { peer: Peer::new(addresses), answers: VecDeque::new() }
    }

    pub(super) fn watch(&mut self, window: Duration) {
        self.peer.watch(window);
    }

    pub(super) fn look(&mut self, id: u64, tuples: &[Tuple]) {
        if self.answers.len() >= ANSWERS {
            debug!(id, "too many answers wait; a question is left out");
            return;
        }
        if let Some(saw) = self.peer.look(tuples) {
            self.answers.push_back((id, saw));
        } else {
            debug!(id, "asked too often; a question is left out");
        }
    }

    /// Takes in what is closed in the pod, while that is watched.
    pub(super) async fn remember(&mut self) {
        self.peer.remember().await;
    }

    pub(super) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    pub(super) fn next_answer(&mut self) -> Option<(u64, Saw)> {
        self.answers.pop_front()
    }
}
