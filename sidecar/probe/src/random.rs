//! Unpredictable numbers from the operating system, through the TLS library that is there anyway.

use rustls::crypto::{GetRandomFailed, SecureRandom};
use std::time::Duration;

fn source() -> &'static dyn SecureRandom {
    static SOURCE: std::sync::OnceLock<&'static dyn SecureRandom> = std::sync::OnceLock::new();
    *SOURCE.get_or_init(|| rustls::crypto::ring::default_provider().secure_random)
}

/// Two random bytes, for DNS message ids (RFC 5452, section 4.2) and source ports.
pub(crate) fn u16() -> Result<u16, GetRandomFailed> {
    let mut bytes = [0; 2];
    source().fill(&mut bytes)?;
    Ok(u16::from_ne_bytes(bytes))
}

/// `wait` shortened by up to half, so that many sidecars do not retry in step. Without randomness, `wait`.
pub(crate) fn jitter(wait: Duration) -> Duration {
    let half = wait / 2;
    half + half.mul_f64(f64::from(u16().unwrap_or(u16::MAX)) / f64::from(u16::MAX))
}
