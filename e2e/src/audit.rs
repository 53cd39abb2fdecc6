//! What the operator wrote, by the audit log of the API server.

use std::fs;

use anyhow::{Context, Result};
use peerwalk_cluster::Cluster;
use serde_json::Value;

/// Who the operator is to the API server.
const OPERATOR: &str = "system:serviceaccount:peerwalk-system:peerwalk";

/// Writes of the operator so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Of the Lease, which both replicas look at and one renews.
    pub leases: usize,
    /// `TokenReview`s: questions whose answers are not stored.
    pub reviews: usize,
    /// All others, as `verb resource`.
    pub others: Vec<String>,
}

impl Writes {
    /// As the log has them now.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        let log = cluster.audit_log()?;
        let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        Ok(Self::parsed(&text))
    }

    fn parsed(log: &str) -> Self {
        let mut found = Self::default();
        for entry in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let (Some(verb), Some(resource)) =
                (entry["verb"].as_str(), entry["objectRef"]["resource"].as_str())
            else {
                continue;
            };
            if entry["user"]["username"] != OPERATOR || matches!(verb, "get" | "list" | "watch") {
                continue;
            }
            match resource {
                "leases" => found.leases += 1,
                "tokenreviews" => found.reviews += 1,
                _ => found.others.push(format!("{verb} {resource}")),
            }
        }
        found
    }

    /// Those that came since `before`.
    pub fn since(mut self, before: &Self) -> Self {
        let others = self.others.split_off(before.others.len().min(self.others.len()));
        Self {
            leases: self.leases.saturating_sub(before.leases),
            reviews: self.reviews.saturating_sub(before.reviews),
            others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OPERATOR, Writes};
    use serde_json::json;

    #[test]
    fn writes_are_those_of_the_operator_that_change_something() {
        let line = |user: &str, verb: &str, resource: &str| {
            json!({ "user": { "username": user }, "verb": verb, "objectRef": { "resource": resource } })
                .to_string()
        };
        let before = line(OPERATOR, "patch", "connectivitychecks");
        let log = [
            before.clone(),
            line(OPERATOR, "watch", "pods"),
            line("system:admin", "create", "pods"),
            line(OPERATOR, "update", "leases"),
            line(OPERATOR, "create", "tokenreviews"),
            "not yet whole".to_owned(),
            line(OPERATOR, "create", "events"),
        ];
        let writes = Writes::parsed(&log.join("\n")).since(&Writes::parsed(&before));
        assert_eq!(writes, Writes { leases: 1, reviews: 1, others: vec!["create events".to_owned()] });
    }
}
