//! Answers that come after their deadline: a server that gives one is slow and not dead.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use peerwalk_model::evidence::{Query, QueryOutcome};
use tokio::time::timeout_at;

use super::exchange::Open;

/// How long sockets of questions stay open, from the first one on: as long as dials of a diagnosis do.
pub(crate) const PATIENCE: Duration = Duration::from_millis(3_500);

/// Sockets of one resolution that stay open. Three servers are asked twice for two types: one name has twelve.
const OPEN: usize = 16;

/// A query, and its socket where the answer may still come.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) query: Query,
    pub(super) open: Option<Open>,
}

impl From<Query> for Asking {
    fn from(query: Query) -> Self {
        Self { query, open: None }
    }
}

/// Closes what is more than may stay open.
pub(super) fn bound(asked: &mut [Asking]) {
    let open = asked.iter_mut().filter(|asking| asking.open.is_some());
    open.skip(OPEN).for_each(|asking| asking.open = None);
}

/// Waits until a server answers late, for as long in all since the first open question, and notes what came.
pub(super) async fn wait(asked: &mut [Asking], patience: Duration) {
    let Some(first) = asked.iter().filter_map(|asking| asking.open.as_ref()).map(|open| open.sent).min()
    else {
        return;
    };
    let mut came: Vec<(usize, QueryOutcome)> = Vec::new();
    let open = asked.iter().enumerate().filter_map(|(place, asking)| Some((place, asking.open.as_ref()?)));
    let mut waiting: FuturesUnordered<_> =
        open.map(|(place, open)| async move { (place, open.late().await) }).collect();
    while let Ok(Some((place, late))) = timeout_at(first + patience, waiting.next()).await {
        // Trouble of our own is no word of a server.
        if let Ok(answer) = late {
            let enough = answer.outcome.is_from_server();
            came.push((place, answer.sample()));
            if enough {
                break;
            }
        }
    }
    drop(waiting);
    for (place, outcome) in came {
        asked[place].query.late = Some(outcome);
    }
}
