//! Which version of the protocol two programs speak with each other.

use std::ops::RangeInclusive;

use crate::message::{Refusal, RefusalCode};

/// The versions this program speaks. A hub keeps the previous two when a new one is added, as sidecars
/// outlive upgrades of the operator.
pub const SUPPORTED: RangeInclusive<u32> = 1..=1;

/// The versions a sidecar offers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest it speaks.
    pub min: u32,
    /// The newest it speaks.
    pub max: u32,
}

impl Versions {
    /// The versions this program speaks.
    pub const fn supported() -> Self {
        Self { min: *SUPPORTED.start(), max: *SUPPORTED.end() }
    }
}

/// The newest version that both speak, or what to tell the sidecar when there is none.
pub fn negotiate(offered: Versions, supported: RangeInclusive<u32>) -> Result<u32, Refusal> {
    let newest = offered.max.min(*supported.end());
    let oldest = offered.min.max(*supported.start());
    if newest < oldest {
        let Versions { min, max } = offered;
        let (start, end) = (supported.start(), supported.end());
        let remedy =
            if max < *start { "restart the pod to inject a newer sidecar" } else { "update the operator" };
        return Err(Refusal {
            code: RefusalCode::Version,
            message: format!(
                "the sidecar speaks protocol versions {min} to {max}, the hub {start} to {end}; {remedy}"
            ),
        });
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_taken() {
        let table = [
            ((1, 1), 1..=1, Some(1)),
            ((1, 3), 2..=4, Some(3)),
            ((2, 9), 1..=4, Some(4)),
            ((3, 3), 1..=4, Some(3)),
            ((1, 1), 2..=4, None),
            ((5, 6), 2..=4, None),
            ((4, 2), 2..=4, None),
            ((0, 0), 1..=1, None),
            ((0, u32::MAX), 1..=1, Some(1)),
        ];
        for ((min, max), supported, expected) in table {
            let found = negotiate(Versions { min, max }, supported.clone()).ok();
            assert_eq!(found, expected, "{min} to {max} offered, {supported:?} supported");
        }
    }

    #[test]
    fn a_refusal_names_both_ranges_and_the_remedy() {
        let old = negotiate(Versions { min: 1, max: 1 }, 2..=4).unwrap_err();
        assert_eq!(old.code, RefusalCode::Version);
        assert_eq!(
            old.message,
            "the sidecar speaks protocol versions 1 to 1, the hub 2 to 4; restart the pod to inject a newer sidecar"
        );
        let new = negotiate(Versions { min: 5, max: 6 }, 2..=4).unwrap_err();
        assert!(new.message.ends_with("update the operator"), "{}", new.message);
    }
}
