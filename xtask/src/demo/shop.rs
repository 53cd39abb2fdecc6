//! Getting there: the programs, the cluster, the chart, the shop, and its pods into coverage.

use std::thread;

use anyhow::{Context, Result, anyhow};
use peerwalk_cluster::{
    Cluster, Image, Options, Terminal, install_missing, missing_for_helm, missing_packages, prepare,
};

use crate::images::{self, Profile};
use crate::own_cluster::OwnCluster;
use crate::test::Background;
use crate::tree;

use super::interrupt::Interrupt;
use super::stage::{Clock, Stage, indented};

/// Builds everything and starts a cluster with two nodes that has our images.
pub(crate) fn cluster(own: &mut OwnCluster, clock: &Clock, interrupt: &Interrupt) -> Result<Cluster> {
    let progress = &mut Terminal::default();
    let mut missing = missing_packages(2);
    missing.extend(missing_for_helm());
    install_missing(&missing, progress)?;
    clock.say("Building operator, sidecar and the programs of the cluster");
    // Both take minutes the first time, one with rustc and one with Go.
    let programs = thread::spawn(|| {
        prepare(2, &mut Background::default())?;
        peerwalk_cluster::helm(&mut Background::default())
    });
    let archives = images::build(Profile::Quick, progress);
    if let Err(error) = &archives {
        // Told before the other build ends, which may take minutes.
        tree::complain(error);
        tree::say("Waiting for the programs of the cluster, which the next run will find; Ctrl-C ends that.");
    }
    programs.join().map_err(|_| anyhow!("the thread that builds the cluster's programs panicked"))??;
    let archives = archives.map_err(|_| anyhow!("the images could not be made, as told above"))?;
    interrupt.check()?;
    clock.say("Starting a Kubernetes cluster with two nodes");
    let cluster = own.start(&Options::default())?;
    interrupt.check()?;
    for archive in &archives {
        cluster.load_image(Image::Archive(archive), progress)?;
        interrupt.check()?;
    }
    Ok(cluster)
}

/// Installs the chart and waits until the operator is ready.
pub(crate) fn install(stage: &Stage<'_>) -> Result<()> {
    let arguments = [
        "install",
        "peerwalk",
        "charts/peerwalk",
        "--namespace=peerwalk-system",
        "--create-namespace",
        "--set=operator.image.tag=dev,sidecar.image.tag=dev",
        "--wait",
        "--timeout=120s",
    ];
    stage.clock.say(&format!("$ helm {}", arguments.join(" ")));
    let mut helm = stage.cluster.helm(&mut Terminal::default())?;
    if let Err(error) = stage.output(helm.args(arguments)) {
        // Helm knows that it waited, not for what.
        tree::say(&stage.kubectl(&["-n", "peerwalk-system", "get", "pods", "-o", "wide"])?);
        operator_log(stage);
        return Err(error.context("the chart could not be installed"));
    }
    Ok(())
}

/// The shop and the ledger, first without and then with sidecars, as one gets there in a cluster that exists.
pub(crate) fn deploy(stage: &Stage<'_>) -> Result<()> {
    stage.clock.say("Deploying a shop: web, catalog, a forward proxy, and a ledger that admits nobody");
    for file in ["shop", "ledger", "default-deny"] {
        stage.kubectl(&["apply", "-f", &format!("e2e/demo/{file}.yaml")])?;
    }
    settle(stage)?;
    for namespace in ["shop", "ledger"] {
        stage.show_kubectl(&["label", "namespace", namespace, "peerwalk.dev/inject=enabled"])?;
        stage.show_kubectl(&["-n", namespace, "rollout", "restart", "deployment"])?;
    }
    settle(stage)?;
    stage.show_kubectl(&["-n", "shop", "get", "pods", "-o", "wide"])
}

/// Waits until every Deployment runs what it says.
pub(crate) fn settle(stage: &Stage<'_>) -> Result<()> {
    for (namespace, names) in [("shop", ["web", "catalog", "proxy"].as_slice()), ("ledger", &["ledger-db"])] {
        for name in names {
            let deployment = format!("deployment/{name}");
            stage
                .kubectl(&["-n", namespace, "rollout", "status", &deployment, "--timeout=90s"])
                .with_context(|| format!("{namespace}/{name} does not start"))?;
        }
    }
    Ok(())
}

/// The end of the operator's log, for whom something did not happen.
pub(crate) fn operator_log(stage: &Stage<'_>) {
    let of_all = "--selector=app.kubernetes.io/name=peerwalk";
    match stage.kubectl(&["-n", "peerwalk-system", "logs", of_all, "--prefix", "--tail=30"]) {
        Ok(log) => {
            tree::say("The end of the operator's log:");
            indented(&log);
        }
        Err(error) => tree::complain(&error),
    }
}
