//! The kinds of the cluster's administrators. They differ in names, and in what they may hold.

mod peer;
mod port;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use peerwalk_model::Direction;
use serde_json::Value;

use super::object::{Object, text};
use super::{Errors, LowerErrors, Problem, selector};
use crate::cluster_policy::{Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterRule, PodSet, Tier};
use crate::policy::{PolicyKind, PolicyRef};
use crate::selector::Selector;

/// Networks and domain names of one peer.
const ADDRESSES: usize = 25;

/// What is particular to a kind.
pub(super) struct Shape {
    kind: PolicyKind,
    /// Its tier; `None` where `spec.tier` says it.
    tier: Option<Tier>,
    /// Fields of `spec`.
    spec: &'static [&'static str],
    actions: &'static [(&'static str, Action)],
    /// The same for people.
    actions_told: &'static str,
    /// How many rules, peers or ports there may be.
    most: usize,
    /// The field of a rule that lists ports.
    ports: &'static str,
    /// Peers of egress rules. Those of ingress rules are pods in every kind.
    egress_peers: &'static [&'static str],
}

pub(super) const CLUSTER_NETWORK_POLICY: Shape = Shape {
    kind: PolicyKind::ClusterNetworkPolicy,
    tier: None,
    spec: &["tier", "priority", "subject", "ingress", "egress"],
    actions: &[("Accept", Action::Accept), ("Deny", Action::Deny), ("Pass", Action::Pass)],
    actions_told: "Accept, Deny or Pass",
    most: 25,
    ports: "protocols",
    egress_peers: &["namespaces", "pods", "nodes", "networks", "domainNames"],
};

pub(super) const ADMIN_NETWORK_POLICY: Shape = Shape {
    kind: PolicyKind::AdminNetworkPolicy,
    tier: Some(Tier::Admin),
    spec: &["priority", "subject", "ingress", "egress"],
    actions: &[("Allow", Action::Accept), ("Deny", Action::Deny), ("Pass", Action::Pass)],
    actions_told: "Allow, Deny or Pass",
    most: 100,
    ports: "ports",
    egress_peers: &["namespaces", "pods", "nodes", "networks", "domainNames"],
};

pub(super) const BASELINE_ADMIN_NETWORK_POLICY: Shape = Shape {
    kind: PolicyKind::BaselineAdminNetworkPolicy,
    tier: Some(Tier::Baseline),
    spec: &["subject", "ingress", "egress"],
    actions: &[("Allow", Action::Accept), ("Deny", Action::Deny)],
    actions_told: "Allow or Deny",
    most: 100,
    ports: "ports",
    egress_peers: &["namespaces", "pods", "nodes", "networks"],
};

pub(super) fn policy(object: &Value, shape: &Shape) -> Result<ClusterPolicy, LowerErrors> {
    let mut errors = Errors::default();
    match read(&mut errors, object, shape) {
        Some(policy) => errors.none_or(policy),
        None => Err(LowerErrors(errors.0)),
    }
}

/// `None` only after an error.
fn read(errors: &mut Errors, object: &Value, shape: &Shape) -> Option<ClusterPolicy> {
    let object = Object::new(errors, "", object)?;
    object.only(errors, &["apiVersion", "kind", "metadata", "spec", "status"]);
    let name = name(errors, &object, shape);
    let spec = object.required(errors, "spec", "describe the policy")?;
    let spec = Object::new(errors, "spec", spec)?;
    spec.only(errors, shape.spec);
    let tier = shape.tier.or_else(|| tier(errors, &spec));
    let priority = if shape.spec.contains(&"priority") {
        spec.required(errors, "priority", "give it a number from 0 to 1000; the lowest is asked first");
        spec.number(errors, "priority", 0..=1000)
    } else {
        Some(u16::MAX)
    };
    let subject = spec
        .required(errors, "subject", "select pods by namespaces or pods; namespaces: {} selects all")
        .and_then(|subject| self::subject(errors, subject));
    let ingress = rules(errors, &spec, shape, Direction::Ingress);
    let egress = rules(errors, &spec, shape, Direction::Egress);
    Some(ClusterPolicy {
        reference: PolicyRef::of_cluster(shape.kind, name),
        tier: tier?,
        priority: priority?,
        subject: subject?,
        ingress,
        egress,
    })
}

fn name<'a>(errors: &mut Errors, object: &Object<'a>, shape: &Shape) -> &'a str {
    let metadata = object.object(errors, "metadata");
    let name = metadata.and_then(|metadata| metadata.text(errors, "name")).unwrap_or_default();
    if name.is_empty() {
        errors.add("metadata.name", Problem::NameMissing);
    } else if shape.kind == PolicyKind::BaselineAdminNetworkPolicy && name != "default" {
        errors.add("metadata.name", Problem::NotDefault(name.to_owned()));
    }
    name
}

fn tier(errors: &mut Errors, spec: &Object<'_>) -> Option<Tier> {
    spec.required(errors, "tier", "use Admin or Baseline")?;
    match spec.text(errors, "tier")? {
        "Admin" => Some(Tier::Admin),
        "Baseline" => Some(Tier::Baseline),
        other => {
            let problem = Problem::Word { given: other.to_owned(), words: "Admin or Baseline" };
            errors.add("spec.tier", problem);
            None
        }
    }
}

fn subject(errors: &mut Errors, value: &Value) -> Option<PodSet> {
    let subject = Object::new(errors, "spec.subject", value)?;
    let set = subject.names();
    subject.only(errors, &["namespaces", "pods"]);
    if set.len() != 1 {
        let problem = Problem::OneOf { given: set.len(), fields: "namespaces and pods" };
        errors.add(subject.path(), problem);
        return None;
    }
    pods(errors, &subject)
}

/// The pods that `namespaces` or `pods` of a subject or peer select.
fn pods(errors: &mut Errors, item: &Object<'_>) -> Option<PodSet> {
    if let Some(namespaces) = item.get("namespaces") {
        let namespaces = self::selector(errors, &item.at("namespaces"), namespaces)?;
        return Some(PodSet { namespaces, pods: Selector::everything() });
    }
    let pods = item.object(errors, "pods")?;
    pods.only(errors, &["namespaceSelector", "podSelector"]);
    // The schemas require selectors that `{}` says the same as: a file without one is read all the same, as np-guard does.
    let mut of = |name| match pods.get(name) {
        Some(value) => self::selector(errors, &pods.at(name), value),
        None => Some(Selector::everything()),
    };
    let (namespaces, pods) = (of("namespaceSelector"), of("podSelector"));
    Some(PodSet { namespaces: namespaces?, pods: pods? })
}

fn selector(errors: &mut Errors, path: &str, value: &Value) -> Option<Selector> {
    let given = Object::new(errors, path, value)?;
    given.only(errors, &["matchLabels", "matchExpressions"]);
    let mut read = LabelSelector::default();
    if let Some(labels) = given.object(errors, "matchLabels") {
        let labels = labels.names().into_iter().filter_map(|key| {
            let value = labels.text(errors, key)?;
            Some((key.to_owned(), value.to_owned()))
        });
        read.match_labels = Some(labels.collect());
    }
    let mut expressions = Vec::new();
    for (path, item) in given.list(errors, "matchExpressions", usize::MAX) {
        let Some(item) = Object::new(errors, path, item) else { continue };
        item.only(errors, &["key", "operator", "values"]);
        let mut values = Vec::new();
        for (path, value) in item.list(errors, "values", usize::MAX) {
            values.extend(text(errors, &path, value).map(str::to_owned));
        }
        expressions.push(LabelSelectorRequirement {
            key: item.text(errors, "key").unwrap_or_default().to_owned(),
            operator: item.text(errors, "operator").unwrap_or_default().to_owned(),
            values: Some(values),
        });
    }
    read.match_expressions = Some(expressions);
    Some(selector::selector(errors, path, &read))
}

fn rules(errors: &mut Errors, spec: &Object<'_>, shape: &Shape, direction: Direction) -> Vec<ClusterRule> {
    let name = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    let items = spec.list(errors, name, shape.most);
    items.into_iter().filter_map(|(path, item)| rule(errors, path, item, shape, direction)).collect()
}

fn rule(
    errors: &mut Errors,
    path: String,
    value: &Value,
    shape: &Shape,
    direction: Direction,
) -> Option<ClusterRule> {
    let rule = Object::new(errors, path, value)?;
    let (peers_field, known): (_, &[&str]) = match direction {
        Direction::Ingress => ("from", &["namespaces", "pods"]),
        Direction::Egress => ("to", shape.egress_peers),
    };
    rule.only(errors, &["name", "action", peers_field, shape.ports]);
    let name = rule.text(errors, "name").unwrap_or_default();
    let length = name.chars().count();
    if length > 100 {
        errors.add(rule.at("name"), Problem::RuleNameLength(length));
    }
    let action = action(errors, &rule, shape);
    rule.required(errors, peers_field, "list whom the rule is about");
    let mut peers = Vec::new();
    for (path, item) in rule.filled(errors, peers_field, shape.most, "") {
        peers.extend(peer::peer(errors, path, item, known));
    }
    let mut ports = Vec::new();
    for (path, item) in
        rule.filled(errors, shape.ports, shape.most, ", or remove the field to match every port")
    {
        ports.extend(port::port(errors, path, item, shape));
    }
    let of_no_pod = |peer: &ClusterPeer| {
        matches!(peer, ClusterPeer::Networks(_) | ClusterPeer::Nodes(_) | ClusterPeer::DomainNames(_))
    };
    let named = |port: &ClusterPort| matches!(port, ClusterPort::Named(_));
    if peers.iter().any(of_no_pod) && ports.iter().any(named) {
        errors.add(rule.path(), Problem::NamedPortOfNoPod);
    }
    Some(ClusterRule { name: name.to_owned(), action: action?, peers, ports })
}

fn action(errors: &mut Errors, rule: &Object<'_>, shape: &Shape) -> Option<Action> {
    rule.required(errors, "action", "say what the rule does, such as Deny")?;
    let given = rule.text(errors, "action")?;
    let known = shape.actions.iter().find(|(name, _)| *name == given);
    if known.is_none() {
        let problem = Problem::Word { given: given.to_owned(), words: shape.actions_told };
        errors.add(rule.at("action"), problem);
    }
    known.map(|(_, action)| *action)
}

#[cfg(test)]
mod tests;
