//! The prober's own trouble voids the walk, or what of it depends on time.

use peerwalk_model::evidence::{
    Dial, DialOutcome, DialPurpose, LocalTrouble, ProxyAttempt, QueryOutcome, Request, RequestOutcome,
    Shortage, Strain, Tls, TlsOutcome,
};
use peerwalk_model::reason::ReasonStage;
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Observed, Reason, Stage, Verdict};

use crate::address::{Address, Answer};
use crate::errno::{EACCES, EPERM};
use crate::view::View;

/// The sidecar had no query left to ask for the target's name.
pub(super) fn no_query_left(view: &View) -> Option<Verdict> {
    view.walk.local.as_ref().filter(|local| local.what == LocalTrouble::BUDGET)?;
    let fix = "longer intervals or fewer targets for this pod; a name with a final dot, or a smaller ndots in the pod's \
               dnsConfig, costs two queries instead of two for each suffix of the search list";
    Some(out_of_budget("DNS queries", Stage::Resolve, fix))
}

/// The sidecar had no connection left for any address of the target.
pub(super) fn no_dial_left(view: &View) -> Option<Verdict> {
    let dials = view.walk.connect.as_ref().map_or(&[][..], |connect| &connect.dials);
    let own = |dial: &&Dial| !matches!(dial.purpose, DialPurpose::Control | DialPurpose::Proxy);
    let mut own = dials.iter().filter(own).peekable();
    (own.peek().is_some() && own.all(|dial| dial.outcome == DialOutcome::Skipped)).then(|| {
        out_of_budget("connections", Stage::Connect, "longer intervals or fewer targets for this pod")
    })
}

fn out_of_budget(what: &str, stage: Stage, fix: &str) -> Verdict {
    let text = format!("the sidecar's own budget for {what} was spent, so that the target was not tried");
    let because = vec![Because::new(Topic::Local, text), Because::new(Topic::Fix, fix.to_owned())];
    Verdict::unknown(Reason::BudgetExceeded, stage, because)
}

/// The pod may not even open or bind a socket, whatever the address: that is asked of no network.
pub(super) fn no_permission(view: &View) -> Option<Verdict> {
    let trouble = view.walk.local.as_ref().filter(|local| matches!(local.errno, EPERM | EACCES))?;
    let text = format!("the prober may not use {} (errno {})", trouble.what, trouble.errno);
    Some(Verdict::unknown(Reason::LocalPermission, Stage::Connect, vec![Because::new(Topic::Local, text)]))
}

pub(super) fn prober_out_of_resources(view: &View) -> Option<Verdict> {
    if let Some(trouble) = &view.walk.local {
        return Some(void(format!("the prober ran out of {} (errno {})", trouble.what, trouble.errno)));
    }
    if view.addresses.iter().any(|address| address.answer.was_tried()) {
        return None;
    }
    view.addresses.iter().find_map(|address| match address.answer {
        Answer::Resources(errno) => Some(void(format!(
            "the kernel refused the prober a socket to {} (errno {errno})",
            address.remote
        ))),
        _ => None,
    })
}

fn void(text: String) -> Verdict {
    Verdict::unknown(Reason::LocalResources, Stage::Connect, vec![Because::new(Topic::Local, text)])
}

/// The verdict in the place of one that rests on something which did not come while the prober was kept from running:
/// it may have come, and nobody was there to see it. What passed has passed, and what came as an answer is true.
pub(crate) fn starved(view: &View, verdict: &Verdict) -> Option<Verdict> {
    view.walk.strain.as_ref().filter(|strain| strain.is_starved())?;
    let said = verdict.reason.map(Reason::stage);
    let known = matches!(said, Some(ReasonStage::Coverage | ReasonStage::Local));
    if verdict.observed == Observed::Reachable || known || !rests_on_time(view, verdict) {
        return None;
    }
    let text =
        "the prober was kept from running during the walk, so that what it got no answer to says nothing";
    let because = vec![Because::new(Topic::Local, text)];
    Some(Verdict::unknown(Reason::ProbeStarved, verdict.stage, because))
}

fn rests_on_time(view: &View, verdict: &Verdict) -> bool {
    let walk = view.walk;
    match verdict.stage {
        Stage::Resolve => {
            let answered = matches!(
                verdict.reason,
                Some(
                    Reason::DnsNameNotFound
                        | Reason::DnsNoData
                        | Reason::DnsRefused
                        | Reason::DnsServerFailure
                        | Reason::DnsUnexpectedAddress
                )
            );
            let mut queries = walk.resolve.iter().flat_map(|resolve| &resolve.queries);
            // Who was kept from running finds every server slow.
            let slow = verdict.reason == Some(Reason::DnsSlow);
            slow || (!answered && queries.any(|query| query.outcome == QueryOutcome::Timeout))
        }
        Stage::Route => walk.proxied.as_ref().is_some_and(proxy_did_not_answer),
        Stage::Connect => {
            let silent = |address: &&Address| matches!(address.answer, Answer::Silent | Answer::Mixed { .. });
            let failed = |address: &&Address| address.answer.was_tried() && !address.answer.works();
            let failing = || view.addresses.iter().filter(failed);
            match verdict.reason {
                // What these say they say of an answer, whatever else was silent.
                Some(
                    Reason::Filtered
                    | Reason::ConnectionRefused
                    | Reason::ConnectionReset
                    | Reason::HostUnreachable
                    | Reason::NetworkUnreachable
                    | Reason::RoutingLoop
                    | Reason::InterceptedLocally,
                ) => failing().all(|address| silent(&address)),
                // And these of the Service's own address, where it was dialled.
                Some(Reason::NoEndpoints | Reason::NoLocalEndpoints | Reason::ServiceNotProgrammed) => {
                    let own = || failing().filter(|address| address.purpose == DialPurpose::ServiceAddress);
                    if own().next().is_some() {
                        own().any(|a| silent(&a))
                    } else {
                        failing().any(|a| silent(&a))
                    }
                }
                _ => failing().any(|address| silent(&address)),
            }
        }
        Stage::Tls | Stage::Request => no_answer(walk.tls.as_ref(), walk.request.as_ref()),
    }
}

fn no_answer(tls: Option<&Tls>, request: Option<&Request>) -> bool {
    tls.is_some_and(|tls| tls.outcome == TlsOutcome::Timeout)
        || request.is_some_and(|request| request.outcome == RequestOutcome::NoResponse)
}

fn proxy_did_not_answer(attempt: &ProxyAttempt) -> bool {
    let any = |wanted: fn(&Dial) -> bool| attempt.dials.iter().any(wanted);
    let connected = any(|dial| matches!(dial.outcome, DialOutcome::Connected { .. }));
    if !connected {
        return any(|dial| dial.outcome == DialOutcome::Silent);
    }
    let said_nothing = attempt.connect_status.is_none() && attempt.request.is_none();
    said_nothing || no_answer(attempt.tls.as_ref(), attempt.request.as_ref())
}

/// What the prober is about to run out of, where a walk has failed.
pub(crate) fn shortage(strain: &Strain) -> Option<Because> {
    let text = match strain.shortage()? {
        Shortage::Descriptors => "the prober has hardly any file descriptors left",
        Shortage::Ports => {
            "more than half of the pod's ephemeral ports are in TIME_WAIT: new connections to busy addresses become \
             slow and may fail"
        }
    };
    Some(Because::new(Topic::Local, text))
}
