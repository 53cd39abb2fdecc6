//! Evidence of the TLS handshake and the HTTP exchange.

use std::time::Duration;

/// A TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Tls {
    /// The name the certificate was checked for.
    pub server_name: String,
    /// What came of it.
    pub outcome: TlsOutcome,
    /// From the first byte sent to the outcome.
    #[cfg_attr(feature = "serde", serde(rename = "elapsedMs", with = "crate::serde_ms"))]
    pub elapsed: Duration,
}

/// What came of a handshake. Verification is never off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum TlsOutcome {
    /// The certificate was accepted.
    Established,
    /// No given root signed the certificate.
    UntrustedIssuer,
    /// Anything else, in the words of the TLS library; at most 200 bytes.
    Failed(String),
    /// The connection was reset or closed during the handshake.
    Reset,
    /// No answer within the deadline.
    Timeout,
}

/// An HTTP exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Request {
    /// The method.
    pub method: crate::plan::HttpMethod,
    /// The URL, without user information.
    pub url: String,
    /// The first status code that is not an answer, from the plan.
    pub status_below: u16,
    /// What came of it.
    pub outcome: RequestOutcome,
    /// From the first byte sent to the outcome.
    #[cfg_attr(feature = "serde", serde(rename = "elapsedMs", with = "crate::serde_ms"))]
    pub elapsed: Duration,
}

/// What came of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub enum RequestOutcome {
    /// A status code.
    Status(u16),
    /// RST, or the connection closed before an answer.
    Reset,
    /// Connected, and no answer within the deadline.
    NoResponse,
    /// The answer was not HTTP; in the words of the HTTP library, at most 200 bytes.
    Malformed(String),
}
