//! The plain words for a connection that does not come about, when no policy explains it.

use peerwalk_model::evidence::{DialPurpose, Neighbour, NeighbourState};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Protocol, Reason, Stage, Verdict};
use peerwalk_netpol::Decision;

use super::{over, unreachable};
use crate::address::{Address, Answer};
use crate::errno::{EHOSTUNREACH, ENETUNREACH};
use crate::life::{Life, life};
use crate::policy_text;
use crate::proof::{Relation, relation, series};
use crate::signal::is_prohibition;
use crate::stance::Age;
use crate::trail::Trail;
use crate::view::View;

/// Something in the source pod accepts in the target's place: a connection proves nothing.
pub(super) fn intercepted(view: &View) -> Option<Verdict> {
    use peerwalk_model::evidence::{RequestOutcome, TlsOutcome};
    interceptor(view)?;
    let request = view.walk.request.as_ref().map(|request| &request.outcome);
    let tls = view.walk.tls.as_ref().map(|tls| &tls.outcome);
    match (tls, request) {
        // Whoever accepted, an answer came back, or a certificate that says who answers.
        (_, Some(RequestOutcome::Status(_))) | (Some(TlsOutcome::UntrustedIssuer), _) => None,
        (Some(TlsOutcome::Failed(_) | TlsOutcome::Reset | TlsOutcome::Timeout), _) => {
            Some(unreachable(Reason::InterceptedLocally, Stage::Tls, Confidence::Likely, Vec::new()))
        }
        (_, Some(_)) => {
            Some(unreachable(Reason::InterceptedLocally, Stage::Request, Confidence::Likely, Vec::new()))
        }
        (_, None) => {
            let text = "a connection proves nothing here: an HTTP request in the check would";
            let because = vec![Because::new(Topic::Missing, text)];
            Some(Verdict::unknown(Reason::InterceptedLocally, Stage::Connect, because))
        }
    }
}

/// The address that something in the source pod accepted in place of.
pub(crate) fn interceptor<'v, 'a>(view: &'v View<'a>) -> Option<&'v Address<'a>> {
    view.addresses.iter().find(|address| matches!(address.answer, Answer::Intercepted { .. }))
}

/// What is missing where the kernel could not be asked who accepted. `None` where it was, or nothing connected.
pub(crate) fn unasked(view: &View) -> Option<&'static str> {
    view.addresses.iter().any(|address| address.unasked).then_some(
        "the kernel of the source pod could not be asked who accepted: something in the pod may have, in the \
         target's place",
    )
}

/// From this many silent sockets on, beside others that connect, chance is no explanation: with 5 % of all packets
/// lost either way, a socket stays silent once in a hundred times.
const PORTS_LOST: usize = 3;

/// Some sockets connect, and others stay silent though they sent their SYN again.
pub(super) fn partial_loss(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    // One that may go a few hops only is a socket like the others where their packets may go as far.
    let answered_otherwise = |address: &&Address| {
        let trail = Trail::of(view, address);
        let silent = address.protocol == Protocol::Tcp && address.answer == Answer::Silent;
        silent && trail.answered().is_some() && !trail.is_too_short()
    };
    let mut all = failing.iter().copied().chain(view.service_addresses());
    if !failing.is_empty() && all.any(|address| answered_otherwise(&address)) {
        let mut because = about_policy(view, &failing);
        let text =
            "whether the next walk is answered would tell a path that came back from packets that are lost";
        because.push(Because::new(Topic::Missing, text));
        return Some(unreachable(Reason::PartialLoss, Stage::Connect, Confidence::Suspected, because));
    }
    let is_partial = |address: &&&Address| {
        let either = |answer: &Answer| matches!(answer, Answer::Works | Answer::Silent);
        matches!(address.answer, Answer::Mixed { .. }) && address.each.iter().all(either)
    };
    let partial = failing.iter().find(is_partial)?;
    let many = partial.silence.ports() >= PORTS_LOST && partial.silence.retransmitted;
    let confidence = if many { Confidence::Likely } else { Confidence::Suspected };
    let mut because = about_policy(view, &failing);
    because.push(Because::new(Topic::Missing, parity(partial)));
    Some(unreachable(Reason::PartialLoss, Stage::Connect, confidence, because))
}

/// What the silent source ports have in common.
fn parity(address: &Address) -> &'static str {
    match (address.silence.odd, address.silence.even) {
        (PORTS_LOST.., 0) => {
            "only odd source ports got no answer: one of two paths that are chosen by a hash of the ports may be dead"
        }
        (0, PORTS_LOST..) => {
            "only even source ports got no answer: one of two paths that are chosen by a hash of the ports may be dead"
        }
        _ => "whether the same source ports stay silent would tell a dead path from packet loss",
    }
}

/// Sockets are answered in ways that do not fit together: shown, both sides.
pub(super) fn contradictory(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let mixed = failing.iter().find(|address| matches!(address.answer, Answer::Mixed { .. }))?;
    let mut because = about_policy(view, &failing);
    let text = format!(
        "the answers of {} contradict each other; a walk in which every source port sees the same would decide",
        mixed.remote
    );
    because.push(Because::new(Topic::Missing, text));
    Some(Verdict::unknown(Reason::Dropped, Stage::Connect, because))
}

/// An explicit refusal that no policy explains.
pub(super) fn refused(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let is_refused = |address: &Address| matches!(address.answer, Answer::Refused(_) | Answer::Forbidden);
    let refused: Vec<&Address> = failing.iter().copied().filter(|address| is_refused(address)).collect();
    if refused.is_empty() {
        return None;
    }
    let certain = refused.iter().all(|address| {
        let allowed = view
            .stance(address)
            .is_some_and(|stance| !stance.denies() && stance.age == Age::Settled && stance.certain);
        let named = address.refusals.iter().all(|error| error.offender.is_some() || is_prohibition(error));
        allowed && named && matches!(address.answer, Answer::Refused(_))
    });
    // Where another endpoint connects, it is not this filter alone that the Service's address fails by.
    let passes = |address: &Address| {
        let connected = |answer: &Answer| {
            matches!(answer, Answer::Works | Answer::Intercepted { .. } | Answer::ResetAfterAccept)
        };
        address.answer.works() || address.each.iter().any(connected)
    };
    let alone = refused.len() == failing.len() && !view.addresses.iter().any(passes);
    let certain = certain && alone && view.reads_all_policies();
    let stands = refused
        .iter()
        .all(|address| view.stance(address).is_none_or(|stance| view.stands_against(address, &stance)));
    let confidence = if certain && stands { Confidence::Confirmed } else { Confidence::Likely };
    let mut verdict = plain(view, Reason::Filtered, confidence, &refused, &failing);
    if certain && !stands {
        verdict.because.push(Because::new(Topic::Missing, UNHEARD));
    }
    Some(verdict)
}

/// What is missing while a change of policy that explains it may be on its way to us.
pub(super) const UNHEARD: &str =
    "a change of policy may not be known here yet: a later walk that sees the same decides";

/// ICMP host or network unreachable or time exceeded, or no route in the pod itself.
fn unreachable_word(answer: Answer) -> Option<Reason> {
    match answer {
        Answer::HostUnreachable(_) => Some(Reason::HostUnreachable),
        Answer::NetworkUnreachable(_) => Some(Reason::NetworkUnreachable),
        Answer::RoutingLoop(_) => Some(Reason::RoutingLoop),
        _ => None,
    }
}

/// The target's host or network is not there.
pub(super) fn no_host(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let reason = failing.iter().find_map(|address| unreachable_word(address.answer))?;
    let gone: Vec<&Address> =
        failing.iter().copied().filter(|address| unreachable_word(address.answer) == Some(reason)).collect();
    if reason == Reason::RoutingLoop {
        return Some(over::time_exceeded(view, &gone, &failing));
    }
    // One that is heard elsewhere is there, and it is the link that does not lead to it.
    let heard = |address: &Address| match life(view, address) {
        Life::Heard(text) => Some(text),
        _ => None,
    };
    let is_gone = |address: &&Address| {
        let alone = address.purpose == DialPurpose::Endpoint && is_nobodys(view, address);
        has_no_pod(view, address) || (alone && heard(address).is_none())
    };
    let reason = match reason {
        Reason::HostUnreachable if gone.iter().all(is_gone) => Reason::PodGone,
        other => other,
    };
    let mut verdict = plain(view, reason, Confidence::Likely, &gone, &failing);
    if reason == Reason::PodGone {
        let without = gone.iter().filter(|address| has_no_pod(view, address));
        verdict.because.extend(without.map(|address| no_pod(view, address)));
    } else {
        let alive = gone.iter().filter_map(|address| heard(address));
        verdict.because.extend(alive.map(|text| Because::new(Topic::Alive, text)));
    }
    Some(verdict)
}

/// Whether the endpoint's pod does not exist any more, as the API has it.
fn has_no_pod(view: &View, address: &Address) -> bool {
    address.purpose == DialPurpose::Endpoint
        && view.endpoint(address.remote.ip()).is_some_and(|e| e.gone)
        && !is_somebodys(view, address)
}

/// What answers is somebody's, however it was dialled.
fn is_somebodys(view: &View, address: &Address) -> bool {
    let same = |other: &&Address| other.remote.ip() == address.remote.ip();
    view.addresses.iter().filter(same).any(|other| other.each.contains(&Answer::Works))
}

fn no_pod(view: &View, address: &Address) -> Because {
    let text = format!(
        "the pod of endpoint {} does not exist any more, or has another address",
        view.name(address.remote)
    );
    Because::new(Topic::Alive, text)
}

/// Whether the pod's own kernel asked its link for this very address, and nobody answered.
fn is_nobodys(view: &View, address: &Address) -> bool {
    let neighbours = view.walk.connect.as_ref().map_or(&[][..], |connect| &connect.neighbours);
    let failed = |neighbour: &&Neighbour| neighbour.state == NeighbourState::Failed;
    if is_somebodys(view, address) {
        return false;
    }
    neighbours.iter().filter(failed).any(|neighbour| neighbour.address == address.remote.ip().to_canonical())
}

/// An RST, or an accept and an RST.
pub(super) fn reset(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    for (answer, reason) in
        [(Answer::Reset, Reason::ConnectionRefused), (Answer::ResetAfterAccept, Reason::ConnectionReset)]
    {
        let reset: Vec<&Address> =
            failing.iter().copied().filter(|address| address.answer == answer).collect();
        if !reset.is_empty() {
            let mut verdict = plain(view, reason, Confidence::Likely, &reset, &failing);
            if reset.iter().any(|address| address.protocol == Protocol::Udp) {
                let text = "a filter that refuses in the name of the address looks the same as a closed port";
                verdict.because.push(Because::new(Topic::Missing, text));
            }
            return Some(verdict);
        }
    }
    None
}

/// No answer.
pub(super) fn silent(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let silent: Vec<&Address> =
        failing.iter().copied().filter(|address| address.answer == Answer::Silent).collect();
    let ports = |address: &&Address| {
        let walks = usize::try_from(view.pair.consecutive.max(1)).unwrap_or(usize::MAX);
        if address.silence.is_complete() { 8 } else { address.silence.ports().saturating_mul(walks) }
    };
    if silent.iter().any(|address| address.protocol == Protocol::Udp) {
        return Some(mute(view, &failing));
    }
    let short: Vec<&Address> =
        silent.iter().copied().filter(|address| Trail::of(view, address).is_too_short()).collect();
    if !short.is_empty() {
        return Some(over::too_short(view, &short, &failing));
    }
    // A diagnosis opens its series of sockets to one of the silent addresses.
    let most = silent.iter().map(ports).max()?;
    let lives: Vec<Life> = silent.iter().map(|address| life(view, address)).collect();
    let alive = lives.iter().all(|life| matches!(life, Life::Heard(_)));
    // The kubelet finds it as dead as we do, and its node is well.
    let sick = |address: &&Address| {
        let endpoint = view.endpoint(address.remote.ip());
        endpoint.is_some_and(|e| e.pod.is_some() && !e.ready && e.node_lease_fresh)
    };
    let reason = match alive {
        true => Reason::Dropped,
        false if silent.iter().all(|address| has_no_pod(view, address)) => Reason::PodGone,
        false if silent.iter().all(sick) => Reason::EndpointNotReady,
        false => Reason::ConnectTimeout,
    };
    let confidence = if most >= 8 { Confidence::Likely } else { Confidence::Suspected };
    let mut verdict = plain(view, reason, confidence, &silent, &failing);
    for (address, life) in silent.iter().zip(lives) {
        verdict.because.push(sign_of_life(view, address, life));
    }
    let longest =
        silent.iter().max_by_key(|address| (address.silence.is_complete(), address.silence.ports()));
    if let Some(short) = longest.filter(|address| !address.silence.is_complete()) {
        verdict.because.push(Because::new(Topic::Missing, series(short)));
    }
    if most < 3 {
        // One lost packet looks like this.
        return Some(Verdict::unknown(reason, Stage::Connect, verdict.because));
    }
    Some(verdict)
}

/// UDP, and no answer: that is nobody's word.
fn mute(view: &View, failing: &[&Address]) -> Verdict {
    let mut because = about_policy(view, failing);
    let text = "over UDP a server that does not answer is as silent as a filter: a datagram that it answers would decide \
                (?send=HEX)";
    because.push(Because::new(Topic::Missing, text));
    Verdict::unknown(Reason::ConnectTimeout, Stage::Connect, because)
}

fn sign_of_life(view: &View, address: &Address, life: Life) -> Because {
    let name = view.name(address.remote);
    match life {
        Life::Heard(text) => Because::new(Topic::Alive, text),
        Life::Ready => Because::new(
            Topic::Missing,
            format!("{name} is Ready and its node's lease is fresh, but no packet from it was seen"),
        ),
        Life::Gone => no_pod(view, address),
        Life::Unhealthy => {
            Because::new(Topic::Missing, format!("{name} is not Ready, or its node's lease is not fresh"))
        }
        Life::Unknown => Because::new(Topic::Missing, format!("nothing shows that {name} is alive")),
    }
}

/// An error that says nothing certain by itself.
pub(super) fn unexplained(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let (address, errno) = failing.iter().find_map(|address| match address.answer {
        Answer::Unexplained(errno) => Some((*address, errno)),
        _ => None,
    })?;
    let mut because = about_policy(view, &failing);
    let text = format!(
        "{} failed with errno {errno} and an empty error queue, which has several causes",
        address.remote
    );
    because.push(Because::new(Topic::Missing, text));
    // Administrative prohibition gives EHOSTUNREACH too.
    let reason = match errno {
        ENETUNREACH => Reason::NetworkUnreachable,
        EHOSTUNREACH => Reason::HostUnreachable,
        _ => Reason::ConnectTimeout,
    };
    Some(Verdict::unknown(reason, Stage::Connect, because))
}

/// What is missing where a Service's address was dialled before the Service became what it is.
pub(super) const OUTDATED: &str =
    "the Service or its endpoints have changed since its address failed: the next dial of it decides";

/// Nothing was dialled, so nothing is known.
pub(super) fn nothing_tried(view: &View) -> Option<Verdict> {
    if view.addresses.iter().any(|address| address.answer.was_tried() && !address.outdated) {
        return None;
    }
    let outdated = view.addresses.iter().any(|address| address.outdated);
    let text = if outdated { OUTDATED } else { "no address of the target was dialled in this walk" };
    let because = vec![Because::new(Topic::Missing, text)];
    Some(Verdict::unknown(Reason::Probing, Stage::Connect, because))
}

/// The addresses that failed, unless a connection came about the way an application makes it. Endpoints come
/// before the service address, whose answers are theirs, translated.
pub(super) fn failing<'v, 'a>(view: &'v View<'a>) -> Vec<&'v Address<'a>> {
    if view.connects() || interceptor(view).is_some() {
        return Vec::new();
    }
    let failed = |address: &&Address| !address.answer.works();
    let direct: Vec<&Address> = view.tried().filter(failed).collect();
    if direct.is_empty() { view.service_addresses().filter(failed).collect() } else { direct }
}

pub(super) fn plain(
    view: &View,
    reason: Reason,
    confidence: Confidence,
    these: &[&Address],
    failing: &[&Address],
) -> Verdict {
    let mut because = about_policy(view, these);
    let tried = view.tried().count();
    let confidence = if these.iter().any(|address| is_first_seen(view, address)) {
        confidence.min(Confidence::Suspected)
    } else {
        confidence
    };
    if these.len() < tried && these.iter().all(|a| view.direct().any(|d| d.remote == a.remote)) {
        let text = format!("{} of {tried} endpoints that were dialled fail like this", these.len());
        because.push(Because::new(Topic::Service, text));
    }
    let confidence =
        if these.len() == failing.len() { confidence } else { confidence.min(Confidence::Likely) };
    let confidence = if hides_a_denial(view) {
        let text =
            "the policies deny every endpoint, and none was dialled in this walk: a direct dial would decide";
        because.push(Because::new(Topic::Missing, text));
        // The cause is open, the failure is not: it counts when it repeats.
        confidence.min(Confidence::Likely)
    } else {
        confidence
    };
    unreachable(reason, Stage::Connect, confidence, because)
}

/// Only the Service's own address was dialled, and the policies deny every endpoint: what it answered may be the
/// denial, translated.
fn hides_a_denial(view: &View) -> bool {
    let mut decisions = view.decisions().peekable();
    view.tried().next().is_none()
        && decisions.peek().is_some()
        && decisions.all(|decision| !decision.is_allowed())
}

/// What was observed contradicts a decision that has only just been evaluated for the first time.
fn is_first_seen(view: &View, address: &Address) -> bool {
    view.stance(address).is_some_and(|stance| {
        matches!(stance.age, Age::FirstSeen { .. })
            && relation(view, address, &stance) == Relation::Contradicts
    })
}

/// What the policies say of these addresses, once.
pub(super) fn about_policy(view: &View, these: &[&Address]) -> Vec<Because> {
    let stances: Vec<_> = these.iter().filter_map(|address| view.stance(address)).collect();
    if let Some(denying) = stances.iter().find(|stance| stance.denies()) {
        let mut lines = policy_text::denial(denying.decision);
        lines.push(Because::new(
            Topic::Missing,
            "policies deny it, but what was seen does not prove that they are the cause",
        ));
        return lines;
    }
    match stances.first() {
        Some(stance) => vec![policy_text::allowance(stance.decision)],
        None => behind(view, these),
    }
}

/// What the policies say of the endpoints, to any of which the Service's address may have led.
fn behind(view: &View, these: &[&Address]) -> Vec<Because> {
    let denied: Vec<&Decision> = view.decisions().filter(|decision| !decision.is_allowed()).collect();
    let service = these.iter().any(|address| address.purpose == DialPurpose::ServiceAddress);
    let Some(first) = denied.first().filter(|_| service) else { return Vec::new() };
    let mut lines = policy_text::denial(first);
    let text = format!(
        "policies deny {} of {} endpoints, to which the Service's address may have led: a direct dial of each \
         would tell",
        denied.len(),
        view.decisions().count()
    );
    lines.push(Because::new(Topic::Missing, text));
    lines
}
