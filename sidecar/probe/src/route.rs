//! The route stage: what the proxy variables of the application's containers mean for a URL, client by
//! client, as measured by driving the real clients.

mod dialect;
mod exceptions;
mod variables;

use peerwalk_model::evidence::{ProxyUse, Route};
use peerwalk_model::proxy::ProxyValue;

use crate::environment::ContainerEnv;
use crate::limits;
use crate::url::TargetUrl;
use dialect::Dialect;
use variables::Variables;

/// Which containers' variables send the URL to a proxy, for which clients.
pub(crate) fn route(url: &TargetUrl, containers: &[ContainerEnv]) -> Route {
    let (mut proxied, mut not_visible) = (Vec::new(), Vec::new());
    for container in containers {
        let uses = proxy_uses(url, container);
        // What an image sets decides only where the pod leaves a variable unset.
        let open = !container.complete && !Variables(&container.variables).settle(url.scheme);
        let room = limits::PROXIES.saturating_sub(proxied.len());
        if container.not_visible || (open && !uses.is_empty()) || uses.len() > room {
            not_visible.push(container.name.clone());
        }
        proxied.extend(uses.into_iter().take(room));
    }
    Route { proxied, not_visible }
}

/// Whether a client with these variables would use a proxy for the URL; the variable and its value.
fn proxy_for<'a>(
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

/// One entry for each proxy that some client would use.
fn proxy_uses(url: &TargetUrl, container: &ContainerEnv) -> Vec<ProxyUse> {
    let (mut uses, mut direct_clients) = (Vec::<ProxyUse>::new(), Vec::new());
    for dialect in Dialect::ALL {
        let client = dialect.name().to_owned();
        let Some((variable, value)) = proxy_for(url, *dialect, &container.variables) else {
            direct_clients.push(client);
            continue;
        };
        let ProxyValue { scheme, proxy, credentials } = ProxyValue::parse(value);
        if let Some(used) = uses.iter_mut().find(|used| used.scheme == scheme && used.proxy == proxy) {
            used.clients.push(client);
            used.credentials |= credentials;
            continue;
        }
        let exceptions = Variables(&container.variables).exceptions(*dialect);
        uses.push(ProxyUse {
            container: container.name.clone(),
            variable: variable.to_owned(),
            scheme,
            proxy,
            credentials,
            exceptions: exceptions.map(|(name, value)| (name.to_owned(), value.to_owned())),
            clients: vec![client],
            direct_clients: Vec::new(),
            entry: entry(&url.host),
        });
    }
    for used in &mut uses {
        used.direct_clients.clone_from(&direct_clients);
    }
    uses
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

#[cfg(test)]
mod tests;
