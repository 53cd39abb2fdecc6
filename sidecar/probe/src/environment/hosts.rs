//! `hosts(5)`.

use std::net::IpAddr;

/// The addresses of a name, in the order of the file. Names compare without case and final dot.
pub(crate) fn lookup(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n\
        10.244.0.5 web-1 Web # 10.0.0.9 hidden\nnot-an-address web\n10.244.0.5 web\n";

    #[test]
    fn names_are_found_in_both_families_and_once() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(lookup(FILE, "localhost"), [ip("127.0.0.1"), ip("::1")]);
        assert_eq!(lookup(FILE, "WEB."), [ip("10.244.0.5")], "without case, without final dot, once");
        assert_eq!(lookup(FILE, "hidden"), Vec::<IpAddr>::new(), "comments hold no names");
    }
}
