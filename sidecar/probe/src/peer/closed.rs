//! Connections of the namespace that were closed while it mattered.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use peerwalk_model::peer::PeerSocket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use super::{End, told};
use crate::socket::diag::{Destroyed, Held};

/// The longest window, and how long what was seen in it is remembered.
const WINDOW: Duration = Duration::from_secs(10);
const KEPT: Duration = Duration::from_secs(20);
/// Connections remembered; the oldest go first.
const MOST: usize = 512;
/// Connections told of in one window: a pod that closes more costs too much to watch, and is left alone for a while.
const TOLD: u32 = 4096;
const REST: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub(super) struct Closed {
    window: Option<Window>,
    /// When a pod that closes too much may be watched again.
    rests: Option<Instant>,
    seen: VecDeque<(Instant, Held)>,
    /// When one was last forgotten for want of room, or not told of.
    lost: Option<Instant>,
}

#[derive(Debug)]
struct Window {
    fd: AsyncFd<Destroyed>,
    until: Instant,
    told: u32,
}

impl Closed {
    pub(super) fn open(&mut self, window: Duration) {
        let (now, window) = (Instant::now(), window.min(WINDOW));
        if self.rests.is_some_and(|until| now < until) {
            // Nothing that is closed now will be found.
            self.lost = Some(now);
            return;
        }
        if let Some(open) = &mut self.window {
            open.until = open.until.max(now + window);
            return;
        }
        let opened = Destroyed::open().and_then(|socket| crate::socket::watch(socket, Interest::READABLE));
        match opened {
            Ok(fd) => self.window = Some(Window { fd, until: now + window, told: 0 }),
            Err(error) => tracing::debug!(%error, "closed connections cannot be watched"),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Takes in what has been told by now.
    pub(super) fn take_in(&mut self) {
        let now = Instant::now();
        let Self { window, rests, seen, lost } = self;
        if let Some(open) = window
            && (drain(open, seen, lost).is_err() || now >= open.until)
        {
            close(window, rests);
        }
        seen.retain(|(at, _)| now.saturating_duration_since(*at) < KEPT);
        lost.take_if(|at| now.saturating_duration_since(*at) >= KEPT);
    }

    /// Whether what is not found may have been there all the same: more were closed than are remembered.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Takes in what is told to the end of the window, and closes its socket then.
    pub(super) async fn take_in_all(&mut self) {
        let Self { window, rests, seen, lost } = self;
        let Some(open) = window else { return pending().await };
        let until = open.until;
        let all = async {
            loop {
                open.fd.readable_mut().await?.clear_ready();
                drain(open, seen, lost)?;
            }
        };
        // Late is no error: it is the end of the window. Nor can anything be done about one that broke.
        let _: Result<io::Result<()>, _> = timeout_at(until, all).await;
        close(window, rests);
    }

    /// The connection between these, or one from elsewhere to the same end with that MSS.
    pub(super) fn find(
        &self,
        source: SocketAddr,
        end: End,
        mss: Option<u16>,
        now: Instant,
    ) -> Option<PeerSocket> {
        let at_end = || self.seen.iter().rev().filter(|(_, held)| end.is(held.local));
        let own = at_end().find(|(_, held)| held.remote == source && !held.is_of_another(mss));
        let (at, held) = own.or_else(|| {
            // The same source elsewhere: it was led to another port of the pod.
            let marked = || self.seen.iter().rev().filter(|(_, held)| held.is_marked(mss));
            if let Some(redirected) = marked().find(|(_, held)| end.is_one() && held.remote == source) {
                return Some(redirected);
            }
            let mut found = marked().filter(|(_, held)| end.is(held.local));
            // One of two is a guess.
            found.next().filter(|_| found.next().is_none())
        })?;
        let quiet = held.info.map(|info| info.data_received.min(info.ack_received)).unwrap_or_default();
        Some(told(held, quiet + now.saturating_duration_since(*at), true))
    }
}

/// Ends the window. A pod that closes more than can be watched is not watched again at once.
fn close(window: &mut Option<Window>, rests: &mut Option<Instant>) {
    if window.take().is_some_and(|window| window.told > TOLD) {
        *rests = Some(Instant::now() + REST);
    }
}

/// An error where there is no more to come of this window.
fn drain(
    open: &mut Window,
    seen: &mut VecDeque<(Instant, Held)>,
    lost: &mut Option<Instant>,
) -> io::Result<()> {
    let now = Instant::now();
    let mut some = false;
    while let Some(held) = open.fd.get_mut().next(&mut some)? {
        if some {
            *lost = Some(now);
        }
        open.told += 1;
        if open.told > TOLD {
            *lost = Some(now);
            return Err(io::Error::other("more connections are closed than can be watched"));
        }
        if seen.len() >= MOST {
            seen.pop_front();
            *lost = Some(now);
        }
        seen.push_back((now, held));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::diag::Info;

    fn held(remote: &str, local: &str, snd_mss: u32) -> Held {
        let received = Duration::from_millis(5);
        Held {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            state: 7,
            uid: 0,
            interface: 0,
            received: 0,
            sent: 0,
            retransmits: 0,
            expires: Duration::ZERO,
            info: Some(Info { snd_mss, data_received: received * 9, ack_received: received }),
        }
    }

    #[test]
    fn the_same_ends_come_before_the_same_mss_and_two_of_an_mss_are_a_guess() {
        let now = Instant::now();
        let seen = [
            held("10.0.0.1:40000", "10.0.1.1:80", 1099),
            held("10.0.9.9:50000", "10.0.1.1:80", 1099),
            held("10.0.9.9:50001", "10.0.1.1:80", 1200),
            held("10.0.9.9:50002", "10.0.1.1:81", 1300),
            held("10.0.9.9:50003", "10.0.1.1:80", 1448),
            held("10.0.0.1:40002", "10.0.1.1:80", 1448),
            held("10.0.0.1:40003", "10.0.1.1:15006", 1350),
        ];
        let closed = Closed { seen: seen.map(|held| (now, held)).into(), ..Closed::default() };
        for (source, end, mss, expected) in [
            ("10.0.0.1:40000", "10.0.1.1:80", Some(1200), Some("10.0.0.1:40000")),
            ("10.0.0.1:40001", "10.0.1.1:80", Some(1111), None),
            ("10.0.0.1:40002", "10.0.1.1:80", None, Some("10.0.0.1:40002")),
            ("10.0.0.1:40002", "10.0.1.1:80", Some(1211), None),
            ("10.0.0.1:40001", "10.0.1.1:80", Some(1200), Some("10.0.9.9:50001")),
            ("10.0.0.1:40001", "10.0.1.1:80", Some(1212), Some("10.0.9.9:50001")),
            ("10.0.0.1:40001", "10.0.1.1:80", Some(1211), None),
            ("10.0.0.1:40001", "10.0.1.1:80", Some(1300), None),
            ("10.0.0.1:40001", "0.0.0.0:0", Some(1300), Some("10.0.9.9:50002")),
            ("10.0.0.1:40001", "0.0.0.0:81", Some(1300), Some("10.0.9.9:50002")),
            ("10.0.0.1:40001", "10.0.1.1:80", None, None),
            // Led to the port of a proxy, and another connection of the same source.
            ("10.0.0.1:40003", "10.0.1.1:80", Some(1350), Some("10.0.0.1:40003")),
            ("10.0.0.1:40003", "10.0.1.1:80", Some(1360), None),
            ("10.0.0.1:40001", "[::]:0", Some(1300), None),
        ] {
            let found = closed.find(source.parse().unwrap(), End(end.parse().unwrap()), mss, now);
            let from = found.as_ref().map(|socket| socket.source.to_string());
            assert_eq!(from.as_deref(), expected, "{source} to {end}, MSS {mss:?}: {found:?}");
            assert!(found.is_none_or(|s| s.closed && s.quiet == Duration::from_millis(5)));
        }
    }

    #[tokio::test]
    async fn a_window_is_ten_seconds_at_most_and_ends_with_its_socket() {
        tokio::time::pause();
        let mut closed = Closed::default();
        closed.open(Duration::from_hours(1));
        assert!(closed.is_open(), "it needs no privilege");
        let begun = Instant::now();
        closed.take_in_all().await;
        assert!(!closed.is_open());
        assert_eq!(begun.elapsed().as_secs(), WINDOW.as_secs());
        closed.open(WINDOW);
        assert!(closed.is_open() && !closed.has_lost(), "the next may come at once");
    }

    #[tokio::test]
    async fn a_pod_that_closes_too_much_is_left_alone_for_a_while() {
        tokio::time::pause();
        let mut closed = Closed::default();
        closed.open(WINDOW);
        closed.window.as_mut().expect("it is open").told = TOLD + 1;
        tokio::time::advance(WINDOW).await;
        closed.take_in();
        closed.open(WINDOW);
        assert!(!closed.is_open() && closed.has_lost(), "what is not found then may have been there");
        tokio::time::advance(REST).await;
        closed.open(WINDOW);
        assert!(closed.is_open());
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_nothing_for_long() {
        let at = Instant::now() - KEPT;
        let old = held("10.0.0.1:40000", "10.0.1.1:80", 1099);
        let mut closed = Closed { seen: [(at, old), (Instant::now(), old)].into(), ..Closed::default() };
        closed.take_in();
        assert_eq!(closed.seen.len(), 1, "what was closed that long ago is forgotten");
    }
}
