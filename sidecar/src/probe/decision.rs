//! `--decision`: what an operator knows, in place of the nothing that a probe knows alone.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use peerwalk_diagnosis::{EndpointDecision, Facts, Known, KnownEndpoint};
use peerwalk_model::Walk;
use peerwalk_model::evidence::DialPurpose;

/// Reads the file, or the standard input for `-`.
pub(super) fn parse(file: &str) -> Result<Arc<Known>, String> {
    let text = if file == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    read(&text.map_err(|error| format!("cannot be read: {error}"))?).map(Arc::new)
}

/// Reads the text of a file.
pub(super) fn read(text: &str) -> Result<Known, String> {
    let known: Known = serde_json::from_str(text)
        .map_err(|error| format!("{error}; docs/decision.md has the form, and an operator gives it"))?;
    known.contradiction().map_or(Ok(known), |contradiction| Err(contradiction.to_string()))
}

/// Adds what is known about a walk. The text says why that is nothing, where it is.
pub(super) fn add(
    known: &Known,
    walk: &Walk,
    facts: Facts,
    own: impl Fn(SocketAddr) -> Option<IpAddr>,
) -> (Facts, Vec<EndpointDecision>, Option<String>) {
    let servers: BTreeSet<SocketAddr> =
        walk.resolve.iter().flat_map(|resolve| &resolve.queries).map(|query| query.server).collect();
    let of_target = |purpose| !matches!(purpose, DialPurpose::Control | DialPurpose::Proxy);
    let dials = walk.connect.iter().flat_map(|connect| &connect.dials);
    let dials: Vec<_> = dials.filter(|dial| of_target(dial.purpose)).collect();
    let dialled: BTreeSet<SocketAddr> = dials.iter().map(|dial| dial.remote).collect();
    let mut from: BTreeSet<IpAddr> =
        dials.iter().filter_map(|dial| dial.local).map(|local| local.ip().to_canonical()).collect();
    if from.is_empty() {
        from = dialled.iter().chain(&servers).filter_map(|to| own(*to)).collect();
    }
    let Some((mut told, decisions)) = known.about(facts.clone(), &from, &dialled, &servers, walk.started)
    else {
        return (facts, Vec::new(), Some(not_ours(known, &from)));
    };
    for control in &mut told.controls {
        // Whoever names another host as a control does not thereby know that it stands where the target does.
        control.proves.retain(|ip| *ip == control.address.ip());
    }
    let decided = |remote: &SocketAddr| decisions.iter().any(|decision| decision.endpoint == *remote);
    let missing =
        dialled.iter().find(|remote| !decided(remote)).map(|remote| elsewhere(known, &from, *remote));
    (told, decisions, missing)
}

/// What to probe in place of an address that has no decision: an endpoint, behind it where it is a Service's.
fn elsewhere(known: &Known, from: &BTreeSet<IpAddr>, remote: SocketAddr) -> String {
    let endpoints = known.source(from).map(|source| &source.endpoints[..]).unwrap_or_default();
    let behind = |endpoint: &&KnownEndpoint| {
        endpoint.history.last().is_some_and(|present| present.decision.flow.service == Some(remote))
    };
    match endpoints.iter().find(behind).or(endpoints.first()) {
        Some(endpoint) => {
            format!("it has no decision for {remote}; probe an endpoint, such as tcp://{}", endpoint.address)
        }
        None => format!("it has no decision for {remote}"),
    }
}

fn not_ours(known: &Known, from: &BTreeSet<IpAddr>) -> String {
    let list = |words: Vec<String>| if words.is_empty() { "nobody".to_owned() } else { words.join(", ") };
    let sources = known.sources.iter().map(|source| source.pod.clone()).collect();
    let from = from.iter().map(ToString::to_string).collect();
    format!("it is about walks from {}, and this one came from {}", list(sources), list(from))
}

/// The address from which packets to another go out, by the kernel's routes. Nothing is sent.
pub(super) fn own_address(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
