//! Unpredictable numbers from the operating system, through the TLS library that is there anyway.

use std::time::Duration;

/// A random number. Where the system has none to give, 0: everything here works without.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    match rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

/// A random part of `whole`, from none of it to all of it.
pub(crate) fn part_of(whole: Duration) -> Duration {
    let thousandths = u32::try_from(number() % 1001).unwrap_or(0);
    whole * thousandths / 1000
}
