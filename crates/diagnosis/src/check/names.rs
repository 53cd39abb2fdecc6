//! What claims about names rest on, from the raw evidence.

use peerwalk_model::evidence::{Query, QueryOutcome, Resolve};
use peerwalk_model::{Observed, Reason, Verdict};

use super::claims::outlasts_the_watches;
use crate::case::{Case, PairEvidence};
use crate::facts::GRACE_OF_YOUNG_PODS;

/// What holds whatever the confidence.
pub(super) fn about_names(pair: &PairEvidence, verdict: &Verdict, must: &mut impl FnMut(bool, &str)) {
    if verdict.observed != Observed::Unreachable {
        return;
    }
    let resolve = pair.walk.resolve.as_ref();
    let queries = resolve.map_or(&[][..], |resolve| &resolve.queries);
    let late = |query: &Query| query.late.as_ref().is_some_and(QueryOutcome::is_from_server);
    match verdict.reason {
        Some(Reason::DnsSlow) => {
            let came = |query: &Query| query.outcome == QueryOutcome::Timeout && late(query);
            let spent = resolve.is_some_and(|resolve| resolve.spent && !resolve.addresses.is_empty());
            must(spent || queries.iter().any(came), "DnsSlow has an answer that came too late");
        }
        Some(Reason::DnsTimeout | Reason::DnsDenied) => {
            let open = queries.iter().filter(|query| !query.outcome.is_final());
            let answered = |open: &&Query| {
                let same = |query: &&Query| query.name == open.name && query.record == open.record;
                queries.iter().filter(same).any(|query| query.outcome.is_final())
            };
            must(
                !open.filter(|query| !answered(query)).any(late),
                "a name server that answers, however late, is neither dead nor denied",
            );
        }
        _ => {}
    }
}

/// The addresses are not the Service's, again and again.
pub(super) fn unexpected_address(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    let Some(service) = case.facts.service() else { return must(false, "only a Service has addresses") };
    let found = pair.walk.resolve.as_ref().map_or(&[][..], |resolve| &resolve.addresses);
    let own = |ip: &std::net::IpAddr| service.addresses.contains(&ip.to_canonical());
    must(!found.is_empty() && !service.addresses.is_empty(), "there are addresses to compare");
    must(!found.iter().any(own), "no address is the Service's");
    must(outlasts_the_watches(pair) && !young(case, pair), "what the name servers are late with is no fault");
}

/// Nothing else explains that the name is not found.
pub(super) fn not_there(case: &Case, pair: &PairEvidence, must: &mut impl FnMut(bool, &str)) {
    let of_service = |resolve: &Resolve| {
        let service = case.facts.service().filter(|service| service.found);
        let usual = |name: &str| {
            let (namespace, own) = name.split_once('/')?;
            Some(resolve.name.trim_end_matches('.') == format!("{own}.{namespace}.svc"))
        };
        service.and_then(|service| usual(&service.name)).unwrap_or(false)
    };
    let queries = pair.walk.resolve.as_ref().map_or(&[][..], |resolve| &resolve.queries);
    let spoke = |query: &Query| query.outcome.is_final() || query.outcome == QueryOutcome::Refused;
    must(queries.iter().all(spoke), "a name server that has not spoken may know the name");
    must(
        case.facts.unreadable_policy_kinds.is_empty(),
        "policies that cannot be read may have rules for names, and refuse the rest",
    );
    must(!case.facts.names_service, "a Service that is there has a name, whatever the target is");
    must(
        young(case, pair) || !pair.walk.resolve.as_ref().is_some_and(of_service),
        "a Service that is there has a name, whatever a server says",
    );
}

fn young(case: &Case, pair: &PairEvidence) -> bool {
    let at = case.facts.service().and_then(|service| service.changed);
    at.is_some_and(|at| at.plus(GRACE_OF_YOUNG_PODS) > pair.started)
}
