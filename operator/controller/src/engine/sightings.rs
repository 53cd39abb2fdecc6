//! What any sidecar's dials prove for others: that a path between two nodes is whole, and that an endpoint
//! takes connections.
//!
//! A sidecar could claim anything, so only what its plan has it dial is taken, and a connection counts as that
//! of an admitted source only where the policies admit it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerwalk_diagnosis::Sighting;
use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose, MOMENT, RequestOutcome, TlsOutcome};
use peerwalk_model::plan::{PlannedTarget, TargetKind};
use peerwalk_model::report::TargetFreshness;
use peerwalk_model::{PodRef, Timestamp, Walk};

use super::url::Authority;
use crate::cluster::Index;
use crate::cluster::flow::Destination;
use crate::cluster::record::Pod;
use crate::decisions::Decisions;

/// Sightings older than this prove nothing.
const KEEP: Duration = Duration::from_mins(5);
/// Connections of one pod to one endpoint that are remembered: what a walk found before an open circuit breaker is as old
/// as a minute, and somebody has to have connected before that.
const TIMES: usize = 8;
/// `ECONNREFUSED`, Linux.
const ECONNREFUSED: i32 = 111;

/// Who was seen by whom.
#[derive(Debug, Default)]
pub struct Sightings {
    /// From node to node, in a family: a pod of the second answered a pod of the first.
    paths: BTreeMap<Path, Sighting>,
    /// Endpoints that took a connection, by whom and when, the last first.
    admitted: BTreeMap<SocketAddr, BTreeMap<PodRef, VecDeque<Timestamp>>>,
}

/// A way from one node to another, in one address family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    pub from: String,
    pub to: String,
    /// Of IPv4.
    pub v4: bool,
}

/// A source pod, and what is known of it and the target that it tells of.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    pub index: &'a Index,
    pub decisions: &'a Decisions,
    pub source: &'a Pod,
    pub planned: &'a PlannedTarget,
    /// Since when it is planned like this.
    pub since: Timestamp,
}

/// An address that answered.
#[derive(Clone, Copy, Debug)]
struct Answer {
    purpose: DialPurpose,
    remote: SocketAddr,
    at: Timestamp,
    connected: bool,
}

impl Sightings {
    /// Takes in the dials of a walk.
    pub fn learn(&mut self, witness: &Witness<'_>, walk: &Walk) {
        for dial in walk.connect.iter().flat_map(|connect| &connect.dials).filter(|dial| answered(dial)) {
            let (purpose, remote) = (dial.purpose, dial.remote);
            let at = dial.started.plus(dial.elapsed);
            self.see(witness, Answer { purpose, remote, at, connected: connected(dial) });
        }
    }

    /// Takes in that a walk found the same as `walk`, which was sent: it travels only when it changes.
    pub fn learn_again(&mut self, witness: &Witness<'_>, walk: &Walk, fresh: &TargetFreshness) {
        for answer in repeated(witness, walk, fresh) {
            self.see(witness, answer);
        }
    }

    fn see(&mut self, witness: &Witness<'_>, answer: Answer) {
        let Answer { remote, at, connected, .. } = answer;
        if !witness.is_planned(answer.purpose, answer.remote) {
            return;
        }
        if connected && witness.is_admitted(answer) {
            let of_endpoint = self.admitted.entry(remote).or_default();
            let times = of_endpoint.entry(witness.source.id.clone()).or_default();
            if times.front().is_none_or(|last| at > *last) {
                times.push_front(at);
                times.truncate(TIMES);
            }
        }
        let answered_by = witness.index.pod_by_ip(remote.ip());
        let to = answered_by.and_then(|pod| pod.node.as_deref().map(|node| (node, pod.id.to_string())));
        if let (Some(from), Some((node, who))) = (&witness.source.node, to) {
            let path = Path { from: from.clone(), to: node.to_owned(), v4: remote.is_ipv4() };
            self.see_path(path, Sighting { who, at });
        }
    }

    /// A pod at the end of a path answered one at its beginning.
    fn see_path(&mut self, path: Path, sighting: Sighting) {
        let seen = self.paths.entry(path).or_insert_with(|| sighting.clone());
        if sighting.at >= seen.at {
            *seen = sighting;
        }
    }

    /// The last proof of a path.
    pub fn path(&self, path: &Path) -> Option<&Sighting> {
        self.paths.get(path)
    }

    /// The last pod but `not` that connected to an endpoint between the first and the last of a `run` of walks, or else
    /// the last at all: what both found was so before the connection and after it.
    pub fn admitted(
        &self,
        endpoint: SocketAddr,
        not: &PodRef,
        run: Option<(Timestamp, Timestamp)>,
    ) -> Option<Sighting> {
        let others = self.admitted.get(&endpoint)?.iter().filter(|(pod, _)| *pod != not);
        let each = others.flat_map(|(pod, times)| times.iter().map(move |at| (pod, *at)));
        let last =
            each.max_by_key(|(_, at)| (run.is_some_and(|(first, last)| first <= *at && *at <= last), *at));
        last.map(|(pod, at)| Sighting { who: pod.to_string(), at })
    }

    /// Forgets what is too old to prove anything.
    pub fn forget(&mut self, now: Timestamp) {
        self.paths.retain(|_, sighting| now.since(sighting.at) < KEEP);
        self.admitted.retain(|_, pods| {
            pods.retain(|_, times| times.front().is_some_and(|at| now.since(*at) < KEEP));
            !pods.is_empty()
        });
    }
}

impl Witness<'_> {
    /// Whether a dial is the source's own, of what the plan has it dial.
    pub(super) fn may_have_made(&self, dial: &Dial) -> bool {
        let own = |ip: IpAddr| {
            // Its node has addresses that the API does not tell of, such as that of the bridge of its pods.
            let of_node = self.source.host_network && self.index.pods_at(ip).next().is_none();
            self.source.ips.contains(&ip) || of_node
        };
        dial.local.is_some_and(|local| own(local.ip().to_canonical()))
            && self.is_planned(dial.purpose, dial.remote)
    }

    /// Whether the plan has the source dial this address for this purpose.
    fn is_planned(&self, purpose: DialPurpose, remote: SocketAddr) -> bool {
        match (&self.planned.kind, purpose) {
            (_, DialPurpose::Control) => self.planned.controls.iter().any(|c| c.address == remote),
            (TargetKind::Service(service), DialPurpose::Endpoint) => service.endpoints.contains(&remote),
            (TargetKind::Service(service), DialPurpose::ServiceAddress) => {
                service.port == remote.port() && service.addresses.contains(&remote.ip())
            }
            (TargetKind::Url(url), DialPurpose::Address) => {
                let ip = remote.ip();
                // A name that may lead anywhere does not lead to another's pod for that.
                let anywhere = url.scope.any_address && self.index.pods_at(ip).next().is_none();
                let in_scope = anywhere || url.scope.networks.iter().any(|network| network.contains(&ip));
                in_scope && remote.port() == Authority::of(&url.url).port
            }
            _ => false,
        }
    }

    /// The Service's address in the family of an endpoint, which a connection to it is opened to.
    fn service(&self, endpoint: SocketAddr) -> Option<SocketAddr> {
        let TargetKind::Service(service) = &self.planned.kind else { return None };
        let address = service.addresses.iter().find(|ip| ip.is_ipv4() == endpoint.is_ipv4())?;
        Some(SocketAddr::new(*address, service.port))
    }

    /// Whether the policies admitted the source when it connected. Of controls there is no history.
    fn is_admitted(&self, answer: Answer) -> bool {
        let to = match answer.purpose {
            DialPurpose::Endpoint => Destination::endpoint(answer.remote, self.service(answer.remote)),
            DialPurpose::Address => Destination::direct(answer.remote),
            DialPurpose::ServiceAddress | DialPurpose::Control | DialPurpose::Proxy => return false,
        };
        let decision = self.decisions.get(&self.source.id, to).and_then(|known| known.current());
        decision.is_some_and(|(since, decision)| decision.is_allowed() && since <= answer.at)
    }
}

/// What a walk answered that found the same as one before, as far as that is known: a heartbeat does not tell
/// which endpoint was dialled. Controls are left out, as proven silence is told with the controls of its proof.
fn repeated(witness: &Witness<'_>, walk: &Walk, fresh: &TargetFreshness) -> Vec<Answer> {
    let begun = fresh.started.minus(MOMENT);
    let breakers = walk.connect.iter().flat_map(|connect| &connect.breakers);
    let open: Vec<SocketAddr> =
        breakers.filter(|breaker| breaker.open).map(|breaker| breaker.remote).collect();
    let dials: Vec<&Dial> = walk.connect.iter().flat_map(|connect| &connect.dials).collect();
    let of = |purpose: DialPurpose, v4: bool| {
        let dials: Vec<&Dial> = dials
            .iter()
            .copied()
            .filter(|dial| dial.purpose == purpose && dial.remote.is_ipv4() == v4)
            .filter(|dial| !matches!(dial.outcome, DialOutcome::NotAllowed | DialOutcome::Skipped))
            // Walks that find an address open do not dial it.
            .filter(|dial| !open.contains(&dial.remote))
            .collect();
        let all_connected = !dials.is_empty() && dials.iter().all(|dial| connected(dial));
        (dials, all_connected)
    };
    let mut answers = Vec::new();
    for v4 in [true, false] {
        let (endpoints, all_endpoints) = of(DialPurpose::Endpoint, v4);
        let (addresses, all_addresses) = of(DialPurpose::Address, v4);
        // What refused is named by the signature, what connected is not.
        for dial in endpoints.iter().chain(&addresses).filter(|dial| answered(dial) && !connected(dial)) {
            let (purpose, remote) = (dial.purpose, dial.remote);
            answers.push(Answer { purpose, remote, at: begun, connected: false });
        }
        if all_endpoints {
            let turn = in_turn(witness, walk, fresh, begun, v4);
            let answer =
                |(remote, at)| Answer { purpose: DialPurpose::Endpoint, remote, at, connected: true };
            answers.extend(turn.into_iter().map(answer));
        }
        let resolved = walk.resolve.iter().flat_map(|resolve| &resolve.addresses);
        if all_addresses && resolved.filter(|ip| ip.is_ipv4() == v4).count() <= 1 {
            let remotes = addresses.iter().map(|dial| dial.remote);
            let answer =
                |remote| Answer { purpose: DialPurpose::Address, remote, at: begun, connected: true };
            answers.extend(remotes.map(answer));
        }
    }
    answers.retain(|answer| answer.at >= witness.since);
    answers
}

/// The endpoints of a family, each with the moment from which on it has connected. Walks that pass dial them in
/// turn, so as many walks as there are endpoints have dialled each.
fn in_turn(
    witness: &Witness<'_>,
    walk: &Walk,
    fresh: &TargetFreshness,
    begun: Timestamp,
    v4: bool,
) -> Vec<(SocketAddr, Timestamp)> {
    let TargetKind::Service(service) = &witness.planned.kind else { return Vec::new() };
    let endpoints: Vec<SocketAddr> =
        service.endpoints.iter().copied().filter(|endpoint| endpoint.is_ipv4() == v4).collect();
    let others = u32::try_from(endpoints.len().saturating_sub(1)).unwrap_or(u32::MAX);
    if others > 0 && (!passed(walk) || fresh.consecutive <= others) {
        return Vec::new();
    }
    let at = begun.minus(witness.planned.interval.saturating_mul(others));
    endpoints.into_iter().map(|endpoint| (endpoint, at)).collect()
}

/// Whether every stage passed, so that the next walk goes to the next endpoint.
fn passed(walk: &Walk) -> bool {
    let mut dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    let dialled = dials.all(|dial| connected(dial) || dial.purpose == DialPurpose::Control);
    let tls = walk.tls.as_ref().is_none_or(|tls| tls.outcome == TlsOutcome::Established);
    let request = walk.request.as_ref().is_none_or(
        |request| matches!(request.outcome, RequestOutcome::Status(status) if status < request.status_below),
    );
    dialled && tls && request
}

fn connected(dial: &Dial) -> bool {
    matches!(dial.outcome, DialOutcome::Connected { local_peer: None })
}

/// A connection, or an RST: both come from the pod's own network. An RST that a filter forged on the way
/// would make the path look whole; that only matters where packets to the same node vanish, and then the
/// filter is the finding all the same.
pub(super) fn answered(dial: &Dial) -> bool {
    match &dial.outcome {
        DialOutcome::Connected { local_peer } => local_peer.is_none(),
        DialOutcome::Failed { errno, immediate, queue } => {
            *errno == ECONNREFUSED && !immediate && queue.is_empty()
        }
        DialOutcome::Answered { .. } => true,
        DialOutcome::Silent | DialOutcome::NotAllowed | DialOutcome::Skipped => false,
    }
}
