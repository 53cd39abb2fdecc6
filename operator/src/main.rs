//! The operator: controller, hub, webhook and metrics in one binary.

use anyhow::Context as _;
use peerwalk_operator::{args::Args, run, telemetry};

fn main() -> anyhow::Result<()> {
    let args = Args::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    telemetry::start(args.log_format, &args.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let result = runtime.block_on(run::run(args));
    // A resolution of a name may be stuck in the C library; nobody waits for it.
    runtime.shutdown_background();
    result
}
