//! What every walk tells by itself: one line a stage, in words that a steady state repeats.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use peerwalk_model::evidence::{
    AfterConnect, IcmpError, Neighbour, NeighbourState, Query, QueryOutcome, Request, RequestOutcome,
    Resolve, ResolveSource, Tls, TlsOutcome,
};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Protocol};

use crate::address::{Address, Answer};
use crate::errno::{ECONNRESET, EPIPE};
use crate::names;
use crate::peer;
use crate::place::place;
use crate::rules::{said_of_proxy, shortage};
use crate::trail::Trail;
use crate::view::View;

/// How many addresses a line names before it counts them.
const NAMED: usize = 4;

/// The stages that were walked, in order.
pub(crate) fn narrate(view: &View) -> Vec<Because> {
    let walk = view.walk;
    let mut lines: Vec<Because> = walk.resolve.as_ref().map(resolve).into_iter().collect();
    let beside = walk.resolve.iter().flat_map(names::beside);
    lines.extend(beside.map(|text| Because::new(Topic::Resolve, text)));
    lines.extend(walk.proxied.as_ref().map(|attempt| Because::new(Topic::Route, said_of_proxy(attempt))));
    lines.extend(connect(view));
    lines.extend(neighbours(view));
    lines.extend(trails(view));
    lines.extend(breakers(view));
    lines.extend(peer::told(view));
    // What the connection tells belongs to the stage that was reached.
    let after = walk.after.as_ref().map(after).unwrap_or_default();
    let (of_tls, of_request) =
        if walk.request.is_some() { (String::new(), after) } else { (after, String::new()) };
    lines.extend(walk.tls.as_ref().map(|found| Because::new(Topic::Tls, tls(found) + &of_tls)));
    lines.extend(
        walk.request.as_ref().map(|found| Because::new(Topic::Request, request(found) + &of_request)),
    );
    lines.extend(owners(view));
    lines.extend(walk.strain.as_ref().and_then(shortage));
    lines
}

/// The pods behind a Service are of several makers: a selector that is too wide looks like this. All of them are its
/// endpoints, so that whichever answers is no wrong one.
fn owners(view: &View) -> Option<Because> {
    let service = view.facts.service().filter(|service| service.owners.len() > 1)?;
    let named: Vec<&str> = service.owners.iter().take(NAMED).map(String::as_str).collect();
    let text = format!(
        "the pods that Service {} selects are of {} owners, and any of them may answer: {}",
        service.name,
        service.owners.len(),
        named.join(", ")
    );
    Some(Because::new(Topic::Service, text))
}

fn resolve(resolve: &Resolve) -> Because {
    let text = if resolve.addresses.is_empty() {
        let mut queries: Vec<String> = Vec::new();
        for said in resolve.queries.iter().map(query) {
            if !queries.contains(&said) {
                queries.push(said);
            }
        }
        let more = queries.len().saturating_sub(NAMED);
        queries.truncate(NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{}: {}{more}", resolve.name, queries.join("; "))
    } else {
        let addresses: Vec<String> = resolve.addresses.iter().take(NAMED).map(ToString::to_string).collect();
        let source = if resolve.source == ResolveSource::HostsFile { " (hosts file)" } else { "" };
        let answered = resolve.answered.as_deref().map(|name| name.trim_end_matches('.'));
        let answered = answered.filter(|name| *name != resolve.name.trim_end_matches('.'));
        let full = answered.map_or_else(String::new, |name| format!(" (as {name})"));
        format!("{}{full} → {}{source}", resolve.name, addresses.join(", "))
    };
    Because::new(Topic::Resolve, text)
}

fn query(query: &Query) -> String {
    let said = match &query.outcome {
        QueryOutcome::Addresses(_) => "addresses of the other family".into(),
        QueryOutcome::NoData => "no address".into(),
        QueryOutcome::NameNotFound => "no such name".into(),
        QueryOutcome::ServerFailure => "SERVFAIL".into(),
        QueryOutcome::Refused => "REFUSED".into(),
        QueryOutcome::OtherCode(code) => format!("response code {code}"),
        QueryOutcome::Truncated => "truncated".into(),
        QueryOutcome::Timeout if query.came_late() => "no answer in time, and one after it".into(),
        QueryOutcome::Timeout => "no answer".into(),
        QueryOutcome::Unreachable { errno, icmp: None } => format!("errno {errno}"),
        QueryOutcome::Unreachable { icmp: Some(error), .. } => {
            let sender = error.offender.map_or_else(String::new, |offender| format!(" from {offender}"));
            format!("{}{sender}", icmp(error))
        }
        QueryOutcome::Malformed => "an answer that cannot be read".into(),
    };
    format!("{} at {}: {said}", query.name, query.server)
}

/// Addresses that gave the same answer share a line. They are in the order of their numbers, the service address
/// first: endpoints are dialled in turn, and a steady state is told in the same words.
fn connect(view: &View) -> Vec<Because> {
    let mut addresses: Vec<&Address> = view.addresses.iter().collect();
    addresses.sort_by_key(|address| (address.purpose, address.remote));
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for address in addresses {
        let answer = answer(view, address);
        match groups.iter_mut().find(|(said, _)| *said == answer) {
            Some((_, addresses)) => addresses.push(address.remote.to_string()),
            None => groups.push((answer, vec![address.remote.to_string()])),
        }
    }
    groups
        .into_iter()
        .map(|(said, addresses)| Because::new(Topic::Connect, format!("{}: {said}", listed(&addresses))))
        .collect()
}

/// Neighbours that do not answer. Nothing is said of those that do: what has answered once counts as there for a minute
/// after it is gone.
fn neighbours(view: &View) -> Vec<Because> {
    let neighbours = view.walk.connect.as_ref().map_or(&[][..], |connect| &connect.neighbours);
    let missing = |neighbour: &&Neighbour| {
        matches!(neighbour.state, NeighbourState::Failed | NeighbourState::Incomplete)
    };
    let said = |neighbour: &Neighbour| {
        let address = neighbour.address;
        let itself = view.addresses.iter().any(|target| target.remote.ip().to_canonical() == address);
        let text = if itself {
            format!("nobody on the source pod's own link answers for {address}")
        } else {
            format!("the gateway {address} does not answer on the source pod's own link")
        };
        Because::new(Topic::Path, text)
    };
    neighbours.iter().filter(missing).map(said).collect()
}

/// How far packets go to addresses that give no answer.
fn trails(view: &View) -> Vec<Because> {
    let mut lines: Vec<Because> = Vec::new();
    for text in view.addresses.iter().flat_map(|address| Trail::of(view, address).told()) {
        let line = Because::new(Topic::Path, text);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// The addresses that are dialled less often, whether they were in this walk or not.
fn breakers(view: &View) -> Option<Because> {
    let known = view.walk.connect.iter().flat_map(|connect| &connect.breakers);
    let addresses: BTreeSet<String> = known.map(|breaker| breaker.remote.to_string()).collect();
    let addresses: Vec<String> = addresses.into_iter().collect();
    let text =
        "dialled less often, since walk after walk failed there; a change in the cluster is followed at once";
    (!addresses.is_empty()).then(|| Because::new(Topic::Connect, format!("{}: {text}", listed(&addresses))))
}

fn listed(addresses: &[String]) -> String {
    match addresses {
        [] => String::new(),
        [one] => one.clone(),
        many if many.len() > NAMED => {
            format!("{} and {} more", many[..NAMED].join(", "), many.len() - NAMED)
        }
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

fn answer(view: &View, address: &Address) -> String {
    let text = match address.answer {
        Answer::Mixed { .. } => mixed(view, address),
        one => plain(view, address, one),
    };
    if address.outdated { format!("{text}; that was before the Service changed") } else { text }
}

/// Each kind of answer with the number of sockets that saw it, in the order of the first.
fn mixed(view: &View, address: &Address) -> String {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for answer in &address.each {
        let said = match answer {
            Answer::Silent => "got no answer".into(),
            answer => plain(view, address, *answer),
        };
        match kinds.iter_mut().find(|(known, _)| *known == said) {
            Some((_, count)) => *count += 1,
            None => kinds.push((said, 1)),
        }
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(said, count)| format!("{count} {said}")).collect();
    format!("of {} sockets, {}", address.each.len(), kinds.join("; "))
}

fn plain(view: &View, address: &Address, answer: Answer<'_>) -> String {
    match answer {
        Answer::Works if address.protocol == Protocol::Udp => "answered".into(),
        Answer::Reset if address.protocol == Protocol::Udp => {
            "refused by ICMP port unreachable from the address itself".into()
        }
        Answer::Works => "connected".into(),
        Answer::Intercepted { by, uid } => format!("accepted inside the source pod by {by} (uid {uid})"),
        Answer::Mixed { connected, tried } => format!("{connected} of {tried} connected"),
        Answer::ResetAfterAccept => "accepted, and reset at once".into(),
        Answer::Silent => match address.silence.ports() {
            1 => "no answer from 1 source port".into(),
            ports => format!("no answer from {ports} source ports"),
        },
        Answer::Reset => "refused by a TCP reset".into(),
        Answer::Refused(error) => format!(
            "refused by {} from {}",
            icmp(error),
            sender(error.offender, &place(view.facts, address, error.offender).text)
        ),
        Answer::HostUnreachable(offender) => format!("host unreachable{}", told_by(offender)),
        Answer::NetworkUnreachable(offender) => format!("network unreachable{}", told_by(offender)),
        Answer::RoutingLoop(offender) => format!("hop limit exceeded{}", told_by(offender)),
        Answer::Forbidden => "forbidden by the source pod's own kernel".into(),
        Answer::Unexplained(errno) => format!("failed with errno {errno}"),
        Answer::Resources(errno) => format!("no socket (errno {errno})"),
        Answer::NotAllowed => "may not be dialled".into(),
        Answer::Untried => "not dialled".into(),
    }
}

fn sender(offender: Option<std::net::IpAddr>, place: &str) -> String {
    offender.map_or_else(|| place.to_owned(), |offender| format!("{offender} ({place})"))
}

fn told_by(offender: Option<std::net::IpAddr>) -> String {
    offender.map_or_else(|| ", in the source pod itself".into(), |offender| format!(", says {offender}"))
}

fn icmp(error: &IcmpError) -> String {
    let family = if error.v6 { "ICMPv6" } else { "ICMP" };
    format!("{family} {}/{}", error.kind, error.code)
}

fn tls(tls: &Tls) -> String {
    match &tls.outcome {
        TlsOutcome::Established => format!("the certificate for {} is trusted", tls.server_name),
        TlsOutcome::UntrustedIssuer => {
            format!("no given root signed the certificate for {}", tls.server_name)
        }
        TlsOutcome::Failed(words) => format!("handshake with {} failed: {words}", tls.server_name),
        TlsOutcome::Reset => format!("handshake with {} was cut off", tls.server_name),
        TlsOutcome::Timeout => format!("no answer to the handshake with {}", tls.server_name),
    }
}

fn request(request: &Request) -> String {
    let method = match request.method {
        peerwalk_model::plan::HttpMethod::Head => "HEAD",
        peerwalk_model::plan::HttpMethod::Get => "GET",
    };
    let said = match &request.outcome {
        RequestOutcome::Status(status) if *status < request.status_below => format!("status {status}"),
        RequestOutcome::Status(status) => format!("status {status}, not below {}", request.status_below),
        RequestOutcome::Reset => "connection closed before an answer".into(),
        RequestOutcome::NoResponse => "no answer".into(),
        RequestOutcome::Malformed(words) => format!("not HTTP: {words}"),
    };
    format!("{method} {}: {said}", request.url)
}

/// What the connection tells, and what came of small segments; each behind a semicolon.
fn after(after: &AfterConnect) -> String {
    let connection = &after.connection;
    let mut text = String::new();
    for error in &connection.queue {
        let from = error.offender.map_or_else(String::new, |offender| format!(" from {offender}"));
        let _ = write!(text, "; {} came for its packets{from}", icmp(error));
    }
    // An RST leaves these two; whatever else is there came by ICMP.
    if let Some(errno) = connection.errno.filter(|errno| !matches!(*errno, EPIPE | ECONNRESET)) {
        let _ = write!(text, "; an ICMP error came for its packets (errno {errno})");
    }
    if connection.is_peer_full() {
        text.push_str("; the other end takes nothing more: its receive window is 0");
    } else if connection.was_never_open() {
        text.push_str(
            "; the other end has taken nothing and its receive window is 0: something may answer SYNs in the target's place",
        );
    } else if connection.is_unacknowledged() {
        text.push_str("; the other end does not acknowledge what is sent");
    } else if connection.unacked == 0 {
        text.push_str("; the other end acknowledged what was sent");
    }
    if let Some(small) = after.small_segments {
        let came = if small.answered { "an answer, each time" } else { "no answer either" };
        let _ = write!(text, "; the same over segments of at most {} bytes got {came}", small.mss);
    }
    text
}
