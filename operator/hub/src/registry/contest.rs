//! Two processes with tokens of one pod displace each other for ever: each waits, comes back and takes the place again.
//! A stream that a sidecar lost and takes up again, or a sidecar that restarts, is no contest.

use std::collections::VecDeque;
use std::time::Duration;

use peerwalk_model::Timestamp;

/// How long a displacement counts. Who was displaced comes back after half a minute.
const WINDOW: Duration = Duration::from_mins(5);
/// Displacements that are remembered.
const REMEMBERED: usize = 8;

/// The processes of one pod whose streams were displaced lately, by the number that each makes up at its start.
#[derive(Debug, Default)]
pub(super) struct Contest {
    displaced: VecDeque<(u64, Timestamp)>,
}

impl Contest {
    /// Notes that the stream of one process takes the place of another's. Says whether both had been displaced before.
    pub(super) fn displaces(&mut self, old: u64, new: u64, at: Timestamp) -> bool {
        if old == new {
            return false;
        }
        self.displaced.retain(|(_, then)| at.since(*then) < WINDOW);
        let before = |instance| self.displaced.iter().any(|(displaced, _)| *displaced == instance);
        let contested = before(old) && before(new);
        if self.displaced.len() >= REMEMBERED {
            self.displaced.pop_front();
        }
        self.displaced.push_back((old, at));
        contested
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the processes that attach one after the other, so many seconds apart, make a contest.
    fn contested(attach: &[u64], apart: i64) -> Vec<bool> {
        let mut contest = Contest::default();
        let steps = attach.windows(2).zip(1..);
        steps
            .map(|(pair, number)| {
                contest.displaces(pair[0], pair[1], Timestamp::from_millis(number * apart * 1000))
            })
            .collect()
    }

    #[test]
    fn only_those_who_displace_each_other_again_contend() {
        for (case, attach, apart, expected) in [
            ("a stream that broke", &[1, 1, 1, 1, 1, 1][..], 1, &[false; 5][..]),
            ("a sidecar that restarts", &[1, 2, 3, 4, 5, 6], 1, &[false; 5]),
            ("the old process comes back once", &[1, 2, 1, 1, 1, 1], 30, &[false; 5]),
            ("two that take turns", &[1, 2, 1, 2, 1, 2], 30, &[false, false, true, true, true]),
            ("once in a while", &[1, 2, 1, 2, 1, 2], 200, &[false; 5]),
            ("three", &[1, 2, 3, 1, 2, 3, 1], 30, &[false, false, false, true, true, true]),
        ] {
            assert_eq!(contested(attach, apart), expected, "{case}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut contest = Contest::default();
        for instance in 0..1000 {
            contest.displaces(instance, instance + 1, Timestamp::from_millis(0));
        }
        assert_eq!(contest.displaced.len(), REMEMBERED);
    }
}
