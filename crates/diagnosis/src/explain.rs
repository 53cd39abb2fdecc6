//! A verdict as a walk that a person can read.

use std::fmt::Write as _;
use std::time::Duration;

use peerwalk_model::verdict::Topic;
use peerwalk_model::{Verdict, Walk};

/// Width of the text between the topic and the time.
const TEXT_WIDTH: usize = 72;

/// Prints a verdict, one line a stage, with the time each stage took where the walk is given:
///
/// ```text
/// shop/web-7c9 → ledger/postgres:5432   PolicyDenied (confirmed)
///   resolve   postgres.ledger.svc → 10.96.3.7                                    2 ms
///   connect   10.96.3.7:5432 and 10.244.1.8:5432: no answer from 8 source ports  1.2 s
/// ```
pub fn explain(source: &str, target: &str, verdict: &Verdict, walk: Option<&Walk>) -> String {
    let word = verdict.reason.map_or_else(|| format!("{:?}", verdict.observed), |reason| reason.to_string());
    let mut text = format!("{source} → {target}   {word} ({})\n", verdict.confidence);
    let mut told = None;
    for line in &verdict.because {
        // The time stands beside the first line of a stage.
        let elapsed =
            if told == Some(line.topic) { None } else { walk.and_then(|walk| elapsed(walk, line.topic)) };
        told = Some(line.topic);
        let topic = line.topic.to_string();
        let _ = match elapsed {
            Some(elapsed) => {
                // Padding counts characters, as terminals do for these texts.
                writeln!(text, "  {topic:<8}  {:<TEXT_WIDTH$}  {}", line.text, human(elapsed))
            }
            None => writeln!(text, "  {topic:<8}  {}", line.text),
        };
    }
    text
}

fn elapsed(walk: &Walk, topic: Topic) -> Option<Duration> {
    match topic {
        Topic::Resolve => walk.resolve.as_ref().map(|resolve| resolve.elapsed),
        Topic::Route => walk.proxied.as_ref().map(|attempt| attempt.elapsed),
        Topic::Connect => walk.connect.as_ref()?.dials.iter().map(|dial| dial.elapsed).max(),
        Topic::Tls => walk.tls.as_ref().map(|tls| tls.elapsed),
        Topic::Request => walk.request.as_ref().map(|request| request.elapsed),
        _ => None,
    }
}

/// `0.3 ms`, `2 ms`, `1.2 s`.
fn human(elapsed: Duration) -> String {
    let micros = elapsed.as_micros();
    if micros >= 1_000_000 {
        format!("{:.1} s", elapsed.as_secs_f64())
    } else if micros >= 1_000 {
        format!("{} ms", elapsed.as_millis())
    } else {
        format!("{:.1} ms", elapsed.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests;
