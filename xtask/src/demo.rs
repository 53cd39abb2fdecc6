//! `cargo xtask demo`: Peerwalk at work in a small shop, from nothing to verdicts and their changes.

mod home;
mod interrupt;
mod play;
mod shop;
mod stage;
mod story;
mod summary;
mod watch;

use std::io::stdin;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use peerwalk_cluster::Home;

use crate::tree;
use interrupt::Interrupt;
use stage::Clock;
use summary::Summary;

#[derive(Args)]
#[command(
    after_help = "It needs root, Go and Debian packages, which it installs. Its folder is that of `cargo xtask cluster`; \
where a cluster runs\nthere already, it starts one of its own in /var/lib/peerwalk/demo.\n\n\
Examples:\n  cargo xtask demo\n  cargo xtask demo --once\n  cargo xtask demo --keep"
)]
pub(crate) struct Arguments {
    /// Leave the cluster running in the end, to play with
    #[arg(long, conflicts_with = "once")]
    keep: bool,
    /// Ask nobody: end the cluster, and exit 0 only if every expected verdict came
    #[arg(long)]
    once: bool,
}

const POLL: Duration = Duration::from_millis(200);

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let mut own = home::claim()?;
    let clock = Clock::start();
    let mut summary = Summary::default();
    let played = play::play(&mut own, &clock, &interrupt, &mut summary);
    summary.show();
    if let Err(error) = &played {
        tree::complain(error);
    }
    let good = played.is_ok() && summary.all_came();
    if good {
        tree::say("Every expected verdict came.");
    }
    if arguments.keep && own.is_started() {
        say_how_to_play(own.home());
        own.keep();
    } else if !arguments.once && played.is_ok() {
        say_commands(own.home());
        tree::say("\nPress Enter to end the cluster.");
        wait_for_enter(&interrupt);
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say_how_to_play(home: &Home) {
    say_commands(home);
    tree::say("\nThe cluster ends by itself after four hours, or with:");
    tree::say(&format!("  {}cargo xtask cluster down", home::environment(home)));
}

fn say_commands(home: &Home) {
    tree::say("\nThe cluster is yours:");
    for command in [
        "cluster kubectl get connectivitychecks -A -o wide",
        "cluster kubectl -n shop describe connectivitycheck storefront",
        "cluster kubectl apply -f e2e/demo/catalog-lockdown.yaml",
        "cluster kubectl get connectivitychecks -n shop --watch",
    ] {
        tree::say(&format!("  {}cargo xtask {command}", home::environment(home)));
    }
}

/// Until Enter, Ctrl-C or the end of standard input.
fn wait_for_enter(interrupt: &Interrupt) {
    let (enter, entered) = mpsc::channel();
    thread::spawn(move || {
        // The line does not matter, nor whether it could be read; nobody listens after Ctrl-C.
        let _ = stdin().read_line(&mut String::new());
        let _ = enter.send(());
    });
    while entered.recv_timeout(POLL).is_err() && !interrupt.came() {}
}
