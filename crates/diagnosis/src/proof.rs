//! What it takes to say that a policy is behind an observation: the three conditions of "When it is the
//! policy", for one address.

use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Direction, Protocol};

use crate::address::{Address, Answer};
use crate::facts::EndpointFacts;
use crate::life::{Life, admitted, life, path};
use crate::peer;
use crate::place::place;
use crate::stance::Stance;
use crate::trail::Trail;
use crate::view::View;

/// How an observation relates to a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The decision denies, and a denial in this direction looks like this.
    Fits(Direction),
    /// The decision says otherwise.
    Contradicts,
    /// The decision allows, and it connected.
    Agrees,
    /// It says nothing about policy.
    Unrelated,
}

/// How what an address answered relates to the decision about it.
pub(crate) fn relation(view: &View, address: &Address, stance: &Stance) -> Relation {
    // A server that does not answer is as silent as a filter, and a closed port says what some filters say.
    if address.protocol == Protocol::Udp && matches!(address.answer, Answer::Silent | Answer::Reset) {
        return Relation::Unrelated;
    }
    let Some(first) = stance.denying() else {
        return match address.answer {
            Answer::Works | Answer::ResetAfterAccept => Relation::Agrees,
            Answer::Silent
            | Answer::Reset
            | Answer::Refused(_)
            | Answer::Forbidden
            | Answer::Mixed { .. } => Relation::Contradicts,
            _ => Relation::Unrelated,
        };
    };
    match address.answer {
        Answer::Silent | Answer::Reset => Relation::Fits(first),
        Answer::Works | Answer::ResetAfterAccept | Answer::Mixed { .. } => Relation::Contradicts,
        Answer::Refused(_) => refused(view, address, stance),
        Answer::Forbidden if first == Direction::Egress => Relation::Fits(first),
        _ => Relation::Unrelated,
    }
}

/// A refusal fits when every sender stands where a denying direction is enforced.
fn refused(view: &View, address: &Address, stance: &Stance) -> Relation {
    let places = || address.refusals.iter().map(|error| place(view.facts, address, error.offender));
    let denies = |direction| stance.decision.denying_directions().any(|denying| denying == direction);
    if denies(Direction::Egress) && places().all(|place| place.egress) {
        return Relation::Fits(Direction::Egress);
    }
    if denies(Direction::Ingress) && places().all(|place| place.ingress) {
        return Relation::Fits(Direction::Ingress);
    }
    // Past the point where egress would have ended it.
    let beyond = places().any(|place| place.ingress && !place.egress);
    if denies(Direction::Egress) && !denies(Direction::Ingress) && beyond {
        return Relation::Contradicts;
    }
    Relation::Unrelated
}

/// How much of the proof there is, with what proves it and what is missing.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub confidence: Confidence,
    pub lines: Vec<Because>,
}

impl Proof {
    pub fn new() -> Self {
        Self { confidence: Confidence::Confirmed, lines: Vec::new() }
    }

    fn shows(&mut self, topic: Topic, text: impl Into<String>) {
        self.lines.push(Because::new(topic, text));
    }

    pub fn misses(&mut self, cap: Confidence, text: impl Into<String>) {
        self.confidence = self.confidence.min(cap);
        self.shows(Topic::Missing, text);
    }

    /// Points that the API leaves to the implementation keep any claim about policy from being confirmed.
    pub fn doubts(&mut self, stance: &Stance) {
        for caveat in &stance.decision.caveats {
            self.misses(Confidence::Likely, format!("the API leaves to the network plugin {caveat}"));
        }
    }
}

/// Proves that a denial explains what an address answered. `None` when something else explains it as well
/// and better: then the plain word stands.
pub(crate) fn prove(view: &View, address: &Address, stance: &Stance) -> Option<Proof> {
    let mut proof = certainty(view, stance);
    match address.answer {
        Answer::Silent => silent(view, address, &mut proof)?,
        Answer::Reset => reset(view, address, &mut proof)?,
        Answer::Refused(_) => {}
        _ => proof.misses(
            Confidence::Likely,
            "the source pod's own kernel forbids the connection, which a route of type prohibit does too",
        ),
    }
    Some(proof)
}

/// The first condition: in force during the whole walk, and nothing implementation-defined in it.
pub(crate) fn certainty(view: &View, stance: &Stance) -> Proof {
    let mut proof = Proof::new();
    if !stance.in_force() {
        proof.misses(
            Confidence::Suspected,
            "the policies were first evaluated during the walk: the next walk decides",
        );
    } else if stance.decision.is_certain() && !stance.certain {
        proof.misses(
            Confidence::Likely,
            "when the walk began, the decision was left to the network plugin: the next walk decides",
        );
    }
    proof.doubts(stance);
    if !view.reads_all_policies() {
        proof.misses(Confidence::Likely, unreadable(view));
    }
    proof
}

/// What is said while there are policy kinds that nobody here can read.
pub(crate) fn unreadable(view: &View) -> String {
    let kinds = view.facts.unreadable_policy_kinds.join(", ");
    format!(
        "the cluster has policies of kinds that cannot be read here ({kinds}), which may decide otherwise"
    )
}

/// Silence: the target is alive, the path is whole, and loss is excluded.
fn silent(view: &View, address: &Address, proof: &mut Proof) -> Option<()> {
    let name = view.name(address.remote);
    let trail = Trail::of(view, address);
    // A policy does not look at how far packets may go.
    if trail.answered().is_some() {
        return None;
    }
    if let Some(doubt) = trail.short() {
        proof.misses(Confidence::Likely, format!("{doubt}, which is no matter of policy"));
    }
    match life(view, address) {
        Life::Heard(text) => proof.shows(Topic::Alive, text),
        Life::Ready => proof.misses(
            Confidence::Likely,
            format!(
                "{name} is Ready and its node's lease is fresh, but no packet from it was seen: a sidecar in \
                 it, or an admitted pod that connects to it, would show it"
            ),
        ),
        Life::Gone | Life::Unhealthy => return None,
        Life::Unknown => proof.misses(
            Confidence::Likely,
            format!("nothing shows that {name} is alive: an admitted pod that connects to it would"),
        ),
    }
    if awaited(view, address) {
        let text =
            format!("{name}, which lives, was asked whether the SYNs came to it, and has not answered yet");
        proof.misses(Confidence::Likely, text);
    }
    let is_pod = view.endpoint(address.remote.ip()).is_some_and(|endpoint| endpoint.pod.is_some());
    match path(view, address) {
        Some(text) => proof.shows(Topic::Path, text),
        None if is_pod => proof.misses(
            Confidence::Likely,
            format!("nothing shows that the path to the node of {name} is whole: an answer from another pod there would"),
        ),
        // The admitted source of an address outside the cluster is the whole proof there can be.
        None => {}
    }
    if !address.silence.is_complete() {
        let enough = address.silence.ports() >= 3 || view.repeated();
        proof.misses(if enough { Confidence::Likely } else { Confidence::Suspected }, series(address));
    }
    if peer::none_arrived(view, address) {
        proof.shows(
            Topic::Path,
            format!("{name} listens on {}, and none of the SYNs came to it", address.remote),
        );
    }
    Some(())
}

/// Whether the word of the pod at an address may still say otherwise, and no other source shows what becomes of
/// connections there.
fn awaited(view: &View, address: &Address) -> bool {
    let endpoint = view.endpoint(address.remote.ip());
    let pod = endpoint.and_then(|endpoint| endpoint.pod.as_ref());
    pod.is_some_and(|pod| view.pair.awaited.contains(pod))
        && admitted(view, endpoint, &view.name(address.remote)).is_none()
}

/// What a series of silent sockets lacks to exclude loss.
pub(crate) fn series(address: &Address) -> String {
    format!(
        "{} stayed silent on {} source ports; at least 4 odd and 4 even ones and a retransmission would exclude \
         loss",
        address.remote,
        address.silence.ports()
    )
}

const NOT_UNANIMOUS: &str = "not every connection attempt was reset, the others stayed silent";

/// RST: a closed port looks the same.
fn reset(view: &View, address: &Address, proof: &mut Proof) -> Option<()> {
    let name = view.name(address.remote);
    let endpoint = view.endpoint(address.remote.ip());
    let (between, who_listens) = (view.is_between(address, endpoint), peer::who_listens(view, address));
    if let Some(text) = admitted(view, endpoint, &name).filter(|_| between || who_listens.is_none()) {
        proof.shows(Topic::Alive, text);
        if !between {
            proof.misses(
                Confidence::Likely,
                "the port may have been closed when it was reset and open when that source connected: resets before and \
                 after would decide",
            );
        }
        if !address.unanimous {
            proof.misses(Confidence::Likely, NOT_UNANIMOUS);
        }
        return Some(());
    }
    if let Some(who) = who_listens {
        proof.shows(
            Topic::Alive,
            format!("{who} listens on {}, by the word of its own kernel", address.remote),
        );
        if !peer::seen_before_a_walk(view, address) {
            proof.misses(
                Confidence::Likely,
                "the port may have been opened only after the reset: a later walk that sees the same decides",
            );
        }
        if !address.unanimous {
            proof.misses(Confidence::Likely, NOT_UNANIMOUS);
        }
        return Some(());
    }
    let sick = |endpoint: &EndpointFacts| !(endpoint.ready && endpoint.node_lease_fresh);
    if endpoint.is_some_and(|endpoint| endpoint.pod.is_some() && sick(endpoint)) {
        return None;
    }
    proof.misses(
        Confidence::Likely,
        format!("a closed port at {name} looks the same: an admitted pod that connects to it would tell them apart"),
    );
    Some(())
}
