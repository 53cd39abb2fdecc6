//! `peerwalk explain`: whether policies let one end reach another, and who decides it.

mod fix;
mod report;
mod text;
mod unread;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use peerwalk_manifests::Cluster;
use peerwalk_netpol::{PeerKind, Profile, evaluate};

use crate::end::{self, Found, Role, resolve};
use crate::exit::Exit;
use crate::flows::{self, Flows};
use crate::input::Input;
use crate::progress::Progress;
use crate::{print, profile};
pub use report::{Report, Rollup};

/// What is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  peerwalk explain -f deploy/ --from shop/web --to ledger/postgres:5432
      a workload or pod as NAMESPACE/NAME, and a port
  peerwalk explain -f deploy/ --from shop/web --to ledger/postgres
      without a port: every port of the Service, or every named port of the pods
  kustomize build prod | peerwalk explain -f - --from deploy/shop/web --to svc/shop/cart:80/TCP
      with its kind, where several objects have one name
  peerwalk explain -f deploy/ --from 203.0.113.7 --to https://web.shop.svc
      addresses and URLs; what is nobody's in the cluster is outside
  peerwalk explain -f deploy/ --from shop/web --to ledger/postgres -o json | jq .fix
      the rule to add, for kubectl apply -f -
  peerwalk explain -f deploy/ --from shop/web --to ledger/postgres --expect denied
      in a pipeline: fails where it is not so

A connection is allowed when the egress policies of the one and the ingress policies of the other let it pass. \
A Service is resolved to what stands behind it, as data planes do before they look at policies.

Exit codes: 0 decided; 1 not as --expect says; 2 the command line or the input cannot be used; 3 undecided.")]
pub struct Arguments {
    /// Who connects: a workload, pod, Service or address
    #[arg(long, value_name = "END")]
    pub from: String,
    /// Who is connected to: a workload, pod, Service, address or URL, with the port and protocol
    #[arg(long, value_name = "END[:PORT[/PROTO]]")]
    pub to: String,
    /// What is asked about.
    #[command(flatten)]
    pub input: Input,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// What it should be: the exit code is 1 where it is not
    #[arg(long, value_enum)]
    pub expect: Option<Expect>,
    /// Whose reading of what the API leaves open
    #[arg(long, value_name = "DATAPLANE", default_value = "upstream", value_parser = profile::parser())]
    pub profile: Profile,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// For both
    Yaml,
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Expect {
    /// All of it is allowed
    Allowed,
    /// All of it is denied
    Denied,
}

/// Runs it.
///
/// # Errors
/// Where the ends or the input cannot be used.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let mut progress = Progress::default();
    let cluster = arguments.input.cluster(&mut progress)?;
    let (text, exit) = answer(arguments, &cluster)?;
    drop(progress);
    print::out(&text)?;
    Ok(exit)
}

/// What is printed about a cluster, and how the command ends.
///
/// # Errors
/// Where the ends cannot be used.
pub fn answer(arguments: &Arguments, cluster: &Cluster) -> Result<(String, Exit)> {
    let asked = ask(arguments, cluster)?;
    let index = cluster.index();
    let decisions: Vec<_> =
        asked.flows.asked.iter().map(|asked| evaluate(&index, &asked.flow, &arguments.profile)).collect();
    let report = Report::new(&asked.flows, &decisions, &index);
    let exit = exit(report.verdict, arguments.expect);
    let text = match arguments.output {
        Output::Text => text::text(&asked, &decisions, &report),
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
        Output::Yaml => serde_saphyr::to_string(&report)?,
    };
    Ok((text, exit))
}

/// What is asked about, and how its ends are called.
struct Asked {
    from: String,
    to: String,
    flows: Flows,
}

fn ask(arguments: &Arguments, cluster: &Cluster) -> Result<Asked> {
    let from = end::from(&arguments.from).with_context(|| format!("--from {}", arguments.from))?;
    let to = end::to(&arguments.to).with_context(|| format!("--to {}", arguments.to))?;
    let namespace = arguments.input.namespace();
    let source = resolve(cluster, &from, namespace, Role::From).context("--from")?;
    let destination = resolve(cluster, &to.end, namespace, Role::To(to.port.as_ref())).context("--to")?;
    let flows = flows::between(cluster, &source, &destination, to.port.as_ref(), to.protocol)
        .with_context(|| format!("--to {}", arguments.to))?;
    Ok(Asked { from: called(&source), to: called(&destination), flows })
}

fn called(found: &Found<'_>) -> String {
    match found {
        Found::Pods(name, _) | Found::Unknown(name) => name.clone(),
        Found::Service(service) => format!("{}/{} (Service)", service.namespace, service.name),
        Found::Node(node) => format!("node {}", node.name),
        Found::Address(peer) if peer.kind == PeerKind::External => format!("{peer} (outside the cluster)"),
        Found::Address(peer) => format!("{} ({peer})", peer.ip),
    }
}

fn exit(verdict: Rollup, expect: Option<Expect>) -> Exit {
    match (verdict, expect) {
        (Rollup::Undecided, _) => Exit::Undecided,
        (_, None) | (Rollup::Allowed, Some(Expect::Allowed)) | (Rollup::Denied, Some(Expect::Denied)) => {
            Exit::Done
        }
        (_, Some(_)) => Exit::Otherwise,
    }
}

/// Every item once, in the order in which they first come.
fn distinct<T: Ord + Clone>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut known = BTreeSet::new();
    items.into_iter().filter(|item| known.insert(item.clone())).collect()
}
