//! Which policies that could not be read may turn an answer.

use std::collections::BTreeSet;

use peerwalk_model::Direction;
use peerwalk_netpol::{Caveat, Decision, PolicyIndex, PolicyRef};

/// Those of the cluster, and of the namespaces of the pods that are subject, where one may decide.
pub fn policies(index: &PolicyIndex, decisions: &[Decision]) -> Vec<String> {
    let mut found: BTreeSet<&PolicyRef> = BTreeSet::new();
    for decision in decisions {
        let ends =
            [(Direction::Egress, &decision.flow.source), (Direction::Ingress, &decision.flow.destination)];
        for (direction, subject) in ends {
            if !decision.direction(direction).caveats.contains(&Caveat::UnreadablePolicy) {
                continue;
            }
            found.extend(index.unreadable(""));
            if let Some(pod) = subject.as_pod() {
                found.extend(index.unreadable(&pod.namespace));
            }
        }
    }
    found.into_iter().map(ToString::to_string).collect()
}
