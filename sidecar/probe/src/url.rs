//! The URL of a target.

use std::fmt;

use hyper::Uri;
use thiserror::Error;

use crate::limits;

/// What comes after the TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Nothing: the connection is the answer.
    Tcp,
    /// One datagram, which is to be answered.
    Udp,
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
}

/// A URL that can be walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    /// The scheme.
    pub scheme: Scheme,
    /// The host, a name or an address, without brackets.
    pub host: String,
    /// The port, the scheme's own when the URL names none.
    pub port: u16,
    /// Path and query, beginning with `/`; of UDP the query only, which has the datagram.
    pub path: String,
}

/// A URL that cannot be walked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{url:?} cannot be walked: {problem}; write tcp://host:port, udp://host:port[?send=HEX], http://host[:port]/path or \
     https://host[:port]/path"
)]
pub struct UrlError {
    url: String,
    problem: &'static str,
}

impl TargetUrl {
    /// Reads a URL. User information is refused: no credential belongs into evidence.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let bad = |problem| UrlError { url: without_user(url), problem };
        let uri: Uri = url.parse().map_err(|_| bad("it is no URL"))?;
        let scheme = match uri.scheme_str() {
            Some("tcp") => Scheme::Tcp,
            Some("udp") => Scheme::Udp,
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(bad("its scheme is not known")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it has user information"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(bad("it has no host"));
        }
        if host.len() > limits::NAME {
            return Err(bad("its host is longer than any name"));
        }
        let default = match scheme {
            Scheme::Tcp | Scheme::Udp => None,
            Scheme::Http => Some(80),
            Scheme::Https => Some(443),
        };
        // "host:99999" parses as an authority without a readable port.
        let written = authority.as_str().rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = match (authority.port_u16(), written) {
            (Some(port), _) if port > 0 => port,
            (None, false) => default.ok_or_else(|| bad("it has no port"))?,
            _ => return Err(bad("its port is not a number from 1 to 65535")),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if scheme == Scheme::Udp {
            datagram(&path).map_err(bad)?;
        }
        Ok(Self { scheme, host, port, path })
    }

    /// The datagram that UDP sends; `None` for the other schemes.
    pub fn datagram(&self) -> Option<Vec<u8>> {
        (self.scheme == Scheme::Udp).then(|| datagram(&self.path).unwrap_or_default())
    }

    /// Host and port as they are written in a URL and a `Host` header; the scheme's own port is left out.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Scheme::Tcp => write!(f, "tcp://{}", self.authority()),
            Scheme::Udp => write!(f, "udp://{}{}", self.authority(), self.path.trim_start_matches('/')),
            Scheme::Http => write!(f, "http://{}{}", self.authority(), self.path),
            Scheme::Https => write!(f, "https://{}{}", self.authority(), self.path),
        }
    }
}

/// The bytes of `/?send=HEX`; none without it.
fn datagram(path: &str) -> Result<Vec<u8>, &'static str> {
    if path == "/" {
        return Ok(Vec::new());
    }
    let hex = path.strip_prefix("/?send=").ok_or("what follows its port is not ?send=HEX")?;
    if hex.len() > 2 * limits::DATAGRAM {
        return Err("its datagram is longer than 512 bytes");
    }
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or("its datagram is not an even number of hexadecimal digits")?;
    Ok(digits.chunks(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect())
}

fn without_user(url: &str) -> String {
    let url = match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://…{}", &url[at..]),
        _ => url.to_owned(),
    };
    let begin = limits::cut(&url, limits::WRONG_URL);
    if begin == url { url } else { format!("{begin}…") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_and_print() {
        for (text, host, port, path, printed) in [
            ("tcp://db:5432", "db", 5432, "/", "tcp://db:5432"),
            ("http://a.svc", "a.svc", 80, "/", "http://a.svc/"),
            ("http://a.svc:8080/x?y=1", "a.svc", 8080, "/x?y=1", "http://a.svc:8080/x?y=1"),
            ("https://[fd00::1]/h", "fd00::1", 443, "/h", "https://[fd00::1]/h"),
            ("https://a?q", "a", 443, "/?q", "https://a/?q"),
            ("udp://dns:53", "dns", 53, "/", "udp://dns:53"),
            ("udp://[fd00::1]:53?send=00ff", "fd00::1", 53, "/?send=00ff", "udp://[fd00::1]:53?send=00ff"),
        ] {
            let url = TargetUrl::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path), "{text}");
            assert_eq!(url.to_string(), printed);
        }
    }

    #[test]
    fn datagrams_are_read_from_hexadecimal_digits() {
        let most = format!("udp://a:1?send={}", "ab".repeat(512));
        for (text, bytes) in [
            ("udp://a:1", Some(vec![])),
            ("udp://a:1?send=", Some(vec![])),
            ("udp://a:1?send=00fF10", Some(vec![0, 255, 16])),
            (most.as_str(), Some(vec![0xab; 512])),
            ("tcp://a:1", None),
        ] {
            assert_eq!(TargetUrl::parse(text).unwrap().datagram(), bytes, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_walked_says_why() {
        for (text, problem) in [
            ("tcp://db", "no port"),
            ("ftp://a", "scheme"),
            ("udp://a", "no port"),
            ("udp://a:53/x", "?send=HEX"),
            ("udp://a:53?send=0", "even number"),
            ("udp://a:53?send=0g", "hexadecimal"),
            (&format!("udp://a:53?send={}", "00".repeat(513)), "512 bytes"),
            ("db:5432", "scheme"),
            ("http://a:99999/", "port"),
            ("http://a:0/", "port"),
            ("http://", "no URL"),
            (&format!("http://{}/", "a".repeat(256)), "longer"),
        ] {
            let error = TargetUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(error.len() < 350, "a short message, however long the URL: {error}");
        }
        let error = TargetUrl::parse("http://user:secret@a/").unwrap_err().to_string();
        assert!(!error.contains("secret"), "no credential in a message: {error}");
    }
}
