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
}
