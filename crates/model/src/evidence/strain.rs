//! Evidence of how the prober itself fared during a walk: what it was kept from is not the network's doing.

use std::time::Duration;

/// The prober's own state during a walk, where it was hard pressed; `None` on the walk where it was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct Strain {
    /// Time for which the container's CPU limit stopped it (`throttled_usec` of the cgroup's `cpu.stat`).
    #[cfg_attr(feature = "serde", serde(rename = "throttledMs", with = "crate::serde_ms"))]
    pub throttled: Duration,
    /// Time for which it was ready to run and another ran (`/proc/self/schedstat`, the second field).
    #[cfg_attr(feature = "serde", serde(rename = "runDelayMs", with = "crate::serde_ms"))]
    pub run_delay: Duration,
    /// The longest time by which a timer of its own was late.
    #[cfg_attr(feature = "serde", serde(rename = "timerDelayMs", with = "crate::serde_ms"))]
    pub timer_delay: Duration,
    /// File descriptors open.
    pub descriptors: u32,
    /// And the most it may have.
    pub descriptors_limit: u32,
    /// TCP sockets in TIME_WAIT in the pod's network namespace (`tw` of `/proc/net/sockstat`).
    pub time_wait: u32,
    /// Ephemeral ports that there are (`ip_local_port_range`).
    pub ports: u32,
}

/// What a prober is about to run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// File descriptors.
    Descriptors,
    /// Ephemeral ports.
    Ports,
}

impl Strain {
    /// The shortest stall that matters: as long as the shortest time that any address is given to answer.
    pub const STALL: Duration = Duration::from_millis(50);

    /// Whether the prober was kept from running for so long that silence may have been its own.
    pub fn is_starved(&self) -> bool {
        self.throttled.max(self.run_delay).max(self.timer_delay) >= Self::STALL
    }

    /// What is nearly used up: nine descriptors of ten, or half of the ports, from where on Linux searches long for a
    /// free one.
    pub fn shortage(&self) -> Option<Shortage> {
        let most =
            |used: u32, all: u32, tenths: u64| all > 0 && u64::from(used) * 10 >= u64::from(all) * tenths;
        if most(self.descriptors, self.descriptors_limit, 9) {
            Some(Shortage::Descriptors)
        } else if most(self.time_wait, self.ports, 5) {
            Some(Shortage::Ports)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_told_from_what_is_usual() {
        let ms = Duration::from_millis;
        let stalls = |throttled, run_delay, timer_delay| Strain {
            throttled: ms(throttled),
            run_delay: ms(run_delay),
            timer_delay: ms(timer_delay),
            ..Strain::default()
        };
        for (strain, starved) in [
            (stalls(49, 49, 49), false),
            (stalls(50, 0, 0), true),
            (stalls(0, 50, 0), true),
            (stalls(0, 0, 50), true),
        ] {
            assert_eq!(strain.is_starved(), starved, "{strain:?}");
        }
        let used = |descriptors, time_wait| Strain {
            descriptors,
            descriptors_limit: 1000,
            time_wait,
            ports: 28_232,
            ..Strain::default()
        };
        for (strain, shortage) in [
            (used(899, 14_115), None),
            (used(900, 0), Some(Shortage::Descriptors)),
            (used(0, 14_116), Some(Shortage::Ports)),
            (Strain { descriptors: 5, time_wait: 5, ..Strain::default() }, None),
        ] {
            assert_eq!(strain.shortage(), shortage, "{strain:?}");
        }
    }
}
