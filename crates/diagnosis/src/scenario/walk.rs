//! A walk, as a scenario has it.

use std::collections::BTreeSet;
use std::time::Duration;

use peerwalk_model::TargetKey;
use peerwalk_model::evidence::{
    AfterConnect, Breaker, Connect, Hop, HopLimits, LocalTrouble, Neighbour, ProxyAttempt, Request, Resolve,
    Route, Strain, Tls, Trigger, Walk,
};
use serde::Deserialize;

use super::scene::{at, dials};
use crate::PairEvidence;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScenarioWalk {
    #[serde(default = "started")]
    started: i64,
    #[serde(default = "ended")]
    ended: i64,
    /// The run, where it is longer than the walk.
    since: Option<i64>,
    last_started: Option<i64>,
    last_ended: Option<i64>,
    #[serde(default = "one")]
    consecutive: u32,
    #[serde(default)]
    interim: bool,
    #[serde(default)]
    dials: Vec<String>,
    #[serde(default)]
    neighbours: Vec<Neighbour>,
    #[serde(default)]
    hops: Vec<Hop>,
    #[serde(default)]
    hop_limits: HopLimits,
    after: Option<AfterConnect>,
    strain: Option<Strain>,
    #[serde(default)]
    breakers: Vec<Breaker>,
    resolve: Option<Resolve>,
    route: Option<Route>,
    tls: Option<Tls>,
    request: Option<Request>,
    proxied: Option<ScenarioProxied>,
    local: Option<LocalTrouble>,
}

fn started() -> i64 {
    100_000
}

fn ended() -> i64 {
    102_000
}

fn one() -> u32 {
    1
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioProxied {
    #[serde(default)]
    dials: Vec<String>,
    connect_status: Option<u16>,
    tls: Option<Tls>,
    request: Option<Request>,
}

impl ScenarioWalk {
    pub(super) fn evidence(self) -> PairEvidence {
        let key = TargetKey { check: "storefront".into(), target: "ledger-db".into() };
        let mut walk = Walk::begin(key, 1, Trigger::Interval, at(self.started));
        let dialled: Vec<_> = self.dials.iter().flat_map(|line| dials(line, self.started)).collect();
        let (neighbours, hops, hop_limits) = (self.neighbours, self.hops, self.hop_limits);
        let around = Connect { neighbours, hops, hop_limits, ..Connect::default() };
        walk.connect = (!dialled.is_empty()).then_some(Connect { dials: dialled, ..around });
        walk.after = self.after;
        walk.strain = self.strain;
        if let Some(connect) = &mut walk.connect {
            connect.breakers = self.breakers;
        }
        walk.ended = at(self.ended);
        walk.interim = self.interim;
        walk.resolve = self.resolve;
        walk.route = self.route;
        walk.tls = self.tls;
        walk.request = self.request;
        walk.local = self.local;
        walk.proxied = self.proxied.map(|proxied| ProxyAttempt {
            container: "app".into(),
            proxy: "proxy.corp:3128".into(),
            dials: proxied.dials.iter().flat_map(|line| dials(line, self.started)).collect(),
            connect_status: proxied.connect_status,
            tls: proxied.tls,
            request: proxied.request,
            elapsed: Duration::from_millis(3),
        });
        PairEvidence {
            attestations: Vec::new(),
            awaited: BTreeSet::new(),
            walk,
            since: at(self.since.unwrap_or(self.started)),
            started: at(self.last_started.unwrap_or(self.started)),
            ended: at(self.last_ended.unwrap_or(self.ended)),
            consecutive: self.consecutive,
        }
    }
}
