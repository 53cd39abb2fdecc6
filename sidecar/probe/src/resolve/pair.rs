//! A and AAAA at once from one socket, as glibc and musl ask: conntrack on the way, or a load balancer, may lose one
//! of two datagrams that leave at the same moment with the same ports, while each alone is answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peerwalk_model::evidence::{Pair, Query, Resolve, Transport};
use peerwalk_model::plan::RecordType;
use tokio::time::Instant;

use super::exchange;
use super::message::Question;
use crate::budget::{Allowance, Gate};

/// Between two pairs for a name while all is well.
const SPACING: Duration = Duration::from_mins(1);
/// The same while questions stay open.
const SPACING_IN_TROUBLE: Duration = Duration::from_secs(10);
/// How long a pair says something of the walks after it, where there is no budget for another.
const STANDS: Duration = Duration::from_mins(2);
/// Names that are remembered; a plan has at most a few hundred.
const NAMES: usize = 512;
/// The least and the longest time for an answer.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(1));
/// An answer that takes so many times as long as those of before is lost.
const TIMES: u32 = 4;

/// The last pair of each name.
#[derive(Debug, Default)]
pub(super) struct Pairs(Mutex<HashMap<String, (Instant, Pair)>>);

impl Pairs {
    /// The pair for what was resolved: asked now when it is due and there is budget, else that of before. None
    /// where no server has answered both types of a name apart.
    ///
    /// Nothing is asked, and nothing told, where the resolver's options are `single`.
    pub(super) async fn of(
        &self,
        resolve: &Resolve,
        gate: &Gate,
        event: bool,
        single: impl FnOnce() -> bool,
    ) -> Option<Pair> {
        let (server, name, patience) = apart(&resolve.queries)?;
        let known = self.known(server, name);
        let open = resolve.queries.iter().any(|query| !query.outcome.is_final());
        let spacing = if open { SPACING_IN_TROUBLE } else { SPACING };
        let due = event || known.as_ref().is_none_or(|(asked, _)| asked.elapsed() >= spacing);
        if !due || !gate.may_query() {
            return known.filter(|(asked, _)| asked.elapsed() < STANDS).map(|(_, pair)| pair);
        }
        if single() {
            return None;
        }
        let pair = ask(server, name, patience, gate).await?;
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= NAMES && !pairs.contains_key(name) {
            pairs.clear();
        }
        pairs.insert(name.to_owned(), (Instant::now(), pair.clone()));
        Some(pair)
    }

    fn known(&self, server: SocketAddr, name: &str) -> Option<(Instant, Pair)> {
        let pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.get(name).filter(|(_, pair)| pair.server == server).cloned()
    }
}

/// The last name that a server has answered for both types over UDP, each from a socket of its own, and the time that
/// a pair is given.
fn apart(queries: &[Query]) -> Option<(SocketAddr, &str, Duration)> {
    let answers = |query: &&Query| query.outcome.is_final() && query.transport == Transport::Udp;
    let both = |one: &&Query| {
        let same = |other: &Query| other.server == one.server && other.name == one.name;
        queries.iter().filter(answers).any(|other| same(other) && other.record != one.record)
    };
    let last = queries.iter().rev().filter(answers).find(both)?;
    let usual = queries.iter().filter(answers).map(|query| query.elapsed).max().unwrap_or_default();
    let (least, longest) = PATIENCE;
    Some((last.server, &last.name, (usual * TIMES).clamp(least, longest)))
}

async fn ask(server: SocketAddr, name: &str, patience: Duration, gate: &Gate) -> Option<Pair> {
    let mut asked: Option<Pair> = None;
    // What comes of it is no stage of the walk, whose time it does not use.
    let allowance = Allowance::new(patience);
    for _ in 0..Pair::TRIES {
        let questions = questions(name)?;
        for _ in &questions {
            // A pair is worth no wait.
            if !gate.may_query() || !gate.query(&allowance).await {
                return asked;
            }
        }
        let questions = [&questions[0], &questions[1]];
        let [a, aaaa] = exchange::both(server, questions, patience, gate.census()).await.ok()?;
        let mut pair = Pair { server, name: name.to_owned(), tries: 1, a, aaaa };
        if let Some(before) = asked.filter(|before| before.loses() == pair.loses()) {
            pair.tries = before.tries + 1;
        }
        if pair.loses().is_none() {
            return Some(pair);
        }
        asked = Some(pair);
    }
    asked
}

/// Both questions, with ids that tell their answers apart.
fn questions(name: &str) -> Option<[Question; 2]> {
    let a = Question::new(name, RecordType::A)?;
    for _ in 0..Pair::TRIES {
        let aaaa = Question::new(name, RecordType::Aaaa)?;
        if aaaa.id != a.id {
            return Some([a, aaaa]);
        }
    }
    None
}
