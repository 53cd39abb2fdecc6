//! The API server and etcd are away for a minute: once they hang, and once they have ended and refuse connections.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams};
use peerwalk_e2e::counters::{Counters, Replicas};
use peerwalk_e2e::workloads::Workloads;
use tokio::time::sleep;

use super::node::{GONE, LOST};
use crate::fault::Told;
use crate::steady::Steady;

const AWAY: Duration = Duration::from_mins(1);
/// For the API server to answer again.
const BACK_WITHIN: u64 = 60;
/// For the streams to be those of the pods that stay.
const ATTACHED_WITHIN: Duration = Duration::from_mins(1);
/// For the controllers to give up nodes whose leases they find too old when the API server is back. The kubelets renew
/// these within 10 s.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(200);

pub async fn paused(steady: &Steady<'_>) -> Result<Told> {
    let nodes = steady.scene.nodes;
    let mut streams = Streams::all(steady).await?;
    nodes.signal_api("STOP")?;
    sleep(AWAY).await;
    let streams = streams.now();
    nodes.signal_api("CONT")?;
    back(steady).await?;
    let mut told = streams.told("API server and etcd hang for a minute (SIGSTOP)");
    if given_up(steady).await? {
        // Cluster DNS among them: neither names nor Services lead anywhere then, and that is what is true.
        told.what.push_str("; the controllers took every node for lost for a moment, and their endpoints out of the Services");
        told.may_doubt = true;
    }
    Ok(told)
}

/// Whether endpoints are taken out of Services now, since nobody could renew the leases of the nodes. From then on, what
/// follows of that may be told.
async fn given_up(steady: &Steady<'_>) -> Result<bool> {
    let slices: Api<EndpointSlice> = Api::all(steady.scene.nodes.client.clone());
    let begun = Instant::now();
    while begun.elapsed() < GIVEN_UP_WITHIN {
        let all = slices.list(&ListParams::default()).await?.items;
        let mut endpoints = all.into_iter().flat_map(|slice| slice.endpoints);
        let lost = |ready: Option<bool>| ready == Some(false);
        if endpoints.any(|endpoint| endpoint.conditions.is_some_and(|known| lost(known.ready))) {
            steady.expect_also(|_| true, &LOST, &GONE);
            return Ok(true);
        }
        sleep(LOOK).await;
    }
    Ok(false)
}

pub async fn killed(steady: &Steady<'_>) -> Result<Told> {
    let mut streams = Streams::all(steady).await?;
    let restart = steady.scene.nodes.kill_api()?;
    sleep(AWAY).await;
    let streams = streams.now();
    restart.start()?;
    back(steady).await?;
    Ok(streams.told("API server and etcd killed (-9), and started again after a minute"))
}

/// The streams of all sidecars, of which none may end.
struct Streams {
    replicas: Replicas,
    before: Counters,
}

impl Streams {
    /// Waits until there is one of each sidecar and no other: that of the pod that was made before is gone.
    async fn all(steady: &Steady<'_>) -> Result<Self> {
        let sidecars = Workloads::of(steady.scene).await?.sidecars;
        let mut replicas = Replicas::of(steady.scene.nodes).await?;
        let begun = Instant::now();
        loop {
            let before = replicas.counters();
            if before.streams == sidecars {
                return Ok(Self { replicas, before });
            }
            ensure!(begun.elapsed() < ATTACHED_WITHIN, "{} streams of {sidecars} sidecars", before.streams);
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn now(&mut self) -> Ended {
        let now = self.replicas.counters();
        let lost =
            now.since(&self.before).into_iter().filter(|(name, _)| name.starts_with("hub_streams_ended"));
        Ended { before: self.before.streams, now: now.streams, lost: lost.collect() }
    }
}

/// What became of them.
struct Ended {
    before: u64,
    now: u64,
    lost: BTreeMap<String, u64>,
}

impl Ended {
    fn told(&self, what: &str) -> Told {
        let mut told = Told::new(format!("{what}; {} of {} streams go on meanwhile", self.now, self.before));
        if self.now != self.before || !self.lost.is_empty() {
            told.wrong.push(format!("streams ended: {} of {}, {:?}", self.now, self.before, self.lost));
        }
        told
    }
}

async fn back(steady: &Steady<'_>) -> Result<()> {
    for _ in 0..BACK_WITHIN {
        let mut ready = steady.scene.nodes.cluster.kubectl();
        let answers = ready.args(["get", "--raw", "/readyz", "--request-timeout=2s"]).output();
        if answers.is_ok_and(|answer| answer.status.success()) {
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
    }
    None.context("the API server does not answer again")
}
