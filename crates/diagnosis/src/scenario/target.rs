//! What is to be reached, as a scenario has it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;

use super::scene::at;
use super::yes;
use crate::{ServiceFacts, TargetFacts};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum ScenarioTarget {
    Service(ScenarioService),
    Url { allowed: bool },
    Dns,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScenarioService {
    #[serde(default = "yes")]
    found: bool,
    #[serde(default = "yes")]
    port_found: bool,
    #[serde(default = "default_number")]
    number: u16,
    #[serde(default)]
    headless: bool,
    /// What its name may lead to.
    #[serde(default)]
    addresses: BTreeSet<IpAddr>,
    ready: usize,
    #[serde(default)]
    local: usize,
    #[serde(default)]
    internal_traffic_policy_local: bool,
    asked: Option<i64>,
    changed: Option<i64>,
    #[serde(default)]
    owners: BTreeSet<String>,
}

fn default_number() -> u16 {
    5432
}

impl ScenarioTarget {
    pub(super) fn facts(self) -> TargetFacts {
        match self {
            Self::Url { allowed } => TargetFacts::Url { allowed },
            Self::Dns => TargetFacts::Dns,
            Self::Service(service) => TargetFacts::Service(ServiceFacts {
                name: "ledger/postgres".into(),
                port: "5432".into(),
                found: service.found,
                port_found: service.port_found,
                number: Some(service.number),
                headless: service.headless,
                addresses: service.addresses,
                ready: service.ready,
                local: service.local,
                internal_traffic_policy_local: service.internal_traffic_policy_local,
                asked: service.asked.map(at),
                changed: service.changed.map(at),
                owners: service.owners,
            }),
        }
    }
}
