//! Yes or no, and on which readings of the API it hangs.

use std::collections::BTreeSet;

use crate::caveat::Caveat;

/// An answer under the profile's readings. It is certain when it has no doubts; else another permitted
/// reading of one or several of the doubts could turn it around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub holds: bool,
    pub doubts: BTreeSet<Caveat>,
}

impl Answer {
    pub fn certain(holds: bool) -> Self {
        Self { holds, doubts: BTreeSet::new() }
    }

    pub fn doubtful(holds: bool, caveat: Caveat) -> Self {
        Self { holds, doubts: BTreeSet::from([caveat]) }
    }

    /// Either holds. One certain yes removes every doubt; a no hangs on all doubts of both.
    pub fn or(self, other: Self) -> Self {
        match (self.holds, other.holds) {
            (true, false) => self,
            (false, true) => other,
            (true, true) if self.doubts.is_empty() => self,
            (true, true) if other.doubts.is_empty() => other,
            _ => Self { holds: self.holds, doubts: self.doubts.into_iter().chain(other.doubts).collect() },
        }
    }

    /// Both hold: the mirror image of [`Answer::or`].
    pub fn and(self, other: Self) -> Self {
        self.negated().or(other.negated()).negated()
    }

    /// `then` where the condition holds, else `otherwise`. A doubt of the condition counts where the other branch
    /// answers, or could answer, otherwise.
    pub fn choose(condition: &Self, then: Self, otherwise: Self) -> Self {
        let (mut taken, other) = if condition.holds { (then, otherwise) } else { (otherwise, then) };
        if condition.doubts.is_empty() {
            return taken;
        }
        if taken.holds != other.holds {
            taken.doubts.extend(&condition.doubts);
        } else if !other.doubts.is_empty() {
            taken.doubts.extend(condition.doubts.iter().chain(&other.doubts));
        }
        taken
    }

    fn negated(self) -> Self {
        Self { holds: !self.holds, doubts: self.doubts }
    }
}

#[cfg(test)]
mod tests;
