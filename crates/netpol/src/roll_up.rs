//! What several decisions come to.

use crate::decision::Decision;

/// What several decisions come to, such as those for the endpoints of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RollUp {
    /// All flows are allowed.
    Allowed,
    /// All flows are denied.
    Denied,
    /// Some are allowed and some denied, whatever becomes of those that cannot be decided.
    Partial,
    /// It hangs on flows that cannot be decided here.
    Undecided,
}

impl RollUp {
    /// What they come to; `None` when there are none, as for a Service without endpoints.
    pub fn of<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Option<Self> {
        let (mut allowed, mut denied, mut undecided) = (false, false, false);
        for decision in decisions {
            match (decision.is_undecided(), decision.is_allowed()) {
                (true, _) => undecided = true,
                (false, true) => allowed = true,
                (false, false) => denied = true,
            }
        }
        match (allowed, denied, undecided) {
            (true, true, _) => Some(Self::Partial),
            (_, _, true) => Some(Self::Undecided),
            (true, false, false) => Some(Self::Allowed),
            (false, true, false) => Some(Self::Denied),
            (false, false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests;
