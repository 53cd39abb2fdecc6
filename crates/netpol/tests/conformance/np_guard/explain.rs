//! The reasons that np-guard gives, block by block: our decision is the same for each set of ports, and every policy and
//! rule that it names takes part in ours in the same way. Ours may name more.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use peerwalk_netpol::{
    Action, Cause, Decision, Direction, DirectionDecision, Flow, Peer, PolicyIndex, PolicyKind, Profile,
    Protocol, Tier, Verdict, evaluate,
};

/// One set of connections of a pair, and why.
struct Block<'a> {
    source: &'a str,
    destination: &'a str,
    verdict: Verdict,
    connections: Vec<(Protocol, RangeInclusive<u16>)>,
    /// Lines below, without what only frames them.
    reasons: Vec<&'a str>,
}

/// Compares a file; gives what is wrong and how many sets of connections were compared.
pub fn compare(
    text: &str,
    index: &PolicyIndex,
    ends: &BTreeMap<String, Peer>,
    ports: &[RangeInclusive<u16>],
) -> (Vec<String>, usize) {
    let blocks = read(text);
    let mut wrong = Vec::new();
    for block in &blocks {
        let (Some(source), Some(destination)) = (ends.get(block.source), ends.get(block.destination)) else {
            wrong.push(format!("{} => {}: an end is not known", block.source, block.destination));
            continue;
        };
        for (protocol, range) in &block.connections {
            for port in ports.iter().map(|range| *range.start()).filter(|port| range.contains(port)) {
                let (source, destination) = (source.clone(), destination.clone());
                let flow = Flow { source, destination, protocol: *protocol, port, service: None };
                let decision = evaluate(index, &flow, &Profile::NP_GUARD);
                let pair = format!("{} => {} {port}/{protocol}", block.source, block.destination);
                wrong.extend(check(block, &decision).map(|what| format!("{pair}: {what}; ours: {decision}")));
            }
        }
    }
    (wrong, blocks.len())
}

/// What our decision does not say of a block.
fn check(block: &Block<'_>, decision: &Decision) -> Option<String> {
    if decision.verdict != block.verdict {
        return Some(format!("it is {}", block.verdict));
    }
    let mut direction = Direction::Egress;
    for reason in &block.reasons {
        let (first, rest) = reason.split_once(' ').unwrap_or((reason, ""));
        if rest.starts_with("(Allowed)") || rest.starts_with("(Denied)") {
            direction = if first == "Egress" { Direction::Egress } else { Direction::Ingress };
            let verdict = if rest.starts_with("(Allowed)") { Verdict::Allowed } else { Verdict::Denied };
            let decided = decision.direction(direction);
            let by_default = matches!(decided.cause, Cause::Default | Cause::Exempt(_));
            if decided.verdict != verdict || (rest.ends_with("(Allow all)") && !by_default) {
                return Some((*reason).to_owned());
            }
        } else if !says(decision.direction(direction), reason) {
            return Some((*reason).to_owned());
        }
    }
    None
}

/// Whether the direction says what a line about one policy does.
fn says(decided: &DirectionDecision, reason: &str) -> bool {
    let mut words = reason.splitn(3, '\'');
    let (Some(kind), Some(name), Some(what)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let named = |kind: PolicyKind, full: &str| {
        let name = if kind == PolicyKind::NetworkPolicy { full.rsplit('/').next() } else { Some(full) };
        decided.steps.iter().find(|step| {
            let namespace = full.split('/').next() == Some(&*step.policy.namespace);
            let fits = kind != PolicyKind::NetworkPolicy || namespace;
            step.policy.kind == kind && fits && Some(&*step.policy.name) == name
        })
    };
    let of_cluster = |kind| {
        let step = named(kind, name);
        let matched = step.and_then(|step| step.matching().next());
        let Some((verb, rule)) = what.trim().split_once(" connections by ") else { return false };
        let rule = rule.trim_start_matches("Ingress rule ").trim_start_matches("Egress rule ");
        let action = match verb {
            "allows" => Action::Accept,
            "denies" => Action::Deny,
            _ => Action::Pass,
        };
        matched.is_some_and(|matched| matched.name == rule && matched.action == action)
    };
    match kind.trim() {
        "AdminNetworkPolicy" => of_cluster(PolicyKind::AdminNetworkPolicy),
        "BaselineAdminNetworkPolicy" => of_cluster(PolicyKind::BaselineAdminNetworkPolicy),
        _ => {
            let Some(step) = named(PolicyKind::NetworkPolicy, name) else { return false };
            let number = what.rsplit('#').next().and_then(|number| number.trim().parse::<usize>().ok());
            match number {
                Some(number) if what.contains("allows connections") => {
                    let admits = decided.tier == Some(Tier::NetworkPolicy);
                    admits && step.matching().any(|rule| rule.index == number)
                }
                _ => {
                    let without = what.contains("no rules defined");
                    step.matching().next().is_none() && (!without || step.rules.is_empty())
                }
            }
        }
    }
}

fn read(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let (mut pair, mut by_default) = (None, false);
    for line in text.lines() {
        let line = line.trim().trim_start_matches("- ");
        if let Some(rest) = line.strip_prefix("Connections between ") {
            pair = rest.trim_end_matches(':').split_once(" => ");
        } else if line.starts_with("# All Connections due to the system default") {
            by_default = true;
        } else if let Some((source, destination)) = line.split_once(" => ").filter(|_| by_default) {
            let (verdict, connections) = (Verdict::Allowed, self::connections("TCP, UDP, SCTP"));
            let reasons = ["Egress (Allowed) (Allow all)", "Ingress (Allowed) (Allow all)"].to_vec();
            blocks.push(Block { source, destination, verdict, connections, reasons });
        } else if let Some((head, _)) = line.split_once(" due to the following policies") {
            let Some(((source, destination), (verdict, connections))) = pair.zip(head.split_once(' ')) else {
                continue;
            };
            let verdict = if verdict == "Allowed" { Verdict::Allowed } else { Verdict::Denied };
            let connections = self::connections(connections);
            blocks.push(Block { source, destination, verdict, connections, reasons: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            let framing = ["", "NetworkPolicy list:", "Allowed connections:", "Denied connections:"];
            if !framing.contains(&line) && !line.starts_with(['#', '-']) {
                block.reasons.push(line);
            }
        }
    }
    // These come from the analysis of Ingress and Route.
    blocks.retain(|block| block.source != "{ingress-controller}");
    blocks
}

/// `TCP:[80,443-444], UDP, SCTP`.
fn connections(text: &str) -> Vec<(Protocol, RangeInclusive<u16>)> {
    let mut found = Vec::new();
    for part in text.split(", ") {
        let (protocol, ranges) = part.split_once(':').unwrap_or((part, "[1-65535]"));
        let protocol = match protocol {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            other => panic!("{other} is no protocol"),
        };
        for range in ranges.trim_matches(['[', ']']).split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse().expect("a port");
            found.push((protocol, number(first)..=number(last)));
        }
    }
    found
}
