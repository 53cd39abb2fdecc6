//! Peers that are asked about the dials of a walk (`--peer`).

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use peerwalk_diagnosis::Attestation;
use peerwalk_model::evidence::{Dial, DialOutcome};
use peerwalk_model::peer::{Listener, Saw, Seen, Tuple};
use peerwalk_model::{Timestamp, Walk};
use peerwalk_probe::Witness;
use peerwalk_wire::limits;

use crate::attest::Attester;

/// For how long peers remember what is closed: longer than a walk that is diagnosed takes to its end.
const WINDOW: Duration = Duration::from_secs(10);
/// After a walk, for servers to close what it has closed, and for their kernels to tell.
const CLOSING: Duration = Duration::from_millis(100);

/// Whoever was named by `--peer`.
#[derive(Debug)]
pub(super) struct Peers {
    attesters: Vec<Attester>,
    /// Of the walk under way: who, when, and what it saw.
    found: Mutex<Vec<Found>>,
}

#[derive(Clone, Debug)]
struct Found {
    attester: usize,
    at: Timestamp,
    saw: Saw,
    /// It has a dialled address.
    named: bool,
}

impl Peers {
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        Self { attesters: paths.iter().cloned().map(Attester).collect(), found: Mutex::default() }
    }

    /// Before a walk. One that does not answer is left out, and said so.
    pub(super) async fn begin(&self) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for (attester, result) in
            self.attesters.iter().zip(join_all(self.attesters.iter().map(|a| a.watch(WINDOW))).await)
        {
            if let Err(error) = result {
                let path = attester.0.display();
                let _ =
                    writeln!(io::stderr(), "warning: peer {path} does not answer and is left out: {error}");
            }
        }
    }

    /// After a walk: what came of its connections that nobody had by their ends shows when they are closed.
    pub(super) async fn end(&self, walk: &Walk) -> Vec<Attestation> {
        let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
        let marked: Vec<Dial> = dials.filter(|dial| dial.mss.is_some() && connected(dial)).cloned().collect();
        if marked.iter().any(|dial| !self.is_held(dial)) {
            tokio::time::sleep(CLOSING).await;
            self.ask_all(&marked).await;
        }
        let found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        attestations(&self.attesters, found)
    }

    fn is_held(&self, dial: &Dial) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |seen: &Seen| seen.socket.is_some() && Some(seen.tuple.source) == dial.local;
        found.iter().flat_map(|found| &found.saw.seen).any(holds)
    }

    async fn ask_all(&self, dials: &[Dial]) {
        let tuples: Vec<Tuple> = dials.iter().filter_map(tuple).take(limits::TUPLES).collect();
        if tuples.is_empty() {
            return;
        }
        let all = self.attesters.iter().map(|attester| ask(attester, &tuples));
        let answers = join_all(all).await;
        let at = peerwalk_probe::now();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for (attester, answer) in answers.into_iter().enumerate() {
            // Who does not answer has been told of, or comes too late.
            if let Ok((saw, named)) = answer {
                found.push(Found { attester, at, saw, named });
            }
        }
    }
}

impl Witness for Peers {
    fn ask(&self, dials: Vec<Dial>) -> BoxFuture<'_, ()> {
        async move { self.ask_all(&dials).await }.boxed()
    }
}

/// Asks by the dialled addresses, of which a peer that has them says where they lead. Who has none of them may hold
/// the other end all the same: a service address leads there, or a fault.
async fn ask(attester: &Attester, tuples: &[Tuple]) -> io::Result<(Saw, bool)> {
    let saw = attester.look(tuples.to_vec()).await?;
    if saw.seen.iter().any(|seen| seen.listener != Listener::Unknown || seen.socket.is_some()) {
        return Ok((saw, true));
    }
    let any = |tuple: &Tuple| {
        let unspecified = if tuple.source.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let destination = unspecified.parse().unwrap_or(tuple.destination);
        Tuple { destination, ..*tuple }
    };
    Ok((attester.look(tuples.iter().map(any).collect()).await?, false))
}

fn tuple(dial: &Dial) -> Option<Tuple> {
    let sent = !matches!(
        dial.outcome,
        DialOutcome::NotAllowed | DialOutcome::Skipped | DialOutcome::Failed { immediate: true, .. }
    );
    let source: SocketAddr = dial.local.filter(|_| sent)?;
    Some(Tuple { source, destination: dial.remote, mss: dial.mss })
}

fn connected(dial: &Dial) -> bool {
    matches!(dial.outcome, DialOutcome::Connected { .. })
}

/// Where the target names some of the peers by their addresses, the others are none of its endpoints. Where it names
/// none of them, as a service address does, nobody here knows which of them are.
fn attestations(attesters: &[Attester], found: Vec<Found>) -> Vec<Attestation> {
    let named: Vec<usize> = found.iter().filter(|found| found.named).map(|found| found.attester).collect();
    let of = |mut found: Found| {
        let endpoint = named.is_empty() || named.contains(&found.attester);
        if !endpoint {
            // Some networks have segments of a size that is also a mark.
            for seen in &mut found.saw.seen {
                seen.socket.take_if(|socket| socket.source != seen.tuple.source);
            }
        }
        let who = attesters.get(found.attester).map(Attester::name).unwrap_or_default();
        Attestation { who, endpoint, at: found.at, saw: found.saw }
    };
    found.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use peerwalk_model::peer::PeerSocket;

    use super::*;

    #[test]
    fn who_is_not_named_is_no_endpoint_unless_nobody_is() {
        let attesters = ["/run/api.sock", "/run/web.sock"].map(|path| Attester(path.into()));
        let found =
            |attester, named| Found { attester, at: Timestamp::from_millis(1), saw: Saw::default(), named };
        let tuple = Tuple {
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.1.1:80".parse().unwrap(),
            mss: Some(1398),
        };
        let other = PeerSocket {
            source: "10.0.9.9:50000".parse().unwrap(),
            state: 1,
            closed: false,
            unread: 0,
            retransmits: 0,
            quiet: Duration::ZERO,
        };
        let seen = Seen { tuple, socket: Some(other), listener: Listener::Unknown };
        let saw = Saw { seen: vec![seen], ..Saw::default() };
        let found = |attester, named| Found { saw: saw.clone(), ..found(attester, named) };
        for (named, expected) in [
            ([true, false], [("api", true), ("web", false)]),
            ([false, false], [("api", true), ("web", true)]),
            ([true, true], [("api", true), ("web", true)]),
        ] {
            let all = attestations(&attesters, vec![found(0, named[0]), found(1, named[1])]);
            let said: Vec<_> = all.iter().map(|one| (one.who.as_str(), one.endpoint)).collect();
            assert_eq!(said, expected, "named: {named:?}");
            let marks = all.iter().all(|one| one.saw.seen[0].socket.is_some() == one.endpoint);
            assert!(marks, "a mark alone says nothing against who is none: {all:?}");
        }
    }
}
