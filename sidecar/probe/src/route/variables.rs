//! Which of the variables a client takes.

use super::Dialect;
use crate::url::Scheme;

/// The variables of a container, in the order they are given; the last of a name wins, as in a shell.
pub(super) struct Variables<'a>(pub(super) &'a [(String, String)]);

impl<'a> Variables<'a> {
    /// The variable that names the proxy for URLs of the scheme.
    pub(super) fn proxy(&self, dialect: Dialect, scheme: Scheme) -> Option<(&'a str, &'a str)> {
        let name = match scheme {
            Scheme::Http => "http_proxy",
            Scheme::Https => "https_proxy",
            Scheme::Tcp | Scheme::Udp => return None,
        };
        let upper = if scheme == Scheme::Http {
            let cgi = dialect.minds_cgi() && self.get("REQUEST_METHOD").is_some();
            dialect.reads_upper_http_proxy() && !cgi
        } else {
            dialect.reads_upper()
        };
        // A variable that is set and empty may also keep ALL_PROXY from being looked at; no client was seen
        // to do so.
        self.pick(dialect, name, upper)
            .or_else(|| dialect.reads_all_proxy().then(|| self.pick(dialect, "all_proxy", true)).flatten())
    }

    /// The variable that lists exceptions.
    pub(super) fn exceptions(&self, dialect: Dialect) -> Option<(&'a str, &'a str)> {
        self.pick(dialect, "no_proxy", dialect.reads_upper())
    }

    /// Whether both spellings of the scheme's variable and of the exceptions are set, so that no client reads
    /// a value which is not here: a pod's variable takes effect over its image's.
    pub(super) fn settle(&self, scheme: Scheme) -> bool {
        let name = if scheme == Scheme::Https { "https_proxy" } else { "http_proxy" };
        let set = |name: &str| self.get(name).is_some() && self.get(&name.to_ascii_uppercase()).is_some();
        set(name) && set("no_proxy")
    }

    fn pick(&self, dialect: Dialect, lower: &str, read_upper: bool) -> Option<(&'a str, &'a str)> {
        let low = self.get(lower);
        let up = if read_upper { self.get(&lower.to_ascii_uppercase()) } else { None };
        let filled = |variable: &(&'a str, &'a str)| !variable.1.trim().is_empty();
        if dialect.empty_lower_wins() && low.is_some_and(|variable| !filled(&variable)) {
            return None;
        }
        let (first, second) = if dialect.upper_first() { (up, low) } else { (low, up) };
        first.filter(filled).or(second.filter(filled))
    }

    fn get(&self, name: &str) -> Option<(&'a str, &'a str)> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(n, value)| (n.as_str(), value.as_str()))
    }
}
