//! Explain files: for every pair, which ports are allowed and denied, and which policies and rules say so. Ours may name
//! more: np-guard stops at the first rule of a policy that allows everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use peerwalk_manifests::Cluster;
use peerwalk_netpol::{
    Action, Cause, Decision, Direction, DirectionDecision, Flow, Peer, PolicyIndex, Profile, Protocol, Tier,
    Verdict, evaluate,
};

/// What is said of some ports of a pair.
#[derive(Debug, Default)]
struct Said {
    from: String,
    to: String,
    allowed: bool,
    ports: Vec<(Protocol, u16)>,
    /// Lines of egress and ingress.
    ways: BTreeMap<&'static str, Vec<String>>,
}

#[test]
fn explanations_are_np_guards() {
    let mut wrong = Vec::new();
    let (mut blocks, mut reasons) = (0, 0);
    for case in super::cases("expected_explain.txt") {
        let text = fs::read_to_string(case.join("expected_explain.txt")).unwrap();
        let cluster = super::cluster(&case);
        let pairs = Pairs::new(&cluster);
        for said in parse(&text) {
            blocks += 1;
            for (protocol, port) in &said.ports {
                reasons += compare(&case, &pairs, &said, (*protocol, *port), &mut wrong);
            }
        }
        for row in defaults(&text) {
            let Some((from, to)) = row.split_once(" => ") else { continue };
            let Some(decision) = pairs.decide(from, to, (Protocol::Tcp, 80)) else { continue };
            if decision.egress.cause != Cause::Default && !matches!(decision.egress.cause, Cause::Exempt(_)) {
                wrong.push(format!(
                    "{}: {row} is by default, not {:?}",
                    super::name(&case),
                    decision.egress.cause
                ));
            }
        }
    }
    eprintln!("compared {blocks} parts of explain files with {reasons} reasons");
    let few: Vec<&String> = wrong.iter().take(30).collect();
    assert!(wrong.is_empty(), "{} differ, among them {few:#?}", wrong.len());
}

fn compare(case: &Path, pairs: &Pairs, said: &Said, port: (Protocol, u16), wrong: &mut Vec<String>) -> usize {
    if [&said.from, &said.to].iter().any(|end| end.contains("{ingress-controller}")) {
        return 0;
    }
    let at = format!("{}: {} => {} {}/{}", super::name(case), said.from, said.to, port.1, port.0);
    let Some(decision) = pairs.decide(&said.from, &said.to, port) else {
        wrong.push(format!("{at}: no such pair"));
        return 0;
    };
    if decision.is_allowed() != said.allowed {
        wrong.push(format!("{at}: allowed is {}", said.allowed));
    }
    let mut reasons = 0;
    for (way, lines) in &said.ways {
        let direction = if *way == "Egress" { Direction::Egress } else { Direction::Ingress };
        for line in lines {
            reasons += 1;
            if let Err(reason) = agrees(decision.direction(direction), line) {
                wrong.push(format!("{at}: {way}: {reason}: {line}"));
            }
        }
    }
    reasons
}

/// Whether a direction's decision says what a line says.
fn agrees(decided: &DirectionDecision, line: &str) -> Result<(), String> {
    let head = line.trim_start_matches("- ");
    if head.contains("(Allowed)") || head.contains("(Denied)") {
        let denied = head.contains("(Denied)");
        return if (decided.verdict == Verdict::Denied) == denied {
            Ok(())
        } else {
            Err(format!("we say {:?}", decided.verdict))
        };
    }
    let Some((kind, rest)) = head.split_once(" '") else { return Err("a line of another form".to_owned()) };
    let Some((name, rest)) = rest.split_once('\'') else { return Err("a line of another form".to_owned()) };
    let named = |step: &&peerwalk_netpol::PolicyStep| {
        let of = &step.policy;
        let ours = if of.namespace.is_empty() {
            of.name.to_string()
        } else {
            format!("{}/{}", of.namespace, of.name)
        };
        ours == name && of.kind.to_string() == kind
    };
    let Some(step) = decided.steps.iter().find(named) else {
        return Err("no such policy in our chain".to_owned());
    };
    let verbs = [(" allows ", Action::Accept), (" denies ", Action::Deny), (" passes ", Action::Pass)];
    let Some((_, action)) = verbs.iter().find(|(verb, _)| rest.starts_with(verb)) else {
        // It selects the pod, and none of its rules matches.
        return if step.tier == Tier::NetworkPolicy && step.matching().next().is_none() {
            Ok(())
        } else {
            Err("a rule of it matches".to_owned())
        };
    };
    let rule = rest.rsplit_once(" rule ").map_or("", |(_, rule)| rule.trim());
    let matches = |step: &peerwalk_netpol::RuleStep| {
        let ours = if rule.starts_with('#') { format!("#{}", step.index) } else { step.name.clone() };
        ours == rule && step.action == *action
    };
    if step.matching().any(matches) { Ok(()) } else { Err("another rule, or none, matches".to_owned()) }
}

/// The parts of a file: for each pair what is allowed, and what is denied.
fn parse(text: &str) -> Vec<Said> {
    let mut found: Vec<Said> = Vec::new();
    let (mut from, mut to) = (String::new(), String::new());
    let mut way = "";
    for line in text.lines() {
        let bare = line.trim();
        if let Some(pair) = bare.strip_prefix("Connections between ") {
            let pair = pair.trim_end_matches(':');
            let (source, destination) = pair.split_once(" => ").unwrap();
            (from, to) = (source.to_owned(), destination.to_owned());
            way = "";
        } else if bare.starts_with("All Connections due to") || bare.starts_with("###") && !found.is_empty() {
            break;
        } else if let Some((allowed, rest)) = heading(bare) {
            let ports = ports(rest);
            found.push(Said { from: from.clone(), to: to.clone(), allowed, ports, ways: BTreeMap::new() });
            way = "";
        } else if let Some(said) = found.last_mut() {
            if bare.starts_with("Egress (") || bare.starts_with("Ingress (") {
                way = if bare.starts_with('E') { "Egress" } else { "Ingress" };
                said.ways.entry(way).or_default().push(bare.to_owned());
            } else if bare.trim_start_matches("- ").contains("Policy '") && !way.is_empty() {
                said.ways.entry(way).or_default().push(bare.to_owned());
            }
        }
    }
    found
}

/// `Allowed TCP:[80], UDP due to the following policies and rules:`
fn heading(line: &str) -> Option<(bool, &str)> {
    let allowed = line.starts_with("Allowed ");
    let rest = line.strip_prefix("Allowed ").or_else(|| line.strip_prefix("Denied "))?;
    let (ports, _) = rest.split_once(" due to ")?;
    Some((allowed, ports))
}

/// The ends of every interval.
fn ports(text: &str) -> Vec<(Protocol, u16)> {
    let mut found = Vec::new();
    for group in text.split(", ") {
        let (name, numbers) = group.split_once(":[").unwrap_or((group, "1-65535"));
        let protocol = match name {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            other => panic!("{other} is no protocol of {text}"),
        };
        for interval in numbers.trim_end_matches(']').split(',') {
            let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
            found.push((protocol, first.parse().unwrap()));
            found.push((protocol, last.parse().unwrap()));
        }
    }
    found.dedup();
    found
}

/// Pairs that no policy says anything about.
fn defaults(text: &str) -> BTreeSet<&str> {
    let after = text.split_once("# All Connections due to the system default").map_or("", |(_, after)| after);
    after.lines().filter(|line| line.contains(" => ") && !line.contains("{ingress-controller}")).collect()
}

/// The workloads of a case by np-guard's names.
struct Pairs {
    index: PolicyIndex,
    workloads: HashMap<String, Arc<peerwalk_netpol::Pod>>,
}

impl Pairs {
    fn new(cluster: &Cluster) -> Self {
        let named = cluster.workloads.iter().map(|workload| {
            let name = &workload.name;
            let pod = Arc::clone(&workload.pods[0]);
            (format!("{}/{}[{}]", name.namespace, name.name, name.kind), pod)
        });
        Self { index: cluster.index(), workloads: named.collect() }
    }

    fn decide(&self, from: &str, to: &str, (protocol, port): (Protocol, u16)) -> Option<Decision> {
        let flow =
            Flow { source: self.end(from)?, destination: self.end(to)?, protocol, port, service: None };
        Some(evaluate(&self.index, &flow, &Profile::NP_GUARD))
    }

    fn end(&self, name: &str) -> Option<Peer> {
        if let Some(pod) = self.workloads.get(name) {
            return Some(Peer::pod(Arc::clone(pod), IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        }
        let first = name.strip_suffix("[External]")?.split('-').next()?;
        Some(Peer::external(first.parse().ok()?))
    }
}
