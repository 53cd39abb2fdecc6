//! Nothing fails for ten minutes: nothing is written, by the audit log of the API server.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use peerwalk_e2e::audit::Writes;
use tokio::time::sleep;

use crate::fault::Told;
use crate::steady::{CHECKS, Steady};

/// For the pod that was made before to be gone.
const SETTLED: Duration = Duration::from_secs(30);
const TIME: Duration = Duration::from_mins(10);

pub async fn play(steady: &Steady<'_>) -> Result<Told> {
    let cluster = &steady.scene.nodes.cluster;
    sleep(SETTLED).await;
    let before = Writes::of(cluster)?;
    sleep(TIME).await;
    let Writes { leases, reviews, others } = Writes::of(cluster)?.since(&before);
    let mut told = Told::new(format!(
        "{CHECKS} checks for {} minutes: {} writes by the audit log, besides {leases} of the Lease and {reviews} TokenReviews",
        TIME.as_secs() / 60,
        others.len()
    ));
    let mut kinds = BTreeMap::<String, usize>::new();
    for write in others {
        *kinds.entry(write).or_default() += 1;
    }
    for (write, count) in kinds {
        told.wrong.push(format!("the operator wrote without a reason: {count} {write}"));
    }
    // It renews the Lease all the time, so a log without that is not the right one.
    if leases == 0 {
        told.wrong.push("the audit log does not have the operator".to_owned());
    }
    Ok(told)
}
