//! `resolv.conf(5)`, as far as it decides which names are asked of whom.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// glibc asks at most three servers (`MAXNS`).
const SERVERS: usize = 3;
/// Suffixes kept; kubelet's own limit is 32.
const SUFFIXES: usize = 32;
/// `RES_MAXNDOTS` of glibc.
const MAX_NDOTS: usize = 15;

/// Who is asked, and for which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) search: Vec<String>,
    pub(crate) ndots: usize,
    /// `use-vc`: over TCP from the start.
    pub(crate) over_tcp: bool,
    /// `single-request` or `single-request-reopen`: A and AAAA are not asked at once from one socket.
    pub(crate) single_request: bool,
}

impl ResolvConf {
    pub(crate) fn parse(text: &str) -> Self {
        let (servers, search) = (Vec::new(), Vec::new());
        let mut conf = Self { servers, search, ndots: 1, over_tcp: false, single_request: false };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < SERVERS => {
                    conf.servers.extend(words.next().and_then(server));
                }
                // The last of `search` and `domain` wins.
                Some("search") => conf.search = words.filter_map(suffix).take(SUFFIXES).collect(),
                Some("domain") => conf.search = words.take(1).filter_map(suffix).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            // As the C library does.
            conf.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        conf
    }

    fn option(&mut self, word: &str) {
        match word {
            "use-vc" => self.over_tcp = true,
            "single-request" | "single-request-reopen" => self.single_request = true,
            _ => {
                let ndots = word.strip_prefix("ndots:").and_then(|ndots| ndots.parse::<usize>().ok());
                self.ndots = ndots.map_or(self.ndots, |ndots| ndots.min(MAX_NDOTS));
            }
        }
    }

    /// The fully qualified names a client asks for, in order (`res_nsearch` of glibc): a name with a final
    /// dot as it is; one with at least `ndots` dots as it is first; any other as it is last.
    pub(crate) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let as_is = format!("{name}.");
        let mut names: Vec<String> = self
            .search
            .iter()
            .map(|suffix| if suffix.is_empty() { as_is.clone() } else { format!("{name}.{suffix}.") })
            .collect();
        if name.matches('.').count() >= self.ndots {
            names.insert(0, as_is);
        } else {
            names.push(as_is);
        }
        names
    }
}

/// An address, or as on OpenBSD an address in brackets with a port.
fn server(word: &str) -> Option<SocketAddr> {
    if let Some((ip, port)) = word.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        return Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
    }
    // A scope (`fe80::1%eth0`) cannot be kept in an address; link-local servers are not found in pods.
    word.split('%').next()?.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53))
}

fn suffix(word: &str) -> Option<String> {
    let suffix = word.trim_end_matches('.');
    (suffix.len() <= 253).then(|| suffix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "search shop.svc.cluster.local svc.cluster.local cluster.local\n\
        nameserver 10.96.0.10\noptions ndots:5 timeout:2\n";

    #[test]
    fn a_pods_file_reads() {
        let conf = ResolvConf::parse(POD);
        assert_eq!(conf.servers, ["10.96.0.10:53".parse::<SocketAddr>().unwrap()]);
        assert_eq!(conf.search, ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"]);
        assert_eq!(conf.ndots, 5);
    }

    #[test]
    fn oddities_do_as_the_c_library_does() {
        let conf = ResolvConf::parse(
            "domain a.example\nsearch b.example. c.example # no\nnameserver x\nnameserver fd00::10\n\
             nameserver [1.1.1.1]:54\nnameserver 2.2.2.2\nnameserver 3.3.3.3\noptions ndots:99\n",
        );
        assert_eq!(conf.search, ["b.example", "c.example"], "the last list wins");
        let expected: Vec<SocketAddr> =
            ["[fd00::10]:53", "1.1.1.1:54", "2.2.2.2:53"].map(|s| s.parse().unwrap()).to_vec();
        assert_eq!(conf.servers, expected, "three servers, and no malformed one");
        assert_eq!(conf.ndots, 15, "ndots is capped");
        let empty = ResolvConf::parse("");
        assert_eq!(
            empty.servers,
            ["127.0.0.1:53".parse::<SocketAddr>().unwrap()],
            "no server is the local one"
        );
        assert_eq!(empty.ndots, 1);
    }

    #[test]
    fn how_servers_are_asked_is_an_option() {
        for (options, over_tcp, single_request) in [
            ("options ndots:5 use-vc", true, false),
            ("options single-request\noptions use-vc", true, true),
            ("options single-request-reopen edns0", false, true),
            ("options timeout:1 use-vcx", false, false),
            ("use-vc single-request", false, false),
        ] {
            let conf = ResolvConf::parse(options);
            assert_eq!((conf.over_tcp, conf.single_request), (over_tcp, single_request), "{options}");
        }
    }

    #[test]
    fn names_are_asked_for_in_glibcs_order() {
        let conf = ResolvConf::parse(POD);
        assert_eq!(
            conf.candidates("catalog"),
            [
                "catalog.shop.svc.cluster.local.",
                "catalog.svc.cluster.local.",
                "catalog.cluster.local.",
                "catalog."
            ]
        );
        assert_eq!(conf.candidates("a.b.c.d.e.f").first().map(String::as_str), Some("a.b.c.d.e.f."));
        assert_eq!(conf.candidates("example.com."), ["example.com."], "a final dot ends the search");
    }
}
