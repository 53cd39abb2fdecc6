//! Signs of life of a target, and of the path to it.

use std::time::Duration;

use peerwalk_model::evidence::{Dial, DialOutcome, DialPurpose};

use crate::address::Address;
use crate::facts::EndpointFacts;
use crate::signal::{Signal, classify};
use crate::view::View;

/// A steady denial must not flap between confirmed and likely while heartbeats come every few seconds.
const ALIVE_FOR: Duration = Duration::from_secs(30);
/// Controls and admitted sources are dialled less often than heartbeats come.
const SEEN_FOR: Duration = Duration::from_mins(1);

/// Whether a target lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// A packet from its address was seen.
    Heard(String),
    /// The kubelet and the node say so, but the network was not heard.
    Ready,
    /// The pod behind it does not exist any more.
    Gone,
    /// The kubelet or the node say otherwise.
    Unhealthy,
    /// Nobody can say.
    Unknown,
}

/// Whether the target at an address lives.
pub(crate) fn life(view: &View, address: &Address) -> Life {
    let name = view.name(address.remote);
    let endpoint = view.endpoint(address.remote.ip());
    if let Some(text) = admitted(view, endpoint, &name) {
        return Life::Heard(text);
    }
    if endpoint.and_then(|endpoint| endpoint.last_heard).is_some_and(|at| view.counts(at, ALIVE_FOR)) {
        return Life::Heard(format!("{name} has reached the hub since the first attempt"));
    }
    if let Some(port) = other_port(view, address) {
        return Life::Heard(format!("{name} answered the source pod on port {port}"));
    }
    match endpoint {
        Some(endpoint) if endpoint.gone => Life::Gone,
        Some(endpoint) if endpoint.pod.is_some() => {
            if endpoint.ready && endpoint.node_lease_fresh {
                Life::Ready
            } else {
                Life::Unhealthy
            }
        }
        _ => Life::Unknown,
    }
}

/// An admitted source that connected in the window, in words.
pub(crate) fn admitted(view: &View, endpoint: Option<&EndpointFacts>, name: &str) -> Option<String> {
    let sighting = endpoint?.admitted_source.as_ref()?;
    view.counts(sighting.at, SEEN_FOR)
        .then(|| format!("{}, which policies admit, connected to {name} in the same window", sighting.who))
}

/// A control on another port of the same address that connected. An RST would not do: filters forge them.
fn other_port(view: &View, address: &Address) -> Option<u16> {
    let dials = &view.walk.connect.as_ref()?.dials;
    dials
        .iter()
        .filter(|dial| dial.purpose == DialPurpose::Control)
        .filter(|dial| dial.remote.ip() == address.remote.ip())
        .find(|dial| matches!(dial.outcome, DialOutcome::Connected { local_peer: None }))
        .map(|dial| dial.remote.port())
}

/// What shows that the path to the node of an address is whole.
pub(crate) fn path(view: &View, address: &Address) -> Option<String> {
    let name = view.name(address.remote);
    let endpoint = view.endpoint(address.remote.ip());
    let node = endpoint.and_then(|endpoint| endpoint.node.as_ref());
    if let (Some(node), Some(own)) = (node, &view.facts.source.node)
        && node.name == own.name
    {
        return Some(format!("{name} runs on the source's own node"));
    }
    if let Some(who) = control(view, address) {
        return Some(format!("{who}, on the node of {name}, answered the source pod"));
    }
    let sighting = endpoint?.path.as_ref()?;
    view.counts(sighting.at, SEEN_FOR)
        .then(|| format!("{}, on the node of {name}, answered in the same window", sighting.who))
}

/// A control of the plan that proves the path to this address and was answered, in any way that its own
/// host answers.
fn control(view: &View, address: &Address) -> Option<String> {
    let dials = &view.walk.connect.as_ref()?.dials;
    let proves = |dial: &Dial| {
        view.facts
            .controls
            .iter()
            .find(|control| control.address == dial.remote && control.proves.contains(&address.remote.ip()))
    };
    dials
        .iter()
        .filter(|dial| dial.purpose == DialPurpose::Control)
        .filter(|dial| {
            matches!(classify(dial), Signal::Connected(None) | Signal::ResetAfterAccept | Signal::Reset)
        })
        .find_map(proves)
        .map(|control| control.pod.clone())
}
