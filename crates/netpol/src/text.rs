//! How decisions read. Reasons are data; this prints them.

mod fix;

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use peerwalk_model::Direction;

use crate::decision::{Cause, Decision, Exemption, PolicyStep, RuleRef, Verdict};
use crate::difference::{Difference, ListedPort, NearestMiss, PeerDifference, PortDifference, PortReason};
use crate::selector::Requirement;

/// How many policies or rules a sentence names before it only counts them.
const NAMED: usize = 3;

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        })
    }
}

impl Display for Decision {
    /// Why: the directions that deny, or both when the flow is allowed.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let told = |direction: &Direction| self.direction(*direction).verdict == self.verdict;
        let sentences = [Direction::Egress, Direction::Ingress].into_iter().filter(told);
        let sentences: Vec<String> =
            sentences.map(|direction| self.sentence(direction).to_string()).collect();
        f.write_str(&sentences.join("; "))
    }
}

impl Decision {
    /// One direction in a sentence, such as "ingress to ledger/postgres-0 is isolated by NetworkPolicy
    /// ledger/default-deny; no rule admits shop/web-7c9 on port 5432/TCP".
    pub fn sentence(&self, direction: Direction) -> impl Display + '_ {
        Sentence { decision: self, direction }
    }
}

struct Sentence<'a> {
    decision: &'a Decision,
    direction: Direction,
}

impl Display for Sentence<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let flow = &self.decision.flow;
        let subject = flow.subject(self.direction);
        match self.direction {
            Direction::Egress => write!(f, "egress of {subject} ")?,
            Direction::Ingress => write!(f, "ingress to {subject} ")?,
        }
        let decided = self.decision.direction(self.direction);
        match decided.cause {
            Cause::RuleMatch => {
                write!(f, "is {} by {}", decided.verdict, Listed(&decided.decided_by()))?;
                self.unknown(f)
            }
            Cause::NoRuleMatches => write!(
                f,
                "is isolated by {}; no rule admits {} on port {}/{}",
                Listed(&decided.decided_by()),
                flow.peer(self.direction),
                flow.port,
                flow.protocol
            ),
            Cause::Default if decided.steps.is_empty() => f.write_str("is not isolated by any NetworkPolicy"),
            Cause::Default => f.write_str("is allowed by default: no policy that selects it decides"),
            Cause::Exempt(exemption) => write!(f, "is not subject to policies: {exemption}"),
        }
    }
}

impl Sentence<'_> {
    /// The fields for which the rule that decided fails closed.
    fn unknown(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let decided = self.decision.direction(self.direction);
        let steps = decided.steps.iter().filter(|step| Some(step.tier) == decided.tier);
        let rule = steps.flat_map(PolicyStep::matching).next();
        match rule {
            Some(rule) if !rule.unknown.is_empty() => {
                write!(f, ", which has {}, unknown here, and fails closed", Joined(&rule.unknown))
            }
            _ => Ok(()),
        }
    }
}

/// The first few, and how many more there are.
struct Listed<'a>(&'a [RuleRef]);

impl Display for Listed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let named = self.0.len().min(NAMED);
        for (position, reference) in self.0.iter().take(named).enumerate() {
            let separator = match position {
                0 => "",
                _ if position + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{reference}")?;
        }
        match self.0.len() - named {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Display for RuleRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "{} of {}", RuleName(rule, &self.name), self.policy),
            None => write!(f, "{}", self.policy),
        }
    }
}

/// `rule 1`, or `rule 1 (allow-dns)`.
struct RuleName<'a>(usize, &'a str);

impl Display for RuleName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}", self.0)?;
        if self.1.is_empty() { Ok(()) } else { write!(f, " ({})", self.1) }
    }
}

impl Display for Exemption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPod => "it is not a pod",
            Self::HostNetwork => "a host-network pod counts as its node",
            Self::Finished => "the pod has finished",
            Self::SamePod => "a pod cannot block access to itself",
            Self::OwnNode => "a pod and its own node always reach each other",
        })
    }
}

impl Display for NearestMiss {
    /// `rule 1 of NetworkPolicy ledger/allow-web would admit it, but it lists only port 80/TCP`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rule = RuleName(self.rule, &self.name);
        write!(f, "{rule} of {} would admit it, but {}", self.policy, self.difference)
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(difference) => write!(f, "{difference}"),
            Self::Port(differences) => write!(f, "{}", Ports(differences)),
        }
    }
}

impl Display for PeerDifference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPod => f.write_str("it selects pods, and the other end is none"),
            Self::HostNetworkPod => {
                f.write_str("it selects pods, and the other end is a host-network pod, seen as its node")
            }
            Self::OtherNamespace { admitted, actual } => {
                write!(f, "it selects pods of namespace {admitted} only, not of {actual}")
            }
            Self::NamespaceLabel { namespace, requirement, actual } => {
                write!(f, "namespace {namespace} does not meet {requirement} ")?;
                write_actual(f, requirement, actual.as_deref())
            }
            Self::UnknownNamespace { namespace, requirement } => {
                write!(
                    f,
                    "namespace {namespace} is not given: whether it meets {requirement} is not known here"
                )
            }
            Self::PodLabel { requirement, actual } => {
                write!(f, "the pod's labels do not meet {requirement} ")?;
                write_actual(f, requirement, actual.as_deref())
            }
            Self::Told(text) => f.write_str(text),
            Self::OutsideBlock { cidr, address } => write!(f, "{} is not in {cidr}", Address(*address)),
            Self::Excepted { cidr, except, address } => {
                write!(f, "{address} is in {except}, which it excepts from {cidr}")
            }
            Self::PodAddress { cidr, address } => {
                let address = Address(*address);
                write!(f, "{address} in {cidr} is a pod's, and blocks do not apply to pods here")
            }
            Self::NodeAddress { cidr, address } => {
                let address = Address(*address);
                write!(f, "{address} in {cidr} is a node's, and blocks do not apply to nodes here")
            }
            Self::OutsideNetworks { networks, address } => {
                write!(f, "{} is in none of {}", Address(*address), Joined(networks))
            }
            Self::UnknownAddress { networks, except } => {
                write!(f, "the pod has no address yet: whether it will be in {}", Joined(networks))?;
                if !except.is_empty() {
                    write!(f, " and not in {}", Joined(except))?;
                }
                f.write_str(" is not known here")
            }
            Self::NotANode => f.write_str("it selects nodes, and the other end is none"),
            Self::NodeLabel { requirement, actual } => {
                write!(f, "the node's labels do not meet {requirement} ")?;
                write_actual(f, requirement, actual.as_deref())
            }
            Self::DomainNames(names) => {
                write!(f, "which addresses {} stand for is not known here", Joined(names))
            }
            Self::UnknownFields(fields) => {
                write!(f, "it has {}, unknown here: such a rule accepts nothing", Joined(fields))
            }
            Self::ServiceAddress(service) => {
                write!(f, "it is applied to the Service's address {service}, which it does not admit")
            }
        }
    }
}

/// An address; an unspecified one stands for that of a pod that has none yet.
struct Address(IpAddr);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_unspecified() { f.write_str("the address to come") } else { write!(f, "{}", self.0) }
    }
}

/// All of a list.
struct Joined<'a, T>(&'a [T]);

impl<T: Display> Display for Joined<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&items.join(", "))
    }
}

fn write_actual(f: &mut Formatter<'_>, requirement: &Requirement, actual: Option<&str>) -> fmt::Result {
    match actual {
        Some(value) => write!(f, "(it has {}={value})", requirement.key),
        None => write!(f, "(it has no label {})", requirement.key),
    }
}

/// Why none of the listed ports is the flow's.
struct Ports<'a>(&'a [PortDifference]);

impl Display for Ports<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "it lists only {}", Joined(self.0))
    }
}

impl Display for ListedPort {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl Display for PortDifference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.listed)?;
        match &self.reason {
            PortReason::OtherProtocol | PortReason::OtherNumber => Ok(()),
            PortReason::NameUnresolved => f.write_str(" (the destination has no such port)"),
            PortReason::NameResolvesTo(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                write!(f, " (which is {} at the destination)", numbers.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests;
