//! A proxy as the value of a variable names it, and that value without its credentials.

/// Stands where a user name or a password was.
const REDACTED: &str = "***@";

/// What the value of a proxy variable says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyValue {
    /// The scheme in lower case, `http` where the value names none.
    pub scheme: String,
    /// `host:port`, without user information and path. The port of a value that names none is the scheme's.
    pub proxy: String,
    /// Whether there is user information, or the sign that [`without_user`] leaves of it.
    pub credentials: bool,
}

impl ProxyValue {
    /// Reads a value. One that is no URL gives a proxy whose name leads nowhere, as it does in a client.
    pub fn parse(value: &str) -> Self {
        let (scheme, user, rest) = split(value);
        let scheme = scheme.unwrap_or("http").to_ascii_lowercase();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let proxy = if port && !authority.ends_with(']') {
            authority.to_owned()
        } else {
            format!("{authority}:{}", default_port(&scheme))
        };
        Self { scheme, proxy, credentials: user.is_some() }
    }
}

/// The value with `***@` in place of user name and password, so that it still tells that there were some.
pub fn without_user(value: &str) -> String {
    let (scheme, user, rest) = split(value);
    let (scheme, separator) = scheme.map_or(("", ""), |scheme| (scheme, "://"));
    let user = user.map_or("", |_| REDACTED);
    format!("{scheme}{separator}{user}{rest}")
}

/// Scheme, user information and the rest. The last `@` ends the user information, whatever that holds: it is
/// better to lose a strange path than to keep a part of a password.
fn split(value: &str) -> (Option<&str>, Option<&str>, &str) {
    let value = value.trim();
    let is_scheme =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, value),
    };
    match rest.rsplit_once('@') {
        Some((user, rest)) => (scheme, Some(user).filter(|user| !user.is_empty()), rest),
        None => (scheme, None, rest),
    }
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "https" => 443,
        _ if scheme.starts_with("socks") => 1080,
        _ => 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_written_in_many_ways() {
        for (value, scheme, proxy, credentials) in [
            ("http://p:3128", "http", "p:3128", false),
            ("p:3128", "http", "p:3128", false),
            (" http://p ", "http", "p:80", false),
            ("https://p/", "https", "p:443", false),
            ("HTTPS://p", "https", "p:443", false),
            ("socks5h://p", "socks5h", "p:1080", false),
            ("socks5://u:p@p:9", "socks5", "p:9", true),
            ("http://u:p@p:8/x", "http", "p:8", true),
            ("http://u:pa/ss@p:8", "http", "p:8", true),
            ("http://***@p:8", "http", "p:8", true),
            ("http://@p", "http", "p:80", false),
            ("http://[fd00::1]", "http", "[fd00::1]:80", false),
            ("http://[fd00::1]:8", "http", "[fd00::1]:8", false),
        ] {
            let expected = ProxyValue { scheme: scheme.into(), proxy: proxy.into(), credentials };
            assert_eq!(ProxyValue::parse(value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_value_without_its_user_says_the_same_of_the_proxy() {
        for value in ["http://u:p@p:8/x", "socks5://u@p", "u:p@p:3128", "https://p", "u:a://b@p", "", "@p"] {
            let without = without_user(value);
            assert_eq!(ProxyValue::parse(&without), ProxyValue::parse(value), "{value:?} became {without:?}");
            assert_eq!(without_user(&without), without, "a second time changes nothing");
        }
    }
}
