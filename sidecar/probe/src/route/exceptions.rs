//! How clients match a URL against `NO_PROXY`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Dialect;
use crate::url::TargetUrl;

/// Whether an entry of the list makes the client go direct.
pub(super) fn matches(dialect: Dialect, list: &str, url: &TargetUrl) -> bool {
    let list = list.trim().to_ascii_lowercase();
    if list == "*" {
        // wget has no such word.
        return dialect != Dialect::Wget;
    }
    let mut host = url.host.to_ascii_lowercase();
    if strips_final_dot(dialect) {
        host.truncate(host.trim_end_matches('.').len());
    }
    entries(dialect, &list).iter().any(|entry| one(dialect, entry, &host, url.port))
}

/// The entries as the client sees them. Blanks in odd places are the entry's own for wget, which only skips
/// them after a comma, and separators for some; elsewhere the entry then matches nothing.
fn entries(dialect: Dialect, list: &str) -> Vec<String> {
    let by_comma = list.split(',');
    match dialect {
        Dialect::Curl | Dialect::Axios | Dialect::Undici => {
            list.split([',', ' ', '\t']).filter(|e| !e.is_empty()).map(str::to_owned).collect()
        }
        // The first word between two commas.
        Dialect::Libcurl => by_comma.filter_map(|e| e.split_whitespace().next()).map(str::to_owned).collect(),
        Dialect::Wget => by_comma.map(|e| e.trim_start().to_owned()).filter(|e| !e.is_empty()).collect(),
        _ => by_comma.map(|e| e.trim().to_owned()).filter(|e| !e.is_empty()).collect(),
    }
}

fn one(dialect: Dialect, entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return !matches!(dialect, Dialect::Wget | Dialect::Curl | Dialect::Libcurl);
    }
    let (entry, entry_port) = split_port(dialect, entry);
    if entry_port.is_some_and(|entry_port| entry_port != port) {
        return false;
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return of_address(dialect, entry, ip, entry_port.is_some());
    }
    of_name(dialect, entry, host)
}

/// Takes a port off the entry, where the client understands one.
fn split_port(dialect: Dialect, entry: &str) -> (&str, Option<u16>) {
    let understands = matches!(
        dialect,
        Dialect::Go | Dialect::Requests | Dialect::Urllib | Dialect::Httpx | Dialect::Undici | Dialect::Axios
    );
    let bare_v6 = entry.matches(':').count() > 1 && !entry.contains(']');
    match entry.rsplit_once(':') {
        Some((head, port)) if understands && !bare_v6 => match port.parse() {
            Ok(port) => (head, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn of_address(dialect: Dialect, entry: &str, ip: IpAddr, with_port: bool) -> bool {
    if with_port && dialect == Dialect::Requests {
        return false;
    }
    if dialect == Dialect::Axios && entry == "localhost" {
        return ip.is_loopback();
    }
    let plain = entry.trim_start_matches('[').trim_end_matches(']');
    if let Ok(other) = plain.parse::<IpAddr>() {
        return other == ip;
    }
    let reads_networks = match ip {
        IpAddr::V4(_) => matches!(
            dialect,
            Dialect::Curl
                | Dialect::Libcurl
                | Dialect::Go
                | Dialect::Requests
                | Dialect::Axios
                | Dialect::Reqwest
        ),
        IpAddr::V6(_) => {
            matches!(dialect, Dialect::Libcurl | Dialect::Go | Dialect::Axios | Dialect::Reqwest)
        }
    };
    reads_networks && plain.parse::<IpNet>().is_ok_and(|network| network.contains(&ip))
}

fn of_name(dialect: Dialect, entry: &str, host: &str) -> bool {
    let entry = if strips_final_dot(dialect) { entry.trim_end_matches('.') } else { entry };
    // `*.svc`: a suffix for some, nothing for the others.
    if let Some(suffix) = entry.strip_prefix('*') {
        let reads = matches!(dialect, Dialect::Go | Dialect::Axios | Dialect::Undici);
        return reads && suffix.starts_with('.') && host.ends_with(suffix);
    }
    if let Some(suffix) = entry.strip_prefix('.') {
        let itself = !matches!(dialect, Dialect::Go | Dialect::Wget | Dialect::Httpx | Dialect::Axios);
        return host.ends_with(entry) || (itself && host == suffix);
    }
    let exact_only = match dialect {
        Dialect::Axios => true,
        Dialect::Httpx => entry == "localhost",
        _ => false,
    };
    host == entry || (!exact_only && host.strip_suffix(entry).is_some_and(|head| head.ends_with('.')))
}

const fn strips_final_dot(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Curl | Dialect::Libcurl | Dialect::Axios)
}
