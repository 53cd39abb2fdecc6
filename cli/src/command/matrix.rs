//! `peerwalk matrix`: who reaches whom, on which ports.

mod blocks;
mod draw;
mod list;
pub mod np_guard;
mod wanted;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use peerwalk_manifests::{Cluster, Limits, Reader};
use peerwalk_netpol::Profile;

use crate::exit::Exit;
use crate::input::{self, Input};
use crate::pairs::Pairs;
use crate::progress::Progress;
use crate::{print, profile};
use wanted::{Filter, Wanted};

/// What is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  peerwalk matrix -f deploy/                              every open pair of workloads, one a line
  peerwalk matrix -f deploy/ --to ledger/postgres         who reaches the database
  peerwalk matrix -f deploy/ --from outside               what is open to addresses outside the cluster
  peerwalk matrix -f deploy/ -n shop -o html > shop.html  all pairs with an end in a namespace, as a page
  peerwalk matrix -f deploy/ -o dot | dot -Tsvg > net.svg
  peerwalk matrix -f deploy/ --profile np-guard -o np-guard
                                                          the rows of np-guard's netpol-analyzer

A pair that is not listed is closed. Rows are about policies alone: whether something listens there they do not say.

Exit codes: 0 decided; 2 the command line or the input cannot be used; 3 policies cannot be read, or domain \
names resolved, that may say otherwise.")]
pub struct Arguments {
    /// What is asked about.
    #[command(flatten)]
    pub input: Input,
    /// Pairs from here alone: NAMESPACE/NAME, NAMESPACE/* or outside. May be given several times
    #[arg(long, value_name = "END", value_parser = Wanted::parse)]
    pub from: Vec<Wanted>,
    /// Pairs to there alone: NAMESPACE/NAME, NAMESPACE/* or outside. May be given several times
    #[arg(long, value_name = "END", value_parser = Wanted::parse)]
    pub to: Vec<Wanted>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Whose reading of what the API leaves open
    #[arg(long, value_name = "DATAPLANE", default_value = "upstream", value_parser = profile::parser())]
    pub profile: Profile,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// Rows of sources and destinations with the same ports
    Json,
    /// One pair a line
    Csv,
    /// A table for comments
    Md,
    /// A graph for Graphviz
    Dot,
    /// A picture
    Svg,
    /// A page
    Html,
    /// The text rows of np-guard; with --profile np-guard they are the same
    NpGuard,
}

/// Runs it.
///
/// # Errors
/// Where the input cannot be used.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let mut progress = Progress::default();
    let cluster = if arguments.output == Output::NpGuard {
        let reader = Reader::new(Limits::default()).as_np_guard();
        let cluster = arguments.input.with(reader, &mut progress)?;
        input::tell(&cluster);
        cluster
    } else {
        arguments.input.cluster(&mut progress)?
    };
    progress.says("computing all pairs");
    let text = answer(arguments, &cluster)?;
    drop(progress);
    print::out(&text)?;
    // np-guard reads no names of domains.
    let with_outside = arguments.output != Output::NpGuard
        && (arguments.to.is_empty() || arguments.to.iter().any(Wanted::is_outside));
    Ok(input::end(&cluster, with_outside))
}

/// What is printed about a cluster.
///
/// # Errors
/// Where it is too large for a picture.
pub fn answer(arguments: &Arguments, cluster: &Cluster) -> Result<String> {
    if arguments.output == Output::NpGuard {
        return Ok(np_guard::rows(cluster, arguments.profile));
    }
    let pairs = Pairs::new(cluster, arguments.profile);
    let namespace = arguments.input.namespace.as_deref();
    let filter = Filter { from: &arguments.from, to: &arguments.to, namespace };
    if arguments.output == Output::Json {
        return blocks::json(&pairs, &filter, arguments.profile.name);
    }
    let rows = pairs.rows().into_iter().filter(|(from, to, _)| filter.holds(from, to));
    let rows: Vec<list::Row> =
        rows.map(|(from, to, open)| list::Row { from, to, ports: pairs.told(open) }).collect();
    Ok(match arguments.output {
        Output::Table => list::table(&rows),
        Output::Csv => list::csv(&rows),
        Output::Md => list::md(&rows),
        Output::Dot => draw::dot(&rows),
        Output::Svg | Output::Html => {
            let grid = draw::Grid::new(&rows);
            if grid.is_too_large() {
                bail!(
                    "{} ends are too many for a picture: choose some with --from, --to or --namespace, or take -o csv",
                    grid.ends()
                );
            }
            if arguments.output == Output::Svg { draw::svg(&grid) } else { draw::html(&grid) }
        }
        Output::Json | Output::NpGuard => String::new(),
    })
}
