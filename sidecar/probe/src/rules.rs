//! Which addresses may be dialled. Checked after resolution, for every address, in one place: a name can
//! lead anywhere, and a sidecar must not become a way into its pod, its node or a cloud's metadata.

use std::net::{IpAddr, SocketAddr};

use peerwalk_model::address::{never_dialled, same_host};
use peerwalk_model::plan::{Control, TargetKind};

/// Who asks for the dials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DialRules {
    /// A plan from the operator: its addresses and scopes, and never the addresses of [`never_dialled`].
    #[default]
    Plan,
    /// A person at a command line, who could dial anything without us.
    Anything,
}

impl DialRules {
    /// Whether an address of the target may be dialled.
    ///
    /// A Service is dialled at the addresses and endpoints of the plan only, a URL within its scope, a name
    /// (`Dns`) not at all.
    pub fn permitted(self, remote: SocketAddr, kind: &TargetKind) -> bool {
        if self == Self::Anything {
            return true;
        }
        let ip = normal(remote.ip());
        if never_dialled(ip) {
            return false;
        }
        match kind {
            TargetKind::Service(service) => {
                let address =
                    remote.port() == service.port && service.addresses.iter().any(|a| normal(*a) == ip);
                let endpoint = |e: &SocketAddr| normal(e.ip()) == ip && e.port() == remote.port();
                address || service.endpoints.iter().any(endpoint)
            }
            TargetKind::Url(url) => {
                url.scope.any_address || url.scope.networks.iter().any(|network| network.contains(&ip))
            }
            TargetKind::Dns(_) => false,
        }
    }

    /// Whether a control may be dialled: the operator chose it, so only [`never_dialled`] stands against it.
    pub fn permitted_control(self, control: &Control) -> bool {
        self == Self::Anything || !never_dialled(control.address.ip())
    }

    /// Whether a proxy may be dialled: the application's own variables name it, so only [`never_dialled`] stands
    /// against it.
    pub fn permitted_proxy(self, ip: IpAddr) -> bool {
        self == Self::Anything || !never_dialled(ip)
    }

    /// Whether a proxy may be asked for a target whose name leads to these addresses: it goes there in our place, and
    /// finds out by itself where that is. A name that leads nowhere here may lead anywhere there, which takes a scope
    /// of any address. Checks may give a Service a hostname of their own: it must lead to the Service here, unless it
    /// is a Service's name (`name.namespace.svc`) anywhere.
    pub fn permitted_through(self, addresses: &[IpAddr], port: u16, kind: &TargetKind) -> bool {
        if self == Self::Anything {
            return true;
        }
        if addresses.iter().any(|ip| never_dialled(normal(*ip))) {
            return false;
        }
        match kind {
            TargetKind::Service(service) => {
                let own = |ip: &IpAddr| {
                    let ip = normal(*ip);
                    let mut all =
                        service.addresses.iter().copied().chain(service.endpoints.iter().map(SocketAddr::ip));
                    all.any(|known| normal(known) == ip)
                };
                let labels: Vec<&str> = service.hostname.trim_end_matches('.').split('.').collect();
                matches!(labels[..], [_, _, "svc"]) || addresses.iter().any(own)
            }
            TargetKind::Url(url) => {
                let permitted = |ip: &IpAddr| self.permitted(SocketAddr::new(*ip, port), kind);
                url.scope.any_address || addresses.iter().any(permitted)
            }
            TargetKind::Dns(_) => false,
        }
    }
}

/// The address as scopes and Services name it: an IPv6 address that is another way to write or reach one IPv4
/// host is that IPv4 address. A host behind a 6to4 router is not the router, and stays what it is.
fn normal(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => same_host(v6).map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests;
