//! What the API server would tell of the network of a case, and what happens one after the other.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Expect, Fault};
use crate::lab::At;

/// What the API server would tell. Without more, there are two nodes with every pod on the first, the Service `server`
/// of namespace `ledger` with the server as its endpoint, and one check of it from the client, in namespace `shop`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cluster {
    /// The server and the other pod are on the second node, as far as the API knows.
    pub apart: bool,
    /// Policies, as the API has them; kind and version need not be said.
    pub policies: Vec<Value>,
    /// Pods that are ready endpoints of the Service.
    pub endpoints: Vec<At>,
    /// Pods without a sidecar.
    pub bare: Vec<At>,
    /// So many ports from 80 on the Service has, each with a target of its own; all lead to the server's 8080.
    pub ports: u16,
    /// What else the Service says, as a merge patch (RFC 7396).
    pub service: Value,
    /// The same of each target.
    pub target: Value,
    /// The same of the check's spec.
    pub check: Value,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            apart: false,
            policies: Vec::new(),
            endpoints: vec![At::Server],
            bare: Vec::new(),
            ports: 1,
            service: json!({}),
            target: json!({}),
            check: json!({}),
        }
    }
}

/// What happens at one time, and what must be said after it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Rules that were added before are taken away.
    #[serde(default)]
    pub repaired: bool,
    /// What is broken now.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Policies that are made.
    #[serde(default)]
    pub policies: Vec<Value>,
    /// Namespaces and names of policies that are removed, as `ledger/closed`.
    #[serde(default)]
    pub removed: Vec<String>,
    /// Pods that are ready endpoints of the Service from now on.
    #[serde(default)]
    pub endpoints: Option<Vec<At>>,
    /// What must be said; its time counts from then.
    pub expect: Expect,
}
