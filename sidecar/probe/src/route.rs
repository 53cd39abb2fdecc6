//! The route stage: what the proxy variables of the application's containers mean for a URL, client by
//! client, as measured by driving the real clients.

mod dialect;
mod exceptions;
mod variables;

use peerwalk_model::evidence::{ProxyUse, Route};

use crate::environment::ContainerEnv;
use crate::url::TargetUrl;
pub use dialect::Dialect;
use variables::Variables;

/// Which containers' variables send the URL to a proxy, for which clients.
pub fn route(url: &TargetUrl, containers: &[ContainerEnv]) -> Route {
    Route {
        proxied: containers.iter().filter_map(|container| proxy_use(url, container)).collect(),
        not_visible: containers.iter().filter(|c| c.not_visible).map(|c| c.name.clone()).collect(),
    }
}

/// Whether a client with these variables would use a proxy for the URL; the variable and its value.
pub fn proxy_for<'a>(
    url: &TargetUrl,
    dialect: Dialect,
    variables: &'a [(String, String)],
) -> Option<(&'a str, &'a str)> {
    let variables = Variables(variables);
    if dialect.never_proxies(&url.host) {
        return None;
    }
    let (name, proxy) = variables.proxy(dialect, url.scheme)?;
    let exceptions = variables.exceptions(dialect).map_or("", |(_, value)| value);
    (!exceptions::matches(dialect, exceptions, url)).then_some((name, proxy))
}

fn proxy_use(url: &TargetUrl, container: &ContainerEnv) -> Option<ProxyUse> {
    let (mut clients, mut direct_clients, mut used) = (Vec::new(), Vec::new(), None);
    for dialect in Dialect::ALL {
        match proxy_for(url, *dialect, &container.variables) {
            Some(found) => {
                clients.push(dialect.name().to_owned());
                used = used.or(Some((*dialect, found)));
            }
            None => direct_clients.push(dialect.name().to_owned()),
        }
    }
    let (dialect, (variable, value)) = used?;
    let exceptions = Variables(&container.variables).exceptions(dialect);
    Some(ProxyUse {
        container: container.name.clone(),
        variable: variable.to_owned(),
        proxy: host_and_port(value),
        exceptions: exceptions.map(|(name, value)| (name.to_owned(), value.to_owned())),
        clients,
        direct_clients,
        entry: entry(&url.host),
    })
}

/// The exception that makes every client go direct: a suffix with a leading dot, which all of them match,
/// for names of Services; the exact name otherwise. A network in CIDR form matches no name in any client.
fn entry(host: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    [".svc.cluster.local", ".svc"]
        .into_iter()
        .find(|suffix| host.ends_with(suffix))
        .map_or(host.clone(), str::to_owned)
}

/// The proxy without scheme, user information and path. The port of a proxy that names none is 80, or 443
/// for `https://`.
fn host_and_port(proxy: &str) -> String {
    let (scheme, rest) = proxy.trim().split_once("://").unwrap_or(("http", proxy.trim()));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port && !authority.ends_with(']') {
        return authority.to_owned();
    }
    format!("{authority}:{}", if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 })
}

#[cfg(test)]
mod tests;
