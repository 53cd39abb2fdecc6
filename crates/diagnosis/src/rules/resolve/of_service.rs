//! The name of a Service, held against the Service: what the cluster knows is there must be found, and where it is.

use std::net::IpAddr;

use peerwalk_model::evidence::{Resolve, ResolveSource};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Verdict};

use crate::facts::{GRACE_OF_YOUNG_PODS, ServiceFacts};
use crate::rules::unreachable;
use crate::view::View;

/// The domain of clusters, unless they are given another (`clusterDomain` of the kubelet).
const DOMAIN: &str = "cluster.local";

/// The Service's name leads to addresses that are none of its own, so applications reach something else.
pub(crate) fn unexpected_address(view: &View) -> Option<Verdict> {
    let service = view.facts.service().filter(|service| !service.addresses.is_empty())?;
    let resolve = view.walk.resolve.as_ref().filter(|resolve| is_name_of(service, &resolve.name))?;
    let belongs = |ip: &IpAddr| service.addresses.contains(&ip.to_canonical());
    if resolve.addresses.is_empty() || resolve.addresses.iter().any(belongs) {
        return None;
    }
    let text = format!("{} does not lead to an address of Service {}", resolve.name, service.name);
    let mut because =
        vec![Because::new(Topic::Service, text), Because::new(Topic::Service, whose(service, resolve))];
    let confidence = if changed(view, service) {
        let text = format!(
            "Service {} or its endpoints changed a moment ago: name servers may not have it yet",
            service.name
        );
        because.push(Because::new(Topic::Missing, text));
        Confidence::Suspected
    } else if view.outlasts_the_watches() {
        Confidence::Confirmed
    } else {
        because.push(Because::new(Topic::Missing, "a later walk that is led to the same decides"));
        Confidence::Likely
    };
    Some(unreachable(Reason::DnsUnexpectedAddress, Stage::Resolve, confidence, because))
}

/// Where the answer comes from.
fn whose(service: &ServiceFacts, resolve: &Resolve) -> String {
    if resolve.source == ResolveSource::HostsFile {
        return "the pod's hosts file has the name (hostAliases), and comes before every name server".into();
    }
    match resolve.answered.as_deref().map(|name| name.trim_end_matches('.')) {
        Some(answered) if !in_full(service, resolve, answered) => format!(
            "{answered} answered, which is another name of the search list: the Service's own is not reached, unless it \
             is written out with a final dot"
        ),
        _ => "the name server has another record for it: a stale one, or one that comes before the cluster's"
            .into(),
    }
}

/// What is said, and with what confidence, where a Service that has been there for long is not found by its name: a
/// name server of the cluster would find it.
pub(super) fn exists(view: &View, resolve: &Resolve, because: &mut Vec<Because>) -> Confidence {
    if view.facts.names_service {
        let text = format!(
            "{} is the name of a Service that exists: the answer is the name server's doing, or that of a DNS proxy on the \
             way, or no name of the search list is the Service's own",
            resolve.name
        );
        because.push(Because::new(Topic::Service, text));
        return Confidence::Likely;
    }
    let known = view.facts.service().filter(|service| service.found && !changed(view, service));
    let Some(service) = known.filter(|service| is_name_of(service, &resolve.name)) else {
        return Confidence::Confirmed;
    };
    let (lead, fix) = if resolve.queries.iter().any(|query| in_full(service, resolve, &query.name)) {
        (
            "the answer is the name server's doing, or that of a DNS proxy on the way, as network plugins with rules for \
             names have",
            "look at the rules for names of the network plugin, and whether the name servers serve the cluster's domain \
             and reach the API server",
        )
    } else {
        (
            "no name of the search list is the Service's own, so no name server could find it",
            "set dnsPolicy ClusterFirst, or ClusterFirstWithHostNet for a pod with hostNetwork, or write the name out",
        )
    };
    because.push(Because::new(Topic::Service, format!("Service {} exists: {lead}", service.name)));
    because.push(Because::new(Topic::Fix, fix));
    Confidence::Likely
}

/// The Service or its endpoints changed within the time that name servers keep answers.
fn changed(view: &View, service: &ServiceFacts) -> bool {
    service.changed.is_some_and(|at| at.plus(GRACE_OF_YOUNG_PODS) > view.pair.started)
}

/// Whether a name, in any of the forms that applications write, is the Service's own; of other domains nobody here
/// knows what they are.
fn is_name_of(service: &ServiceFacts, name: &str) -> bool {
    let Some((namespace, own)) = service.name.split_once('/') else { return false };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let short = format!("{own}.{namespace}");
    [own.to_owned(), short.clone(), format!("{short}.svc"), format!("{short}.svc.{DOMAIN}")].contains(&name)
}

/// Whether it is the Service's name with the cluster's domain behind it, and not another name of the search list.
fn in_full(service: &ServiceFacts, resolve: &Resolve, name: &str) -> bool {
    let Some((namespace, own)) = service.name.split_once('/') else { return false };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let Some(domain) = name.strip_prefix(&format!("{own}.{namespace}.svc.")) else { return false };
    domain == DOMAIN || resolve.queries.iter().any(|query| domain_of(resolve, &query.name) == Some(domain))
}

/// The domain that the search list has behind a namespace (`shop.svc.DOMAIN`), by one of the names asked for.
fn domain_of<'a>(resolve: &Resolve, asked: &'a str) -> Option<&'a str> {
    let suffix =
        asked.trim_end_matches('.').strip_prefix(resolve.name.trim_end_matches('.'))?.strip_prefix('.')?;
    let (namespace, domain) = suffix.split_once(".svc.")?;
    (!namespace.contains('.')).then_some(domain)
}
