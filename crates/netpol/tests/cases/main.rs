//! Our own cases: small clusters in YAML, with what is said of flows in them. Each file is one point of
//! `docs/policy-semantics.md`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

mod case;

use std::fs;
use std::path::Path;

use case::{Case, Expected};
use peerwalk_netpol::{Decision, Direction, Profile, evaluate};

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut flows = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a case is readable");
        let case: Case = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let index = case.index();
        for (position, expected) in case.flows.iter().enumerate() {
            let flow = case.flow(expected);
            let at = format!("{name}, flow {} ({flow})", position + 1);
            flows += 1;
            let decision = evaluate(&index, &flow, &Profile::UPSTREAM);
            compare(&at, &decision, expected, &mut wrong);
            for (profile, verdict) in &expected.profiles {
                let profile =
                    Profile::by_name(profile).unwrap_or_else(|| panic!("{at}: no profile {profile}"));
                let decision = evaluate(&index, &flow, &profile);
                if decision.verdict != *verdict {
                    wrong.push(format!("{at} with {}: {decision}", profile.name));
                }
            }
        }
    }
    assert!(flows > 0, "there are cases");
    assert!(wrong.is_empty(), "expected otherwise:\n{}", wrong.join("\n"));
}

fn compare(at: &str, decision: &Decision, expected: &Expected, wrong: &mut Vec<String>) {
    let mut differs = |what: &str, is: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
        wrong.push(format!("{at}: {what} is {is:?}, expected {wanted:?}: {decision}"));
    };
    if decision.verdict != expected.expect {
        differs("verdict", &decision.verdict, &expected.expect);
    }
    if decision.caveats != expected.caveats {
        differs("caveats", &decision.caveats, &expected.caveats);
    }
    if decision.is_undecided() != expected.undecided {
        differs("undecided", &decision.is_undecided(), &expected.undecided);
    }
    let told = [(Direction::Egress, &expected.egress), (Direction::Ingress, &expected.ingress)];
    for (direction, sentence) in told {
        let is = decision.sentence(direction).to_string();
        if let Some(sentence) = sentence
            && is != *sentence
        {
            differs("sentence", &is, sentence);
        }
    }
    let chain = |direction| {
        let chain = decision.direction(direction).chain();
        let steps = chain.flat_map(|(tier, steps)| steps.iter().map(move |step| (tier, step)));
        let told = steps.map(|(tier, step)| {
            let matched = step.matching().next();
            let matched =
                matched.map_or("none".to_owned(), |rule| format!("{} {:?}", rule.index, rule.action));
            format!("{tier:?} {}: {matched}", step.policy)
        });
        told.collect::<Vec<String>>()
    };
    if let Some(wanted) = &expected.egress_chain
        && chain(Direction::Egress) != *wanted
    {
        differs("egress chain", &chain(Direction::Egress), wanted);
    }
    let denying = decision.denying().map(|direction| decision.direction(direction));
    let miss = denying.and_then(|decided| decided.nearest_miss()).map(ToString::to_string);
    if expected.miss.is_some() && miss != expected.miss {
        differs("nearest miss", &miss, &expected.miss);
    }
    let fixes: Vec<String> = decision.fixes().iter().map(ToString::to_string).collect();
    if let Some(wanted) = &expected.fixes
        && fixes != *wanted
    {
        differs("fixes", &fixes, wanted);
    }
}
