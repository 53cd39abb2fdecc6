//! The catalogue of reasons as a page: `docs/reasons.md` is made from it.

use std::fmt::Write as _;

use peerwalk_model::Reason;
use peerwalk_model::reason::ReasonStage;

/// Heading and introduction of each stage, in the order of the page.
const STAGES: [(ReasonStage, &str, &str); 7] = [
    (ReasonStage::Resolve, "Resolve", "Name to addresses."),
    (ReasonStage::Route, "Route", "Direct, or through a proxy that the application's variables name."),
    (ReasonStage::Connect, "Connect", "TCP to the Service's address and its endpoints."),
    (ReasonStage::Tls, "TLS", "The handshake."),
    (ReasonStage::Request, "Request", "The HTTP exchange."),
    (ReasonStage::Local, "Local", "The prober's own trouble. It says nothing about the network."),
    (ReasonStage::Coverage, "Coverage", "Something is missing: pods, sidecars, the target, proof."),
];

/// The whole page, in Markdown. Generated, so that it cannot differ from what the program says.
pub fn reasons_markdown() -> String {
    let mut page = String::from(
        "<!-- Generated from crates/model/src/reason.rs by `cargo xtask generate`. Do not edit. -->\n\n\
         # Reason codes\n\n\
         Every code that can appear in a condition, a status row or an event, with what it means, the evidence \
         it takes and what to do.\n",
    );
    for (stage, heading, introduction) in STAGES {
        let _ = write!(page, "\n## {heading}\n\n{introduction}\n");
        for reason in Reason::ALL.iter().filter(|reason| reason.stage() == stage) {
            let _ = write!(
                page,
                "\n### `{}`\n\n{}\n\n- **Evidence:** {}\n- **What to do:** {}\n",
                reason.code(),
                reason.meaning(),
                reason.evidence(),
                reason.remedy()
            );
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_entry() {
        let page = reasons_markdown();
        for reason in Reason::ALL {
            let heading = format!("### `{reason}`\n");
            assert_eq!(page.matches(&heading).count(), 1, "{reason} has one heading");
            assert!(page.contains(reason.remedy()), "{reason} says what to do");
        }
    }
}
