//! The operator: controller, hub, webhook and metrics in one binary.

use clap::Parser as _;
use peerwalk_operator::{args::Args, run, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    telemetry::start(args.log_format, &args.log_level)?;
    run::run(args).await
}
