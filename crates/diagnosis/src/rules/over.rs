//! A router says that the packets' time is over: they go in circles, or may not go far enough.

use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Verdict};

use super::connect::plain;
use crate::address::Address;
use crate::trail::Trail;
use crate::view::View;

/// What it says of the addresses `these`, among all that fail.
pub(super) fn time_exceeded(view: &View, these: &[&Address], failing: &[&Address]) -> Verdict {
    let trails: Vec<Trail> = these.iter().map(|address| Trail::of(view, address)).collect();
    // Hops are asked for by packets with limits of their own: the pod's has no part in a circle that they show.
    let short = |trail: &Trail| trail.is_short() && trail.circle().is_none();
    let short: Vec<&Address> =
        these.iter().zip(&trails).filter(|(_, trail)| short(trail)).map(|(address, _)| *address).collect();
    if !short.is_empty() {
        return too_short(view, &short, failing);
    }
    let shown = trails.iter().all(|trail| trail.circle().is_some() && !trail.is_short());
    let passed_on = trails.iter().all(Trail::is_passed_on);
    let confidence = match (shown, passed_on) {
        (true, _) => Confidence::Confirmed,
        (false, true) => Confidence::Likely,
        (false, false) => Confidence::Suspected,
    };
    let mut verdict = plain(view, Reason::RoutingLoop, confidence, these, failing);
    if !shown && !passed_on {
        let text = "no two routers answered packets that may go a few hops, which would tell a circle from a router that gives \
                    every packet too few";
        verdict.because.push(Because::new(Topic::Missing, text));
    }
    let open = trails.iter().filter(|trail| trail.circle().is_none());
    let doubts: Vec<String> = open.filter_map(Trail::is_no_circle).collect();
    if doubts.is_empty() {
        return verdict;
    }
    verdict.because.extend(doubts.into_iter().map(|text| Because::new(Topic::Missing, text)));
    Verdict::unknown(Reason::RoutingLoop, Stage::Connect, verdict.because)
}

/// The pod's own packets may not go far enough.
pub(super) fn too_short(view: &View, these: &[&Address], failing: &[&Address]) -> Verdict {
    let mut verdict = plain(view, Reason::HostUnreachable, Confidence::Likely, these, failing);
    let trails: Vec<Trail> = these.iter().map(|address| Trail::of(view, address)).collect();
    if !trails.iter().all(Trail::is_too_short) {
        let text = "whether packets that may go further are answered would tell a limit that is too small from routes that \
                    lead nowhere";
        verdict.because.push(Because::new(Topic::Missing, text));
    }
    verdict
}
