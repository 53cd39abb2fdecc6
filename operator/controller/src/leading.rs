//! Whether this replica judges and writes, for all that has to ask: the engine before it judges, and whoever writes
//! right before each write.

use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::time::Instant;

/// Whether this replica judges and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leading {
    /// It does, until a moment that moves on while it is renewed.
    Leader {
        /// Counts the times at which this process began to lead. The number stays where the lead was lost and taken
        /// again and nobody else led in between.
        term: u64,
        /// It leads no longer from then on, by the monotonic clock: whoever was paused finds that it is past.
        until: Instant,
    },
    /// It does not.
    Standby {
        /// Who does, as far as that is known.
        leader: Option<Leader>,
    },
}

/// The replica that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The name of its pod.
    pub name: String,
    /// Where its hub takes sidecars.
    pub hub: Option<SocketAddr>,
}

impl Default for Leading {
    fn default() -> Self {
        Self::Standby { leader: None }
    }
}

impl Leading {
    /// The term in which this replica leads at that moment; `None` when it does not.
    pub fn term(&self, now: Instant) -> Option<u64> {
        match self {
            Self::Leader { term, until } if now < *until => Some(*term),
            Self::Leader { .. } | Self::Standby { .. } => None,
        }
    }
}

/// Whether this replica leads now. Asked right before each write: a flag would be as old as a pause was long.
pub fn leads_now(leading: &watch::Receiver<Leading>) -> bool {
    leading.borrow().term(Instant::now()).is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_was_paused_leads_no_longer() {
        let until = Instant::now() + Duration::from_secs(10);
        let (_sender, leading) = watch::channel(Leading::Leader { term: 3, until });
        assert!(leads_now(&leading));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(leads_now(&leading), "up to the moment");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!leads_now(&leading), "and no longer, though nobody has said so");
        assert_eq!(Leading::default().term(until), None);
    }
}
