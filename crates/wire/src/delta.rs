//! A plan as what differs from the one before it.

use std::collections::BTreeMap;

use peerwalk_model::plan::PlannedTarget;
use peerwalk_model::{Plan, TargetKey};

use crate::limits;

/// What differs between two plans, or a whole plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanDelta {
    /// The generation it applies to; 0 for a whole plan.
    pub base_generation: u64,
    /// The generation after it has been applied.
    pub generation: u64,
    /// New and changed targets.
    pub upsert: BTreeMap<TargetKey, PlannedTarget>,
    /// Targets that are gone.
    pub remove: Vec<TargetKey>,
}

/// Why a delta cannot be applied. The remedy is to attach again: a stream begins with a whole plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// It was made for another plan.
    #[error("the plan delta is for generation {base}, the plan is of generation {current}")]
    OtherBase {
        /// The generation it was made for.
        base: u64,
        /// The generation at hand.
        current: u64,
    },
    /// The plan would be too large.
    #[error("the plan would have {count} targets, {limit} are allowed")]
    TooManyTargets {
        /// How many it would have.
        count: usize,
        /// The most allowed.
        limit: usize,
    },
    /// One check would be too large.
    #[error("check {check} would have {count} targets, {limit} are allowed")]
    TooManyTargetsOfCheck {
        /// The check.
        check: String,
        /// How many it would have.
        count: usize,
        /// The most allowed.
        limit: usize,
    },
}

impl PlanDelta {
    /// All of a plan.
    pub fn whole(plan: &Plan) -> Self {
        Self {
            base_generation: 0,
            generation: plan.generation,
            upsert: plan.targets.clone(),
            remove: Vec::new(),
        }
    }

    /// What turns `old` into `new`.
    pub fn between(old: &Plan, new: &Plan) -> Self {
        if old.generation == 0 {
            return Self::whole(new);
        }
        let changed = |(key, target): &(&TargetKey, &PlannedTarget)| old.targets.get(*key) != Some(*target);
        Self {
            base_generation: old.generation,
            generation: new.generation,
            upsert: new.targets.iter().filter(changed).map(|(k, t)| (k.clone(), t.clone())).collect(),
            remove: old.targets.keys().filter(|key| !new.targets.contains_key(key)).cloned().collect(),
        }
    }

    /// The plan that comes of applying this to `plan`.
    pub fn apply(self, plan: &Plan) -> Result<Plan, DeltaError> {
        let mut targets = BTreeMap::new();
        if self.base_generation != 0 {
            if self.base_generation != plan.generation {
                return Err(DeltaError::OtherBase { base: self.base_generation, current: plan.generation });
            }
            targets.clone_from(&plan.targets);
        }
        for key in &self.remove {
            targets.remove(key);
        }
        targets.extend(self.upsert);
        within_limits(&targets)?;
        Ok(Plan { generation: self.generation, targets })
    }
}

/// Checks the number of targets, in all and of each check.
pub(crate) fn within_limits<T>(targets: &BTreeMap<TargetKey, T>) -> Result<(), DeltaError> {
    if targets.len() > limits::TARGETS {
        return Err(DeltaError::TooManyTargets { count: targets.len(), limit: limits::TARGETS });
    }
    let mut checks: BTreeMap<&str, usize> = BTreeMap::new();
    for key in targets.keys() {
        *checks.entry(&key.check).or_default() += 1;
    }
    match checks.into_iter().find(|(_, count)| *count > limits::TARGETS_PER_CHECK) {
        Some((check, count)) => Err(DeltaError::TooManyTargetsOfCheck {
            check: check.to_owned(),
            count,
            limit: limits::TARGETS_PER_CHECK,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
