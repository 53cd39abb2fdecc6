//! The catalogue of reasons as pages: `docs/reasons.md` and `docs/reasons/CODE.md` are made from it.

mod similar;

use std::fmt::Write as _;

use peerwalk_model::Reason;
use peerwalk_model::reason::ReasonStage;

use similar::SIMILAR;

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

/// Codes that the operator gives without a walk, so that there is none to show.
pub const WITHOUT_WALK: [Reason; 2] = [Reason::NoSourcePods, Reason::NotReadable];

const GENERATED: &str =
    "<!-- Generated from crates/model/src/reason.rs by `cargo xtask generate`. Do not edit. -->\n\n";

/// A scenario that a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What it is about, in a sentence without its full stop.
    pub about: String,
    /// What [`explain`](crate::explain()) prints of it.
    pub walk: String,
}

/// The index of all codes, in Markdown. Generated, so that it cannot differ from what the program says.
pub fn reasons_markdown() -> String {
    let mut page = format!(
        "{GENERATED}# Reason codes\n\n\
         Every code that can appear in a condition, a status row or an event. Its page says what it means, what to \
         do, the evidence it takes, and what else looks like it.\n\n\
         `confirmed` means that every other explanation we know of is excluded; `likely` and `suspected` say which \
         is not.\n"
    );
    for (stage, heading, introduction) in STAGES {
        let _ = write!(page, "\n## {heading}\n\n{introduction}\n\n| code | meaning |\n|---|---|\n");
        for reason in Reason::ALL.iter().filter(|reason| reason.stage() == stage) {
            let _ = writeln!(page, "| [`{reason}`](reasons/{reason}.md) | {} |", reason.meaning());
        }
    }
    page
}

/// The page of one code, in Markdown: in the order in which somebody asks who was woken by it.
pub fn reason_markdown(reason: Reason, example: Option<&Example>) -> String {
    let mut page = format!(
        "{GENERATED}# {reason}\n\n{}\n\n**What to do:** {}\n\n## How it is found\n\n{}\n\n## Example\n\n",
        reason.meaning(),
        reason.remedy(),
        reason.evidence(),
    );
    let _ = match example {
        Some(example) => {
            write!(page, "{}:\n\n```text\n{}\n```\n", capital(&example.about), example.walk.trim_end())
        }
        None => writeln!(page, "There is no walk to show: the conditions of the check say it."),
    };
    let alike = SIMILAR.iter().filter(|(_, codes)| codes.contains(&reason));
    for (number, (seen, codes)) in alike.enumerate() {
        let heading = if number == 0 { "\n## What looks similar\n" } else { "" };
        let _ = write!(page, "{heading}\n{seen}:\n\n");
        for other in codes.iter().filter(|other| **other != reason) {
            let _ = writeln!(
                page,
                "- [`{other}`]({other}.md): {} It takes: {}",
                other.meaning(),
                small(other.evidence())
            );
        }
    }
    page.push_str("\n[All codes](../reasons.md)\n");
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// With a small letter in front, unless it begins with an abbreviation or an identifier.
fn small(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    let plain = word.chars().skip(1).all(|letter| !letter.is_uppercase());
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if plain => format!("{}{}", first.to_lowercase(), letters.as_str()),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_has_every_reason_once() {
        let page = reasons_markdown();
        for reason in Reason::ALL {
            let link = format!("| [`{reason}`](reasons/{reason}.md) | {} |\n", reason.meaning());
            assert_eq!(page.matches(&link).count(), 1, "{reason} has one line");
        }
    }

    #[test]
    fn a_page_has_everything_in_the_order_of_need() {
        let example = Example { about: "silence".into(), walk: "shop/web → x\n  connect  silent\n".into() };
        for reason in Reason::ALL {
            let page = reason_markdown(*reason, Some(&example));
            let title = format!("# {reason}\n\n{}\n", reason.meaning());
            let parts = [
                &title,
                reason.remedy(),
                reason.evidence(),
                "Silence:\n\n```text\nshop/web → x\n  connect  silent\n```\n",
                "[All codes](../reasons.md)",
            ];
            let places: Vec<_> = parts.iter().map(|part| page.find(part)).collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {page}");
        }
    }

    #[test]
    fn what_looks_similar_leads_back() {
        for (seen, codes) in SIMILAR {
            assert!(codes.len() > 1, "{seen}: one code alone looks like nothing else");
            for code in *codes {
                let page = reason_markdown(*code, None);
                for other in codes.iter().filter(|other| *other != code) {
                    assert!(page.contains(&format!("({other}.md)")), "{code} leads to {other}");
                }
                assert!(!page.contains(&format!("({code}.md)")), "{code} is not similar to itself");
            }
        }
    }

    #[test]
    fn letters_are_made_small_where_a_word_begins() {
        for (text, expected) in [
            ("Silence, at last.", "silence, at last."),
            ("A TCP RST.", "a TCP RST."),
            ("NXDOMAIN for it.", "NXDOMAIN for it."),
            ("internalTrafficPolicy is Local.", "internalTrafficPolicy is Local."),
        ] {
            assert_eq!(small(text), expected);
        }
    }
}
