//! Evidence in, verdict out: one file a scenario, in a folder named after the code.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // All of it is test code.

use std::path::Path;

use peerwalk_diagnosis::scenario::{Expected, Scenario};
use peerwalk_diagnosis::{Case, Run, Thresholds, check, judge, outcome};
use peerwalk_model::Verdict;

fn run(path: &Path) -> datatest_stable::Result<()> {
    let scenario = Scenario::read(&std::fs::read_to_string(path)?)?;
    let (about, expected) = (scenario.about.clone(), scenario.verdict.clone());
    let situation = scenario.situation();
    let case = situation.case();
    let verdict = judge(&case);
    compare(&about, &case, &expected, &verdict, &situation.explained(&verdict));
    Ok(())
}

fn compare(about: &str, case: &Case, expected: &Expected, verdict: &Verdict, explained: &str) {
    let found = (verdict.observed, verdict.reason, verdict.stage, verdict.confidence);
    let wanted = (expected.observed, expected.reason, expected.stage, expected.confidence);
    assert_eq!(found, wanted, "{about}\n{explained}");
    let policy = verdict.policy.as_ref().map(|policy| {
        let rule = policy.rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
        format!("{}/{} {}{rule}", policy.namespace, policy.name, policy.direction)
    });
    assert_eq!(policy, expected.policy, "the policy: {about}\n{explained}");
    let lines: Vec<String> =
        verdict.because.iter().map(|line| format!("{} {}", line.topic, line.text)).collect();
    for part in &expected.says {
        assert!(lines.iter().any(|line| line.contains(part)), "says {part:?}: {about}\n{explained}");
    }
    for part in &expected.never_says {
        assert!(!lines.iter().any(|line| line.contains(part)), "never says {part:?}: {about}\n{explained}");
    }
    let run = Run { failures: 1, successes: 1, ..Run::default() };
    let found = outcome(case.expect, verdict, run, Thresholds::default());
    assert_eq!(found, expected.outcome, "the outcome of the first walk: {about}\n{explained}");
    assert_eq!(check(case, verdict), Vec::new(), "no invariant is broken: {about}\n{explained}");
    assert_eq!(&judge(case), verdict, "the same case gives the same verdict: {about}");
}

datatest_stable::harness! {
    { test = run, root = "tests/scenarios", pattern = r"\.yaml$" },
}
