//! `peerwalk status`: what the live checks say, and all that they know of one.

mod one;
mod table;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::api::ListParams;
use serde::Serialize;

use crate::check::{self, Check, UnreadableCheck};
use crate::connect::{Connection, Session, block_on};
use crate::exit::Exit;
use crate::print;

/// How many checks are asked for at once.
const PAGE: u32 = 500;

/// What is wanted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  peerwalk status                        the checks of the namespace, one a line
  peerwalk status -A                     those of all namespaces, failures first
  peerwalk status storefront -n shop     all that is known of one
  peerwalk status shop/storefront -o json | jq '.checks[0].status.targets'

The exit code is 0 when the checks could be read, whatever they say; `peerwalk wait` is for scripts.")]
pub struct Arguments {
    /// One check, as NAME or NAMESPACE/NAME; without it all of the namespace
    #[arg(value_name = "CHECK")]
    pub check: Option<String>,
    /// Checks of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "check"])]
    pub all_namespaces: bool,
    /// How to print them
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
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

/// The JSON and YAML form.
#[derive(Serialize)]
struct Answer<'a> {
    checks: &'a [Check],
}

/// Asks and prints.
///
/// # Errors
/// Where the cluster cannot be asked, or has no such check.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let read = block_on(async {
        let session = arguments.connection.session().await?;
        match &arguments.check {
            Some(name) => one(&session, name).await.map(|check| (vec![check], Vec::new())),
            None => all(&session, arguments.all_namespaces).await,
        }
    });
    let (checks, unreadable) = read?;
    let now = Timestamp::now();
    let text = match (arguments.output, &arguments.check) {
        (Output::Json, _) => serde_json::to_string_pretty(&Answer { checks: &checks })? + "\n",
        (Output::Yaml, _) => serde_saphyr::to_string(&Answer { checks: &checks })?,
        (Output::Text, Some(_)) => checks.iter().map(|check| one::text(check, now)).collect(),
        (Output::Text, None) => table::text(&checks, arguments.all_namespaces, now),
    };
    print::out(&text)?;
    for check in &unreadable {
        print::note(&check.to_string());
    }
    Ok(if unreadable.is_empty() { Exit::Done } else { Exit::Usage })
}

/// `NAME` or `NAMESPACE/NAME`.
pub(super) fn place<'a>(session: &'a Session, check: &'a str) -> (&'a str, &'a str) {
    check.split_once('/').unwrap_or((&session.namespace, check))
}

/// One check.
pub(super) async fn one(session: &Session, check: &str) -> Result<Check> {
    let (namespace, name) = place(session, check);
    let object = check::api(&session.client, Some(namespace)).get_opt(name).await;
    let object = object.map_err(|error| check::explained(&error, "get", Some(namespace)))?;
    let object = object.with_context(|| {
        format!("there is no ConnectivityCheck {namespace}/{name}: `peerwalk status -A` lists those that there are")
    })?;
    Ok(Check::read(object)?)
}

/// All checks, failures first; and those that cannot be read.
async fn all(session: &Session, everywhere: bool) -> Result<(Vec<Check>, Vec<UnreadableCheck>)> {
    let namespace = (!everywhere).then_some(session.namespace.as_str());
    let api = check::api(&session.client, namespace);
    let (mut checks, mut unreadable) = (Vec::new(), Vec::new());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&page).await.map_err(|error| check::explained(&error, "list", namespace))?;
        for object in list.items {
            match Check::read(object) {
                Ok(check) => checks.push(check),
                Err(error) => unreadable.push(error),
            }
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => break,
        }
    }
    table::sort(&mut checks);
    Ok((checks, unreadable))
}
