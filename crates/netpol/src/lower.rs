//! From objects of Kubernetes to policies: defaulting and validation as the API server does.
//!
//! - [`network_policy`]: `networking.k8s.io/v1`. Defaulting follows `pkg/apis/networking/v1/defaults.go`, validation
//!   `pkg/apis/networking/validation`.
//! - [`cluster_network_policy`]: `policy.networking.k8s.io/v1alpha2`; [`admin_network_policy`] and
//!   [`baseline_admin_network_policy`]: `policy.networking.k8s.io/v1alpha1`. They follow the schemas and the CEL of
//!   their CRDs (experimental channel, releases v0.2.0 and v0.1.7 of kubernetes-sigs/network-policy-api).
//!
//! An object that the API server would refuse is refused here too, with every reason. When a server holds such an
//! object all the same (its version allows more than we know), pass its name to
//! [`PolicyIndex::with_unreadable`](crate::PolicyIndex::with_unreadable): nothing is guessed.

mod block;
mod cluster;
mod error;
mod object;
mod peer;
mod port;
mod selector;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};

use serde_json::Value;

use crate::cluster_policy::ClusterPolicy;
use crate::policy::{Policy, PolicyRef, Rule};
use crate::selector::Selector;
pub use error::{LowerError, LowerErrors, Problem};

/// Reads a policy. A namespace that is not given is `default`, as for `kubectl`.
///
/// # Errors
/// Every field that the API server would refuse, with its path, its value and what to write instead.
pub fn network_policy(object: &NetworkPolicy) -> Result<Policy, LowerErrors> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    let mut errors = Errors::default();
    if name.is_empty() {
        errors.add("metadata.name", Problem::NameMissing);
    }
    let absent = NetworkPolicySpec::default();
    let spec = object.spec.as_ref().unwrap_or(&absent);
    let subject = spec.pod_selector.as_ref().map_or_else(Selector::everything, |given| {
        selector::selector(&mut errors, "spec.podSelector", given)
    });
    // Rules are read even where the direction is not active: the server validates them too.
    let ingress = spec.ingress.iter().flatten().enumerate().map(|(index, rule)| {
        let path = format!("spec.ingress[{index}]");
        self::rule(&mut errors, &path, "from", rule.from.as_deref(), rule.ports.as_deref())
    });
    let ingress: Vec<Rule> = ingress.collect();
    let egress = spec.egress.iter().flatten().enumerate().map(|(index, rule)| {
        let path = format!("spec.egress[{index}]");
        self::rule(&mut errors, &path, "to", rule.to.as_deref(), rule.ports.as_deref())
    });
    let egress: Vec<Rule> = egress.collect();
    let active = active_directions(&mut errors, spec, !egress.is_empty());
    let policy = Policy {
        reference: PolicyRef::network_policy(namespace, name),
        subject,
        ingress: active.ingress.then_some(ingress),
        egress: active.egress.then_some(egress),
    };
    errors.none_or(policy)
}

/// Reads a ClusterNetworkPolicy, as the server or a file has it.
///
/// # Errors
/// Every field that the API server would refuse, with its path, its value and what to write instead.
pub fn cluster_network_policy(object: &Value) -> Result<ClusterPolicy, LowerErrors> {
    cluster::policy(object, &cluster::CLUSTER_NETWORK_POLICY)
}

/// Reads an AdminNetworkPolicy, as the server or a file has it.
///
/// # Errors
/// As [`cluster_network_policy`].
pub fn admin_network_policy(object: &Value) -> Result<ClusterPolicy, LowerErrors> {
    cluster::policy(object, &cluster::ADMIN_NETWORK_POLICY)
}

/// Reads the BaselineAdminNetworkPolicy, as the server or a file has it. It has the lowest priority of its tier.
///
/// # Errors
/// As [`cluster_network_policy`].
pub fn baseline_admin_network_policy(object: &Value) -> Result<ClusterPolicy, LowerErrors> {
    cluster::policy(object, &cluster::BASELINE_ADMIN_NETWORK_POLICY)
}

/// Ingress and Egress.
const DIRECTIONS: usize = 2;

struct Active {
    ingress: bool,
    egress: bool,
}

/// `policyTypes`, which defaults to Ingress, and to Egress too when there is an egress rule.
fn active_directions(errors: &mut Errors, spec: &NetworkPolicySpec, has_egress_rules: bool) -> Active {
    let types = spec.policy_types.as_deref().unwrap_or_default();
    if types.is_empty() {
        return Active { ingress: true, egress: has_egress_rules };
    }
    if types.len() > DIRECTIONS {
        errors.add("spec.policyTypes", Problem::TooMany { given: types.len(), most: DIRECTIONS });
    }
    let mut active = Active { ingress: false, egress: false };
    for (index, name) in types.iter().enumerate() {
        match name.as_str() {
            "Ingress" => active.ingress = true,
            "Egress" => active.egress = true,
            _ => errors.add(format!("spec.policyTypes[{index}]"), Problem::PolicyType(name.clone())),
        }
    }
    active
}

fn rule(
    errors: &mut Errors,
    path: &str,
    peers_field: &str,
    peers: Option<&[NetworkPolicyPeer]>,
    ports: Option<&[NetworkPolicyPort]>,
) -> Rule {
    let peers = peers.unwrap_or_default().iter().enumerate();
    let ports = ports.unwrap_or_default().iter().enumerate();
    Rule {
        peers: peers
            .filter_map(|(index, given)| peer::peer(errors, &format!("{path}.{peers_field}[{index}]"), given))
            .collect(),
        ports: ports
            .filter_map(|(index, given)| port::port(errors, &format!("{path}.ports[{index}]"), given))
            .collect(),
    }
}

/// How many problems of one object are told. Nobody corrects more at a time, and hostile objects have any number.
const TOLD: usize = 100;

/// The problems found so far. What is read after one is thrown away in the end.
#[derive(Default)]
struct Errors(Vec<LowerError>);

impl Errors {
    fn add(&mut self, field: impl Into<String>, problem: Problem) {
        if self.0.len() < TOLD {
            self.0.push(LowerError { field: field.into(), problem });
        }
    }

    fn none_or<T>(self, value: T) -> Result<T, LowerErrors> {
        if self.0.is_empty() { Ok(value) } else { Err(LowerErrors(self.0)) }
    }
}

#[cfg(test)]
mod tests;
