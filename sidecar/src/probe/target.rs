//! A target as a person writes it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use peerwalk_model::plan::{
    DialScope, DnsTarget, HttpMethod, HttpRequest, RecordType, TargetKind, UrlTarget,
};
use peerwalk_probe::{Scheme, TargetUrl};

/// Statuses at or above are no good answer, as in checks without `statusBelow`.
const STATUS_BELOW: u16 = 500;

/// What to walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `tcp://`, `udp://`, `http://` or `https://`.
    Url(TargetUrl),
    /// `dns:name`.
    Name(String),
}

impl Target {
    pub(super) fn kind(&self, record: RecordType) -> TargetKind {
        match self {
            Self::Url(url) => TargetKind::Url(UrlTarget {
                url: url.to_string(),
                roots_pem: None,
                scope: DialScope { networks: Vec::new(), any_address: true },
            }),
            Self::Name(name) => TargetKind::Dns(DnsTarget { name: name.clone(), record }),
        }
    }

    /// The address, where the target is one and no name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Url(url) => url.host.parse().ok(),
            Self::Name(_) => None,
        }
    }

    pub(super) fn http(&self) -> Option<HttpRequest> {
        match self {
            Self::Url(url) if matches!(url.scheme, Scheme::Http | Scheme::Https) => Some(HttpRequest {
                method: HttpMethod::Head,
                path: url.path.clone(),
                status_below: STATUS_BELOW,
            }),
            Self::Url(_) | Self::Name(_) => None,
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("dns:") {
            Some(name) if is_name(name) => Ok(Self::Name(name.to_owned())),
            Some(_) => Err(format!("{text:?} names nothing that can be resolved; write dns:name")),
            None => TargetUrl::parse(text).map(Self::Url).map_err(|error| format!("{error}, or dns:name")),
        }
    }
}

/// The longest name in text form, without a final dot (RFC 1035, section 2.3.4: 255 bytes on the wire).
const LONGEST: usize = 253;

/// Whether a name server can be asked for it. An address needs no asking, and exists nowhere as a name.
fn is_name(text: &str) -> bool {
    let length = text.strip_suffix('.').unwrap_or(text).len();
    (1..=LONGEST).contains(&length) && !text.contains(['/', ':', '@', ' ']) && text.parse::<IpAddr>().is_err()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Name(name) => write!(f, "dns:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_and_print() {
        for text in
            ["tcp://db:5432", "http://a.svc/x", "https://a/", "udp://a:53?send=00ff", "dns:db.ledger.svc"]
        {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for wrong in [
            "db:5432",
            "tcp://db",
            "dns:",
            "dns:a/b",
            "dns:10.0.0.1",
            "udp://db",
            "udp://db:53?send=xyz",
            "sctp://db:1",
            "",
        ] {
            let error = wrong.parse::<Target>().unwrap_err();
            assert!(error.contains("write"), "{wrong:?} is refused with a remedy: {error}");
        }
    }
}
