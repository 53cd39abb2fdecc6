//! A thousand sidecars lose the operator at the same moment and come back at once, on a control plane without nodes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::Api;
use peerwalk_e2e::many::{NAMESPACE, PODS, attach, pods};
use peerwalk_e2e::measure::progress;
use peerwalk_e2e::observer::Observer;
use peerwalk_e2e::process::Operator;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::fault::RECONNECT;
use crate::report::{self, short_row};

/// For all to be back. They wait 30 s at most between two attempts, and the API server reviews a token of each.
const BACK_WITHIN: Duration = Duration::from_mins(2);
/// What is said before that is of the beginning.
const SETTLED: Duration = Duration::from_secs(40);
/// Longer than sidecars have to come back before they are missed.
const AFTERWARDS: Duration = Duration::from_mins(1);
/// Work that is lost, whose counters have to stay 0 then.
const NEVER: [&str; 4] = [
    "peerwalk_hub_plans_refused_total",
    "peerwalk_hub_events_lost_total",
    "peerwalk_transitions_lost_total",
    "peerwalk_hub_messages_total{kind=\"Malformed\"}",
];

pub async fn play(write: bool) -> Result<()> {
    let mut operator = Operator::start().await?.context("this runs by `cargo xtask soak`")?;
    progress("making 1,000 pods and 10 checks");
    let pods = pods(&operator).await?;
    progress("attaching 1,000 sidecars");
    let sidecars = attach(&operator, &pods).await?;
    sleep(SETTLED).await;
    let observer = Observer::of(Api::namespaced(operator.client.clone(), NAMESPACE));
    sleep(Duration::from_secs(2)).await;
    observer.begin();

    operator.restart().await?;
    let begun = Instant::now();
    let took = loop {
        let attached = metric(&metrics().await?, "peerwalk_hub_streams").unwrap_or_default();
        if attached == u64::from(PODS) {
            break begun.elapsed();
        }
        if begun.elapsed() > BACK_WITHIN {
            bail!("{attached} of {PODS} sidecars are back after {BACK_WITHIN:?}");
        }
        sleep(Duration::from_millis(200)).await;
    };
    progress(&format!("back after {:.1} s; looking on for {} s", took.as_secs_f64(), AFTERWARDS.as_secs()));
    sleep(AFTERWARDS).await;
    let counts = observer.counts();
    let text = metrics().await?;
    let counted = |name: &str| metric(&text, name).unwrap_or_default();
    let reviews = ["Valid", "Invalid", "NotReady", "Unavailable"].map(|result| {
        format!("{} {result}", counted(&format!("peerwalk_hub_token_reviews_total{{result=\"{result}\"}}")))
    });
    let later = counted("peerwalk_hub_streams_ended_total{reason=\"Retry\"}");
    drop(sidecars);
    let mut wrong = counts.wrong;
    if counts.changes > 0 {
        wrong.push(format!("nothing has changed, and {} answers did", counts.changes));
    }
    for name in NEVER {
        let lost = metric(&text, name).with_context(|| format!("there is no {name}"))?;
        if lost > 0 {
            wrong.push(format!("{name} is {lost}"));
        }
    }
    let what = format!(
        "{PODS} sidecars lose the operator and come back at once, all within {:.1} s; reviews of tokens: {}; {later} asked to come back later",
        took.as_secs_f64(),
        reviews.join(", ")
    );
    let row = short_row(RECONNECT, &what, took, counts.changes, &wrong);
    progress(&row.join(" | "));
    if write {
        report::write(&[row])?;
    }
    ensure!(wrong.is_empty(), "not as it should be: {}", wrong.join("; "));
    Ok(())
}

/// What the operator counts.
async fn metrics() -> Result<String> {
    let mut stream = TcpStream::connect("127.0.0.1:8080").await.context("the operator serves its metrics")?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn metric(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
