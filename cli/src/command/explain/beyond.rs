//! What is left open about connections that the engine does not see: it is asked about them as they arrive.

use peerwalk_netpol::Decision;

use crate::flows::{Asked, Flows};

/// A point, by its code and in words.
pub type Point = (&'static str, &'static str);

const THROUGH_NODE: Point = (
    "throughNode",
    "whether policies see the source of a connection that a node takes for a Service, or the node's address in its place",
);

/// The point that may have decided.
pub fn point(flows: &Flows, decisions: &[Decision]) -> Option<Point> {
    let is_led_on = flows.asked.iter().zip(decisions).any(|(asked, decision)| is_led_on(asked, decision));
    is_led_on.then_some(THROUGH_NODE)
}

/// Nodes may put their own address for the source's. What no policy is asked about stays as it is.
fn is_led_on(asked: &Asked, decision: &Decision) -> bool {
    asked.via.as_ref().is_some_and(|via| via.through_node) && !decision.ingress.steps.is_empty()
}
