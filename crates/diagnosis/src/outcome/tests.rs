//! Every cell of expectation, verdict and run.

use peerwalk_model::Stage;

use super::*;

fn verdict(observed: Observed, confidence: Confidence) -> Verdict {
    Verdict {
        observed,
        confidence,
        reason: (observed != Observed::Reachable).then_some(Reason::Dropped),
        ..Verdict::unknown(Reason::Dropped, Stage::Connect, Vec::new())
    }
}

fn run(failures: u32, successes: u32, previous: Option<Outcome>) -> Run {
    Run { failures, successes, previous, decided: previous }
}

#[test]
fn only_what_is_confirmed_violates_by_itself() {
    use Confidence::{Confirmed, Likely, Suspected};
    use Expectation::{Denied, Reachable};
    for (expect, observed, confidence, expected) in [
        (Reachable, Observed::Reachable, Suspected, Says::Met),
        (Reachable, Observed::Denied, Confirmed, Says::Violated),
        (Reachable, Observed::Unreachable, Confirmed, Says::Violated),
        (Reachable, Observed::Unreachable, Likely, Says::SeemsViolated),
        (Reachable, Observed::Unreachable, Suspected, Says::Waits),
        (Reachable, Observed::Unknown, Suspected, Says::Nothing),
        (Denied, Observed::Denied, Confirmed, Says::Met),
        (Denied, Observed::Reachable, Confirmed, Says::Violated),
        (Denied, Observed::Reachable, Likely, Says::SeemsViolated),
        (Denied, Observed::Reachable, Suspected, Says::Waits),
        (Denied, Observed::Unreachable, Confirmed, Says::Nothing),
        (Denied, Observed::Unreachable, Suspected, Says::Nothing),
        (Denied, Observed::Unknown, Suspected, Says::Nothing),
    ] {
        let said = says(expect, &verdict(observed, confidence));
        assert_eq!(said, expected, "{expect:?} against {observed:?} {confidence}");
    }
}

#[test]
fn a_target_that_is_not_allowed_fails_whatever_is_expected() {
    let unsure = Verdict::unknown(Reason::TargetNotAllowed, Stage::Connect, Vec::new());
    let sure = Verdict { confidence: Confidence::Confirmed, ..unsure.clone() };
    for expect in [Expectation::Reachable, Expectation::Denied] {
        assert_eq!(says(expect, &sure), Says::Violated);
        assert_eq!(says(expect, &unsure), Says::Nothing, "as long as it is certain");
    }
}

#[test]
fn what_seems_violated_counts_when_it_repeats() {
    let verdict = verdict(Observed::Unreachable, Confidence::Likely);
    let judge = |run| outcome(Expectation::Reachable, &verdict, run, Thresholds::default());
    assert_eq!(judge(run(1, 0, None)), Outcome::Unknown, "nothing is known before");
    assert_eq!(judge(run(2, 0, Some(Outcome::AsExpected))), Outcome::AsExpected, "the outcome before stands");
    assert_eq!(judge(run(3, 0, Some(Outcome::AsExpected))), Outcome::Failed, "the threshold is reached");
}

#[test]
fn a_recovery_counts_when_it_repeats_often_enough() {
    let verdict = verdict(Observed::Reachable, Confidence::Confirmed);
    let thresholds = Thresholds { failures: 3, successes: 2 };
    let judge = |run| outcome(Expectation::Reachable, &verdict, run, thresholds);
    assert_eq!(judge(run(0, 1, Some(Outcome::Failed))), Outcome::Failed);
    assert_eq!(judge(run(0, 2, Some(Outcome::Failed))), Outcome::AsExpected);
    assert_eq!(judge(run(0, 1, None)), Outcome::AsExpected, "the threshold is for leaving a failure");
}

#[test]
fn what_says_nothing_is_no_recovery() {
    let good = verdict(Observed::Reachable, Confidence::Confirmed);
    let bad = verdict(Observed::Unreachable, Confidence::Confirmed);
    let void = verdict(Observed::Unknown, Confidence::Suspected);
    let thresholds = Thresholds { failures: 3, successes: 3 };
    let mut run = Run::default();
    for (walk, (verdict, expected)) in [
        (&bad, Outcome::Failed),
        (&void, Outcome::Unknown),
        (&good, Outcome::Unknown),
        (&good, Outcome::Unknown),
        (&good, Outcome::AsExpected),
        (&void, Outcome::Unknown),
        (&good, Outcome::AsExpected),
    ]
    .into_iter()
    .enumerate()
    {
        run = run.after(says(Expectation::Reachable, verdict), 1);
        let found = outcome(Expectation::Reachable, verdict, run, thresholds);
        assert_eq!(found, expected, "walk {walk} of {run:?}");
        run = run.with(found);
    }
}

#[test]
fn runs_count_walks_and_outlive_what_says_nothing() {
    let run = Run::default().after(Says::SeemsViolated, 2).after(Says::Nothing, 5).after(Says::Violated, 1);
    assert_eq!((run.failures, run.successes), (3, 0));
    let run = run.after(Says::Met, 4);
    assert_eq!((run.failures, run.successes), (0, 4));
}
