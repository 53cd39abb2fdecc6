//! Exit codes, and walks of loopback in the shape that is documented.

use std::net::{SocketAddr, TcpListener};

use clap::Parser;
use serde_json::Value;

use super::*;

mod document;
mod values;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: ProbeArgs,
}

fn args(words: &[&str]) -> ProbeArgs {
    Command::try_parse_from([&["probe"], words].concat()).unwrap().args
}

async fn walked(words: &[&str]) -> (Value, Verdict) {
    let args = args(words);
    let environment = Environment { containers: vec![], ..environment(args.family) };
    let prober = Prober::new(environment);
    let target = &args.targets[0];
    let controls = controls(&prober, &args.control).await;
    let (walk, planned) = walk(&prober, target, plan(target, &args, controls), args.family).await;
    let verdict = verdict(&PairEvidence::first(walk.clone()), &planned, args.expect.expectation());
    let report = serde_json::to_value(output::Report::new(&target.to_string(), &walk, &verdict)).unwrap();
    (report, verdict)
}

fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn the_worst_exit_code_wins() {
    for (codes, expected) in [(&[0, 0][..], 0), (&[0, 3], 3), (&[3, 1, 0], 1), (&[1, 3], 1)] {
        let worst = codes.iter().fold(AS_EXPECTED, |worst, code| worse(worst, *code));
        assert_eq!(worst, expected, "{codes:?}");
    }
}

#[test]
fn only_a_proven_denial_is_one() {
    use Observed::{Denied, Reachable, Unknown, Unreachable};
    for (observed, reachable, denied) in
        [(Reachable, 0, 1), (Denied, 1, 0), (Unreachable, 1, 3), (Unknown, 3, 3)]
    {
        assert_eq!(
            exit_code(Expectation::Reachable, observed),
            reachable,
            "{observed:?}, expected reachable"
        );
        assert_eq!(exit_code(Expectation::Denied, observed), denied, "{observed:?}, expected denied");
    }
}

#[tokio::test]
async fn an_open_port_is_reachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = listener.local_addr().unwrap();
    let (report, _) = walked(&[&format!("tcp://{remote}")]).await;
    assert_eq!(report["result"], "Reachable", "{report:#}");
    assert_eq!(report["reason"], Value::Null);
    assert_eq!(report["stage"], "Connect");
    assert_eq!(report["addresses"], serde_json::json!(["127.0.0.1"]));
    let connect = &report["stages"][0];
    assert_eq!((&connect["stage"], &connect["passed"]), (&Value::from("Connect"), &Value::from(true)));
    assert_eq!(connect["evidence"]["dials"][0]["remote"], remote.to_string());
}

#[tokio::test]
async fn a_closed_port_is_refused_and_no_denial() {
    let target = format!("tcp://{}", closed());
    let (report, _) = walked(&[&target]).await;
    assert_eq!((&report["result"], &report["reason"]), (&"Unreachable".into(), &"ConnectionRefused".into()));
    assert_eq!(report["stages"][0]["passed"], false);
    let (report, verdict) = walked(&[&target, "--expect", "denied"]).await;
    assert_eq!((&report["result"], &report["reason"]), (&"Unknown".into(), &"NotProven".into()));
    assert_eq!(exit_code(Expectation::Denied, verdict.observed), UNKNOWN);
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let help = Command::try_parse_from(["probe", "--help"]).unwrap_err().to_string();
    for wanted in ["probe tcp://postgres.ledger.svc:5432", "Exit codes: 0", "--control <HOST:PORT>"] {
        assert!(help.contains(wanted), "{wanted:?} in {help}");
    }
}

#[test]
fn wrong_usage_names_the_value_and_the_remedy() {
    for (words, wanted) in [
        (&["db:5432"][..], "tcp://host:port"),
        (&["tcp://db:1", "--timeout", "soon"], "500ms"),
        (&["tcp://db:1", "--control", "db"], "name:port"),
        (&[], "TARGET"),
    ] {
        let error = Command::try_parse_from([&["probe"], words].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words:?}");
        assert!(error.to_string().contains(wanted), "{words:?}: {error}");
    }
}
