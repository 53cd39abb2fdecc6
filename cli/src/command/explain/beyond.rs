//! What is left open about connections that the engine does not see: it is asked about them as they arrive.

use peerwalk_netpol::{Decision, PeerDifference};

use crate::flows::{Asked, Flows};

/// A point, by its code and in words.
pub type Point = (&'static str, &'static str);

const UNPLACED: Point = ("podAddressUnknown", "whether a block holds the address of a pod that has none yet");

const THROUGH_NODE: Point = (
    "throughNode",
    "whether policies see the source of a connection that a node takes for a Service, or the node's address in its place",
);

/// The points that may have decided.
pub fn points(flows: &Flows, decisions: &[Decision]) -> Vec<Point> {
    let mut found = Vec::new();
    if are_unplaced(decisions) {
        found.push(UNPLACED);
    }
    if flows.asked.iter().zip(decisions).any(|(asked, decision)| is_led_on(asked, decision)) {
        found.push(THROUGH_NODE);
    }
    found
}

/// Nodes may put their own address for the source's, and some translate before policies for egress see it. What no policy
/// is asked about stays as it is.
fn is_led_on(asked: &Asked, decision: &Decision) -> bool {
    asked.via.as_ref().is_some_and(|via| via.through_node) && !decision.ingress.steps.is_empty()
}

/// Where a block could have decided of a pod whose address is not known: a denial is then one without it.
fn are_unplaced(decisions: &[Decision]) -> bool {
    let outside = |difference: &PeerDifference| match difference {
        PeerDifference::OutsideBlock { address, .. } | PeerDifference::OutsideNetworks { address, .. } => {
            address.is_unspecified()
        }
        _ => false,
    };
    decisions.iter().any(|decision| {
        decision.denying_directions().any(|direction| {
            let steps = &decision.direction(direction).steps;
            steps.iter().flat_map(|step| &step.rules).flat_map(|rule| &rule.peer).any(outside)
        })
    })
}
