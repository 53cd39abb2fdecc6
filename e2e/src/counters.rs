//! What the operator counts of work that is lost (docs/operations.md), over all its pods and over restarts of them.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use peerwalk_cluster::Place;

use crate::nodes::{Nodes, SYSTEM, printed};

/// Counters of what went well.
const GOOD: [&str; 13] = [
    "pairs_judged",
    "status_writes{result=\"Stored\"}",
    "hub_messages{kind=\"Hello\"}",
    "hub_messages{kind=\"Token\"}",
    "hub_messages{kind=\"Evidence\"}",
    "hub_messages{kind=\"Heartbeat\"}",
    "hub_messages{kind=\"Transitions\"}",
    "hub_messages{kind=\"Saw\"}",
    "hub_token_reviews{result=\"Valid\"}",
    "hub_token_reviews{result=\"Remembered\"}",
    "hub_streams_ended{reason=\"Redirected\"}",
    "webhook_admissions{result=\"injected\",reason=\"\"}",
    "webhook_admissions{result=\"adjusted\",reason=\"\"}",
];
/// Counters of what must never happen, whatever fails.
pub const DEFECTS: [&str; 4] = [
    "hub_plans_refused",
    "hub_answers_unasked",
    "hub_messages{kind=\"Malformed\"}",
    "hub_streams_ended{reason=\"Protocol\"}",
];

/// The operator's pods, and how each is asked, without the API server.
pub struct Replicas(Vec<(String, Command)>);

impl Replicas {
    /// Those that are there now.
    pub async fn of(nodes: &Nodes) -> Result<Self> {
        let mut all = Vec::new();
        for pod in nodes.operators().await? {
            let name = pod.metadata.name.context("a pod has a name")?;
            let place = Place::from_pod(SYSTEM, &name);
            let mut client = nodes.cluster.exec(&place, nodes.cluster.program("testbed")?)?;
            client.args(["http", "http://127.0.0.1:8080/metrics"]);
            all.push((name, client));
        }
        Ok(Self(all))
    }

    /// What they count now; a pod that does not answer counts nothing.
    pub fn counters(&mut self) -> Counters {
        let mut found = Counters::default();
        for (name, client) in &mut self.0 {
            found.add(name, &printed(client).unwrap_or_default());
        }
        found
    }
}

/// All counters of all pods.
#[derive(Debug, Default)]
pub struct Counters {
    losses: BTreeMap<(String, String), u64>,
    /// Sidecars that are attached.
    pub streams: u64,
}

impl Counters {
    /// As they are now; a pod that does not answer has none.
    pub async fn of(nodes: &Nodes) -> Result<Self> {
        Ok(Replicas::of(nodes).await?.counters())
    }

    fn add(&mut self, pod: &str, text: &str) {
        self.losses.extend(parsed(text).map(|(series, value)| ((pod.to_owned(), series), value)));
        let streams = text.lines().find_map(|line| line.strip_prefix("peerwalk_hub_streams ")?.parse().ok());
        self.streams += streams.unwrap_or(0_u64);
    }

    /// What was counted of losses since `before`, by counter without `peerwalk_` and `_total`. Of a process that began
    /// meanwhile it is everything; what one had counted that ended is not known.
    pub fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::<String, u64>::new();
        for ((pod, series), now) in &self.losses {
            let was = before.losses.get(&(pod.clone(), series.clone())).copied().unwrap_or_default();
            let more = if *now < was { *now } else { *now - was };
            if more > 0 {
                *found.entry(series.clone()).or_default() += more;
            }
        }
        found
    }
}

/// The counters of losses in a text of the Prometheus format.
fn parsed(text: &str) -> impl Iterator<Item = (String, u64)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let name = series.split('{').next()?;
        let short = series.replacen("peerwalk_", "", 1).replacen("_total", "", 1);
        let is_loss = name.ends_with("_total") && !GOOD.contains(&short.as_str());
        is_loss.then_some((short, value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Counters;

    fn counters(pod: &str, text: &str) -> Counters {
        let mut found = Counters::default();
        found.add(pod, text);
        found
    }

    #[test]
    fn losses_are_what_came_since_and_a_new_process_begins_with_none() {
        let text = "# HELP x\npeerwalk_evidence_dropped_total 5\npeerwalk_status_writes_total{result=\"Stored\"} 9\n\
                    peerwalk_hub_resends_total 2\npeerwalk_leading 1\n\
                    peerwalk_hub_streams 6\n";
        let before = counters("a", text);
        assert_eq!(before.streams, 6);
        let after = counters("a", "peerwalk_evidence_dropped_total 7\npeerwalk_hub_resends_total 1\n");
        let expected = [("evidence_dropped".to_owned(), 2), ("hub_resends".to_owned(), 1)];
        assert_eq!(after.since(&before), BTreeMap::from(expected));
    }
}
