//! `--profile`: whose reading of what the API leaves open.

use clap::builder::{PossibleValuesParser, TypedValueParser as _, ValueParser};
use peerwalk_netpol::{HostNetwork, NamedPorts, Profile};

/// As np-guard reads it: blocks never apply to pods, host networking is ignored, IPv4 alone.
const NP_GUARD: Profile = Profile {
    name: "np-guard",
    ip_block_matches_pods: false,
    networks_match_pods: false,
    host_network: HostNetwork::AsPod,
    own_node: false,
    nodes: false,
    init_container_ports: false,
    named_ports: NamedPorts::First,
    ipv6: false,
    ..Profile::UPSTREAM
};

/// All of them.
const ALL: [Profile; 2] = [Profile::UPSTREAM, NP_GUARD];

/// Takes the name of a profile.
pub fn parser() -> ValueParser {
    let names = ALL.iter().map(|profile| profile.name);
    PossibleValuesParser::new(names).map(|name| named(&name)).into()
}

/// The profile of this name; the default where there is none.
fn named(name: &str) -> Profile {
    ALL.into_iter().find(|profile| profile.name == name).unwrap_or_default()
}
