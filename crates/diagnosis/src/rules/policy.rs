//! When it is the policy: `PolicyDenied`, `PolicyNotEnforced`, `PolicyProgramming`.

use std::net::{IpAddr, SocketAddr};

use peerwalk_model::evidence::{DialPurpose, RequestOutcome, TlsOutcome};
use peerwalk_model::verdict::{Expectation, Topic};
use peerwalk_model::{Because, Confidence, Direction, Observed, Reason, Stage, Verdict};

use crate::address::{Address, Answer};
use crate::peer;
use crate::policy_text;
use crate::proof::{Proof, Relation, certainty, prove, relation, unreadable};
use crate::rules::connect::{UNHEARD, about_policy, interceptor, unasked};
use crate::stance::{Age, Stance};
use crate::trail::Trail;
use crate::view::View;

/// The decision changed during the walk, or so shortly before that what contradicts it may only show that the
/// data plane is not there yet.
pub(super) fn programming(view: &View) -> Option<Verdict> {
    let stance = view.tried().find_map(|address| changing(view, address)).or_else(|| behind_service(view))?;
    let now = if stance.denies() { "deny" } else { "allow" };
    let text = match stance.age {
        Age::During => format!("the policies changed while the walk was under way; they now {now} it"),
        _ => format!(
            "the policies changed shortly before the walk; they now {now} it, and what was seen does not fit yet"
        ),
    };
    let mut because = if stance.denies() {
        policy_text::denial(stance.decision)
    } else {
        vec![policy_text::allowance(stance.decision)]
    };
    because.push(Because::new(Topic::Missing, text));
    Some(Verdict::unknown(Reason::PolicyProgramming, Stage::Connect, because))
}

/// The stance of an address whose decision changed, when that leaves the observation open.
fn changing<'a>(view: &View<'a>, address: &Address) -> Option<Stance<'a>> {
    let stance = view.stance(address)?;
    let relation = relation(view, address, &stance);
    // A new endpoint that is not admitted yet does no harm while the Service answers.
    let harmless = view.connects() && !stance.denies();
    let open = match stance.age {
        Age::During => relation != Relation::Unrelated,
        Age::Recent => relation == Relation::Contradicts && !harmless,
        Age::Settled | Age::FirstSeen { .. } => false,
    };
    open.then_some(stance)
}

/// The same where the service address alone was dialled and connects, though every endpoint is denied.
fn behind_service<'a>(view: &View<'a>) -> Option<Stance<'a>> {
    let stances = stances_behind_service(view)?;
    stances.into_iter().find(|stance| matches!(stance.age, Age::During | Age::Recent))
}

/// The stances of all endpoints, when the service address connects and all of them deny.
fn stances_behind_service<'a>(view: &View<'a>) -> Option<Vec<Stance<'a>>> {
    let service = view.service_addresses().find(|address| address.answer.works())?;
    let stances: Vec<Stance> =
        view.case.decisions.iter().filter_map(|known| view.stance_towards(known, service)).collect();
    (!stances.is_empty() && stances.iter().all(Stance::denies)).then_some(stances)
}

/// Where a denial is expected, a connection is the violation, whatever comes after it.
pub(super) fn not_enforced_though_expected(view: &View) -> Option<Verdict> {
    if view.case.expect == Expectation::Denied { not_enforced(view) } else { None }
}

/// The policies deny, and it connects all the same.
pub(super) fn not_enforced(view: &View) -> Option<Verdict> {
    let direct = view.tried().filter(|address| address.answer.works()).find_map(|address| {
        let stance = view.stance(address).filter(Stance::denies)?;
        Some((address, stance))
    });
    let behind_service = || {
        let stance = stances_behind_service(view)?.into_iter().next()?;
        Some((view.service_addresses().find(|address| address.answer.works())?, stance))
    };
    if direct.is_none() && failed_directly(view) {
        return behind_service().map(|(_, stance)| denied_and_connected(&stance));
    }
    let (address, stance) = direct.or_else(behind_service)?;
    let mut proof = Proof::new();
    excuses(view, address, &stance, &mut proof);
    let confirmed = proof.confidence == Confidence::Confirmed;
    let stage = if confirmed && view.walk.request.is_some() { Stage::Request } else { Stage::Connect };
    let mut because = policy_text::denial(stance.decision);
    because.extend(proof.lines);
    let policy = stance.denying().and_then(|direction| policy_text::cause(stance.decision, direction));
    if policy.is_none() {
        because.push(policy_text::unnamed());
    }
    Some(Verdict {
        observed: Observed::Reachable,
        reason: Some(Reason::PolicyNotEnforced),
        stage,
        confidence: proof.confidence,
        policy,
        because,
    })
}

/// Whether an endpoint that was dialled did not connect.
fn failed_directly(view: &View) -> bool {
    view.tried().any(|address| !matches!(address.answer, Answer::Works | Answer::Intercepted { .. }))
}

/// The Service's address connects, while an endpoint behaves as the policies say: both sides are shown.
fn denied_and_connected(stance: &Stance) -> Verdict {
    let mut because = policy_text::denial(stance.decision);
    because.push(Because::new(
        Topic::Missing,
        "an endpoint that was dialled did not connect, as the policies say, and the Service's address did: it \
         may lead to an endpoint of before, or to another one; a walk in which both agree would decide",
    ));
    Verdict::unknown(Reason::PolicyNotEnforced, Stage::Connect, because)
}

/// What else may be behind a connection that the policies deny.
fn excuses(view: &View, address: &Address, stance: &Stance, proof: &mut Proof) {
    if let Age::FirstSeen { .. } = stance.age {
        let text = "the policies were first evaluated a moment ago: the next walk decides";
        proof.misses(Confidence::Suspected, text);
    }
    if address.purpose == DialPurpose::ServiceAddress && view.service_changed() {
        let text = "the Service or its endpoints changed a moment ago: its address may still lead to an endpoint \
                    of before";
        proof.misses(Confidence::Suspected, text);
    }
    let none_ready = view.facts.service().is_some_and(|service| service.ready == 0);
    if address.purpose == DialPurpose::ServiceAddress && none_ready {
        let text =
            "the Service has no ready endpoint: one that shuts down and still serves may have answered";
        proof.misses(Confidence::Likely, text);
    }
    if !view.stands_against(address, stance) {
        proof.misses(Confidence::Likely, UNHEARD);
    }
    if failed_directly(view) {
        proof.misses(Confidence::Likely, "other endpoints that were dialled did not connect");
    }
    proof.doubts(stance);
    if !view.reads_all_policies() {
        proof.misses(Confidence::Likely, unreadable(view));
    }
    // Behind a Service, any of the endpoints may be the one that answered.
    let behind = view.case.decisions.iter().map(|known| known.endpoint.ip());
    let ends: Vec<IpAddr> = behind.chain([address.remote.ip()]).collect();
    let host_network = |ip: &IpAddr| view.endpoint(*ip).is_some_and(|endpoint| endpoint.host_network);
    if view.facts.source.host_network || ends.iter().any(host_network) {
        proof.misses(
            Confidence::Likely,
            "a pod that shares its node's network is an exception in most data planes",
        );
    }
    if ends.iter().any(|ip| view.facts.source.addresses.contains(ip)) {
        proof.misses(Confidence::Likely, "a pod that reaches itself is an exception in most data planes");
    }
    if interceptor(view).is_some() {
        proof.misses(
            Confidence::Likely,
            "something in the source pod accepted a connection in the target's place",
        );
    }
    if let Some(text) = unasked(view) {
        proof.misses(Confidence::Likely, text);
    }
    if !target_answered(view, address) && !target_holds(view, address) {
        let text = "a connection alone does not show who accepted it, nor does what comes over it in plain text: something \
                    on the way may answer in the target's place; a sidecar in the target that holds the connection, or a \
                    verified certificate and an HTTP status, would";
        proof.misses(Confidence::Likely, text);
    }
}

/// Whether an endpoint holds the connection, with the address of our pod as its source, and all are denied.
fn target_holds(view: &View, address: &Address) -> bool {
    let endpoint = |at: SocketAddr| view.case.decisions.iter().any(|known| known.endpoint == at);
    let own = |ip: IpAddr| view.facts.source.addresses.contains(&ip);
    let mut words = peer::about(view, address);
    let held = words.any(|word| {
        let ends = word.seen.tuple;
        word.holds_for_certain() && word.by.endpoint && own(ends.source.ip()) && endpoint(ends.destination)
    });
    held && all_denied(view, address) && !view.service_changed()
}

/// Whether every endpoint is denied, for certain and for long: behind a Service, any of them may have answered.
fn all_denied(view: &View, address: &Address) -> bool {
    let known = &view.case.decisions;
    let denied = |stance: Stance| stance.denies() && stance.certain && view.stands_against(address, &stance);
    !known.is_empty() && known.iter().all(|known| view.stance_towards(known, address).is_some_and(denied))
}

/// Whether application bytes came that only the denied target can give: who answers plain HTTP may be a proxy on the
/// way, or another host that the address is translated to.
fn target_answered(view: &View, address: &Address) -> bool {
    let status = view
        .walk
        .request
        .as_ref()
        .is_some_and(|request| matches!(request.outcome, RequestOutcome::Status(_)));
    let verified = view.walk.tls.as_ref().is_some_and(|tls| tls.outcome == TlsOutcome::Established);
    // Behind a Service, any of the endpoints may have answered, and one of before.
    status && verified && all_denied(view, address) && !view.service_changed()
}

/// The policies deny, and everything that was seen fits.
pub(super) fn denied(view: &View) -> Option<Verdict> {
    let answered = |address: &Address| match address.answer {
        Answer::Works | Answer::Mixed { .. } | Answer::Intercepted { .. } | Answer::ResetAfterAccept => true,
        // A policy does not look at how far packets may go.
        Answer::Silent => Trail::of(view, address).answered().is_some(),
        _ => false,
    };
    let came = view.words.iter().any(|word| word.holds() || word.syn_arrived());
    if came || view.addresses.iter().any(answered) {
        return None;
    }
    let Proven { stance, direction, proof, others } = proven(view)?;
    let mut confidence = proof.confidence;
    let mut because = policy_text::denial(stance.decision);
    because.extend(proof.lines);
    because.extend(others);
    if view.decisions().any(peerwalk_netpol::Decision::is_allowed) {
        confidence = confidence.min(Confidence::Likely);
        because.push(Because::new(
            Topic::Missing,
            "policies allow other endpoints, which were not dialled in this walk",
        ));
    }
    if view.words.iter().any(peer::Word::queue_full) {
        confidence = confidence.min(Confidence::Likely);
        let text =
            "an accept queue was full when the target's sidecar looked, which is as silent as a denial";
        because.push(Because::new(Topic::Missing, text));
    }
    let policy = policy_text::cause(stance.decision, direction);
    if policy.is_none() {
        because.push(policy_text::unnamed());
    }
    if view.case.expect == Expectation::Reachable {
        because.extend(policy_text::fixes(stance.decision));
    }
    let observed = if confidence == Confidence::Confirmed { Observed::Denied } else { Observed::Unreachable };
    Some(Verdict {
        observed,
        reason: Some(Reason::PolicyDenied),
        stage: Stage::Connect,
        confidence,
        policy,
        because,
    })
}

/// The endpoint whose denial is proven best.
struct Proven<'a> {
    stance: Stance<'a>,
    direction: Direction,
    proof: Proof,
    /// What is said of the other endpoints.
    others: Option<Because>,
}

/// Every endpoint that was dialled is denied by a decision in force and answered as if it were. A diagnosis
/// opens its series of sockets to one of them, so the proof of one stands for the target.
fn proven<'a>(view: &View<'a>) -> Option<Proven<'a>> {
    let mut best: Option<Proven<'a>> = None;
    let mut cap = Confidence::Confirmed;
    let mut denied = 0;
    for address in view.tried() {
        let stance = view.stance(address)?;
        let Relation::Fits(direction) = relation(view, address, &stance) else { return None };
        denied += 1;
        cap = cap.min(certainty(view, &stance).confidence);
        let Some(proof) = prove(view, address, &stance) else { continue };
        if best.as_ref().is_none_or(|best| best.proof.confidence < proof.confidence) {
            best = Some(Proven { stance, direction, proof, others: None });
        }
    }
    let mut best = best?;
    best.proof.confidence = best.proof.confidence.min(cap);
    if denied > 1 {
        let text =
            format!("all {denied} endpoints that were dialled are denied, and what they answered fits");
        best.others = Some(Because::new(Topic::Policy, text));
    }
    Some(best)
}

/// A refusal from beyond the point where the policy is enforced: both sides are shown.
pub(super) fn refused_past_the_policy(view: &View) -> Option<Verdict> {
    if view.connects() {
        return None;
    }
    let refused: Vec<&Address> = view
        .tried()
        .filter(|address| matches!(address.answer, Answer::Refused(_)))
        .filter(|address| {
            view.stance(address).is_some_and(|stance| {
                stance.denies() && relation(view, address, &stance) == Relation::Contradicts
            })
        })
        .collect();
    let first = refused.first()?;
    let mut because = about_policy(view, &refused);
    let text = format!(
        "egress should have been denied at the source, and {} was refused at the target's side: a connection to \
         another target that the same policy denies would decide",
        first.remote
    );
    because.push(Because::new(Topic::Missing, text));
    Some(Verdict::unknown(Reason::Filtered, Stage::Connect, because))
}
