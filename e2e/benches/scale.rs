//! What the operator needs with many pods: idle, with 1,000 pods and their checks, and with 1,000 sidecars
//! attached, each a process of its own. `cargo xtask bench scale`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use peerwalk_e2e::many::{attach, pods};
use peerwalk_e2e::measure::{Usage, mib, progress, table};
use peerwalk_e2e::process::Operator;
use tokio::time::sleep;

/// For memory to be what it will be.
const SETTLED: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<()> {
    let operator = Operator::start().await?.context("this runs by `cargo xtask bench scale`")?;
    let mut rows = vec![row(&operator, "idle").await?];
    progress("making 1,000 pods and 10 checks");
    let pods = pods(&operator).await?;
    rows.push(row(&operator, "1,000 pods, 10 checks").await?);
    progress("attaching 1,000 sidecars");
    let begun = Instant::now();
    let sidecars = attach(&operator, &pods).await?;
    let took = begun.elapsed();
    rows.push(row(&operator, "1,000 sidecars attached").await?);
    let before = Usage::of(pid(&operator)?)?;
    sleep(SETTLED).await;
    let cpu = Usage::of(pid(&operator)?)?.cpu.saturating_sub(before.cpu);
    table(&["operator", "RSS"], &rows);
    table(
        &["1,000 sidecars", ""],
        &[
            vec!["from the first process to the last stream".into(), format!("{:.1} s", took.as_secs_f64())],
            vec![
                "CPU of the operator, attached and steady".into(),
                format!("{:.1} % of a core", cpu.as_secs_f64() / SETTLED.as_secs_f64() * 100.0),
            ],
        ],
    );
    drop(sidecars);
    Ok(())
}

fn pid(operator: &Operator) -> Result<u32> {
    operator.process.id().context("the operator has ended")
}

async fn row(operator: &Operator, what: &str) -> Result<Vec<String>> {
    sleep(SETTLED).await;
    Ok(vec![what.to_owned(), mib(Usage::of(pid(operator)?)?.rss)])
}
