//! Policies that keep pods from asking DNS, though they may connect somewhere.

mod add;
mod servers;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use peerwalk_model::{Direction, Protocol};
use peerwalk_netpol::{Cause, Decision, DirectionDecision, Pod, PolicyKind, RuleRef, Verdict};

use super::ask::{Asked, Question};
use super::pods::Pods;
use super::{Code, Findings, Severity};
use servers::{Dns, Server};

pub use servers::{is_local, is_of_dns};

pub fn check(found: &mut Findings<'_>, pods: &Pods) {
    let cluster = found.cluster;
    let asked = Asking { asked: Asked::of(cluster), dns: Dns::of(cluster, pods) };
    let mut told = BTreeMap::new();
    for pod in alike(pods) {
        let (way, forgotten) = match asked.answer(pod, Protocol::Udp) {
            Answer::Denied(way) => (way, Protocol::Udp),
            // Answers that do not fit are asked for over TCP.
            Answer::Asks => match asked.answer(pod, Protocol::Tcp) {
                Answer::Denied(way) => (way, Protocol::Tcp),
                Answer::Asks | Answer::AsksElsewhere => continue,
            },
            Answer::AsksElsewhere => continue,
        };
        for (rule, field) in asked.deciding(&way) {
            let mut told_of = Told { pod, forgotten, way: way.clone(), rule: rule.clone() };
            let known = told.entry((rule.policy.clone(), field)).or_insert_with(|| told_of.clone());
            if told_of.severity() < known.severity() {
                std::mem::swap(known, &mut told_of);
            }
        }
    }
    for ((policy, field), told) in told {
        let remedy = told.remedy(&asked.dns);
        found.add(told.severity(), Code::NoDns, (&policy, field), told.message(), remedy);
    }
}

/// One pod of those that policies do not tell apart, as far as what they send goes.
fn alike(pods: &Pods) -> impl Iterator<Item = &Arc<Pod>> {
    let mut seen = BTreeSet::new();
    pods.all().filter(move |pod| {
        !servers::is_server(pod) && seen.insert((&pod.namespace, &pod.labels, pod.host_network))
    })
}

/// Whether a pod may ask DNS.
enum Answer {
    /// It may.
    Asks,
    /// It may ask what no pod of the cluster is.
    AsksElsewhere,
    /// It may not.
    Denied(Box<Way>),
}

/// The direction that denies, and what it says.
#[derive(Clone)]
struct Way {
    direction: Direction,
    decision: Decision,
}

impl Way {
    fn said(&self) -> &DirectionDecision {
        self.decision.direction(self.direction)
    }
}

/// What is said of a policy.
#[derive(Clone)]
struct Told<'a> {
    pod: &'a Pod,
    forgotten: Protocol,
    way: Box<Way>,
    rule: RuleRef,
}

impl Told<'_> {
    fn severity(&self) -> Severity {
        match (self.forgotten, self.way.said().caveats.is_empty()) {
            (Protocol::Udp, true) => Severity::Warning,
            _ => Severity::Note,
        }
    }

    fn message(&self) -> String {
        let pod = format!("pods such as {}/{}", self.pod.namespace, self.pod.name);
        let port = match self.forgotten {
            Protocol::Tcp => {
                "over TCP (port 53/TCP), as they do where an answer does not fit into UDP".to_owned()
            }
            protocol => format!("(port 53/{protocol})"),
        };
        let caveats: Vec<String> = self.way.said().caveats.iter().map(ToString::to_string).collect();
        let unless = match caveats.as_slice() {
            [] => String::new(),
            caveats => format!("; it depends on {}", caveats.join(", and ")),
        };
        match (self.way.direction, self.rule.rule) {
            (Direction::Ingress, _) => {
                format!("{pod} cannot ask DNS {port}, since the pods that answer do not let them in{unless}")
            }
            (Direction::Egress, Some(rule)) => {
                format!(
                    "{pod} may connect somewhere, but rule {rule} keeps them from asking DNS {port}{unless}"
                )
            }
            (Direction::Egress, None) => {
                format!("{pod} may connect somewhere, but no rule lets them ask DNS {port}{unless}")
            }
        }
    }

    fn remedy(&self, dns: &Dns) -> String {
        let servers = dns.all();
        match (self.rule.policy.kind, self.way.direction) {
            (PolicyKind::NetworkPolicy, Direction::Egress) => {
                format!("add an egress rule to it: {}", add::rule(servers))
            }
            (kind, Direction::Egress) => {
                let before = self.rule.rule.unwrap_or(1);
                format!("put an egress rule before rule {before}: {}", add::of_cluster(kind, servers))
            }
            (_, Direction::Ingress) => {
                let ports: BTreeSet<u16> = servers.iter().map(|server| server.port).collect();
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                format!(
                    "let the pods of namespace {} in at port {}, UDP and TCP",
                    self.pod.namespace,
                    ports.join(" and ")
                )
            }
        }
    }
}

struct Asking {
    asked: Asked,
    dns: Dns,
}

impl Asking {
    /// Whether a pod may ask a server over a protocol.
    fn answer(&self, pod: &Arc<Pod>, protocol: Protocol) -> Answer {
        let mut first = None;
        for server in self.dns.of_protocol(protocol) {
            let decision = self.ask(pod, server);
            if decision.verdict == Verdict::Allowed {
                return Answer::Asks;
            }
            first.get_or_insert(decision);
        }
        // Not everything that answers does so over TCP.
        let Some(decision) = first else { return Answer::Asks };
        let egress = decision.egress.verdict == Verdict::Denied;
        if egress && (self.asks_its_node(pod, protocol) || self.asks_another(pod)) {
            return Answer::AsksElsewhere;
        }
        // Policies of servers that were not read are not known either.
        if !egress && self.dns.assumed {
            return Answer::Asks;
        }
        // Who sends nothing is let in nowhere.
        let direction = if egress { Direction::Egress } else { Direction::Ingress };
        Answer::Denied(Box::new(Way { direction, decision }))
    }

    fn ask(&self, pod: &Arc<Pod>, server: &Server) -> Decision {
        let question = Question {
            source: pod,
            destination: &server.pod,
            protocol: server.protocol,
            port: server.port,
            service: server.service,
        };
        self.asked.ask(&question)
    }

    /// Whether it may ask what answers at an address of every node.
    fn asks_its_node(&self, pod: &Arc<Pod>, protocol: Protocol) -> bool {
        self.dns.local.iter().any(|ip| {
            let decision = self.asked.flow(&servers::local_flow(pod, *ip, protocol));
            decision.egress.verdict == Verdict::Allowed
        })
    }

    /// Where DNS is was not read: whether any policy admits its port somewhere.
    fn asks_another(&self, pod: &Pod) -> bool {
        self.dns.assumed && shape::admits(&self.asked.index, pod)
    }

    /// The rules that deny, with their fields. Those of policies that let nothing out forget nothing.
    fn deciding(&self, way: &Way) -> Vec<(RuleRef, String)> {
        let (said, direction) = (way.said(), way.direction);
        let rules = said.decided_by().into_iter().filter(|rule| {
            direction == Direction::Ingress
                || match said.cause {
                    Cause::NoRuleMatches => shape::lets_out(&self.asked.index, &rule.policy),
                    _ => shape::forgets(&self.asked.index, said, rule),
                }
        });
        let field = |rule: &RuleRef| match rule.rule {
            Some(rule) => format!("spec.{direction}[{}]", rule.saturating_sub(1)),
            None => format!("spec.{direction}"),
        };
        rules.map(|rule| (rule.clone(), field(&rule))).collect()
    }
}
