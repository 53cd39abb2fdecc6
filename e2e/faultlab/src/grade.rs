//! Whether what was said is what a case expects.

use std::time::Duration;

use serde_json::Value;

use crate::case::{Expect, Setting, Words};

/// What the time of an answer may exceed on a machine with other work, before it counts as too late.
const SLACK: Duration = Duration::from_millis(500);

/// What was said of a case, against what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// What the case expects, in time.
    Right,
    /// Nothing certain, where something could have been said.
    Unknown,
    /// Something else that is no confident cause: the right one too late, or less sure, or another stage.
    Off,
    /// Another cause, confidently.
    Wrong,
}

/// What came of a case in one setting.
#[derive(Clone, Debug)]
pub struct Played {
    /// The first of the codes that are right.
    pub expected: String,
    /// The code that was given, or the result where there was none.
    pub given: String,
    /// How right it is.
    pub grade: Grade,
    /// How long it took to say it.
    pub elapsed: Duration,
    /// What is not as expected, for people.
    pub complaints: Vec<String>,
    /// How often it was played before, and the machine kept the probe from running.
    pub again: u32,
}

/// An answer, whoever gave it.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// `result`, `reason`, `stage`, `confidence`, by a cluster also `outcome` and `policy`.
    pub(crate) words: Value,
    /// What pointers of the case lead into.
    pub(crate) evidence: Value,
    /// The explanation.
    pub(crate) because: String,
    /// What people are shown who have to find out why it is not right.
    pub(crate) shown: String,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl Said {
    pub(crate) fn word(&self, name: &str) -> &str {
        self.words[name].as_str().unwrap_or("none")
    }

    /// Whether it names a cause, or none, so that people would act on it. A status tells no confidence of what is as
    /// expected.
    pub(crate) fn is_confident(&self) -> bool {
        self.word("result") != "Unknown" && self.word("confidence") != "suspected"
    }
}

/// Holds an answer against what is expected.
pub(crate) fn grade(expect: &Expect, setting: Setting, said: &Said) -> Played {
    let mut complaints = Vec::new();
    let mut held = |name: &str, words: &Words| {
        let (right, word) = (words.has(said.word(name)), said.word(name));
        if !right {
            complaints.push(format!("{name} {word} instead of {}", words.first()));
        }
        right
    };
    // A denial that is not proven is called unreachable: less sure, and no other cause.
    let failing = ["Denied", "Unreachable"];
    let right_result = held("result", &expect.result)
        || failing.contains(&said.word("result")) && failing.iter().any(|word| expect.result.has(word));
    let right_reason = held("reason", &expect.reason);
    held("stage", &expect.stage);
    held("confidence", &expect.confidence);
    for (name, words) in [("outcome", &expect.outcome), ("policy", &expect.policy)] {
        words.as_ref().map(|words| held(name, words));
    }
    let within = Duration::from_secs_f64(expect.within);
    if said.elapsed > within + SLACK {
        complaints.push(format!("{} ms instead of {}", said.elapsed.as_millis(), within.as_millis()));
    }
    for (pointer, wanted) in &expect.evidence {
        let wanted = setting.fill_value(wanted.clone());
        let found = said.evidence.pointer(pointer).unwrap_or(&Value::Null);
        if *found != wanted {
            complaints.push(format!("{pointer} is {found} instead of {wanted}"));
        }
    }
    for words in expect.because.iter().map(|words| setting.fill(words)) {
        if !said.because.contains(&words) {
            complaints.push(format!("nothing says {words:?}"));
        }
    }
    let grade = if complaints.is_empty() {
        Grade::Right
    } else if !said.is_confident() {
        Grade::Unknown
    } else if right_result && right_reason || is_hidden(expect, said) {
        Grade::Off
    } else {
        Grade::Wrong
    };
    if grade != Grade::Right {
        complaints.push(said.shown.clone());
    }
    let code = if said.word("reason") == "none" { said.word("result") } else { said.word("reason") };
    Played {
        expected: expect.reason.first().to_owned(),
        given: code.to_owned(),
        grade,
        elapsed: said.elapsed,
        complaints,
        again: 0,
    }
}

/// Whether other traffic may have hidden the cause, so that what is left of it is said.
fn is_hidden(expect: &Expect, said: &Said) -> bool {
    said.word("result") == "Unreachable" && expect.loaded.iter().any(|code| code == said.word("reason"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lab::Topology;

    fn graded(loaded: &str, result: &str, reason: &str, confidence: &str) -> Grade {
        let text = format!(
            "{{result: Unknown, reason: RoutingLoop, stage: Connect, confidence: suspected, within: 1, loaded: [{loaded}]}}"
        );
        let expect: Expect = serde_saphyr::from_str(&text).unwrap();
        let words = json!({"result": result, "reason": reason, "stage": "Connect", "confidence": confidence});
        let said = Said {
            words,
            evidence: Value::Null,
            because: String::new(),
            shown: String::new(),
            elapsed: Duration::ZERO,
        };
        grade(&expect, Setting { topology: Topology::Routed, v6: false }, &said).grade
    }

    #[test]
    fn what_other_traffic_hides_excuses_no_other_claim() {
        for (loaded, result, reason, confidence, expected) in [
            ("", "Unknown", "RoutingLoop", "suspected", Grade::Right),
            ("", "Unreachable", "RoutingLoop", "suspected", Grade::Unknown),
            ("", "Unreachable", "RoutingLoop", "likely", Grade::Wrong),
            ("", "Unreachable", "ConnectTimeout", "likely", Grade::Wrong),
            ("ConnectTimeout", "Unreachable", "ConnectTimeout", "likely", Grade::Off),
            ("ConnectTimeout", "Unreachable", "RoutingLoop", "likely", Grade::Wrong),
            ("ConnectTimeout", "Reachable", "none", "none", Grade::Wrong),
        ] {
            assert_eq!(
                graded(loaded, result, reason, confidence),
                expected,
                "{loaded} {result} {reason} {confidence}"
            );
        }
    }
}
