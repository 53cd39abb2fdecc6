//! Profiles: how far away the targets of a check are, and so how long an answer may take.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::DurationString;
use crate::rule::rules;

#[cfg(test)]
mod tests;

/// How far away the targets of a check are, and so how long an answer may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Profile {
    /// In the same cluster or nearby: 2 s for one connection, 3 s for one walk.
    #[default]
    Lan,
    /// In another region: 5 s and 10 s.
    CrossRegion,
    /// What may take its time: 10 s and 30 s.
    Batch,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::Lan, Self::CrossRegion, Self::Batch];

    /// For one connection.
    pub const fn connect(self) -> Duration {
        Duration::from_secs(match self {
            Self::Lan => 2,
            Self::CrossRegion => 5,
            Self::Batch => 10,
        })
    }

    /// For one walk, all its attempts included.
    pub const fn total(self) -> Duration {
        Duration::from_secs(match self {
            Self::Lan => 3,
            Self::CrossRegion => 10,
            Self::Batch => 30,
        })
    }

    /// Its name in a spec.
    const fn name(self) -> &'static str {
        match self {
            Self::Lan => "Lan",
            Self::CrossRegion => "CrossRegion",
            Self::Batch => "Batch",
        }
    }
}

/// The rules of a spec that compare limits, which may be those of its profile.
pub(crate) fn rules_of_limits() -> Value {
    let (connect, total) = (limit("connect", Profile::connect), limit("total", Profile::total));
    let stale = format!(
        "!has(self.staleAfter) || (duration(self.staleAfter) >= duration('60s') && duration(self.staleAfter) >= \
         duration(self.interval) + duration(self.interval) + {total})"
    );
    rules(&[
        (
            &stale,
            "staleAfter must be at least 60s and at least 2 × interval + timeouts.total (the profile's, where it \
             is not given), or healthy results would count as stale: raise it, or remove it for the default",
        ),
        (
            &format!("{connect} <= {total}"),
            "timeouts.connect must not be longer than timeouts.total (each the profile's, where it is not given): \
             lower connect or raise total",
        ),
    ])
}

/// A limit of a spec in CEL: what `timeouts` gives, else what the profile does.
fn limit(field: &str, of: fn(Profile) -> Duration) -> String {
    let seconds = |profile| DurationString::from(of(profile));
    let others = Profile::ALL.into_iter().filter(|profile| *profile != Profile::default());
    let by_profile = others.rev().fold(format!("'{}'", seconds(Profile::default())), |rest, profile| {
        format!("self.profile == '{}' ? '{}' : {rest}", profile.name(), seconds(profile))
    });
    let field = format!("self.timeouts.{field}");
    format!("duration(has({field}) ? {field} : {by_profile})")
}
