//! The form for people: the verdict first, then who decided, what came near, what to add, and what is left open.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use peerwalk_model::Direction;
use peerwalk_netpol::{Action, Cause, Decision, DirectionDecision, Fix, PolicyStep, RuleStep, Tier, Verdict};

use super::report::{self, Report, Rollup};
use super::{Asked, distinct, fix};
use crate::flows;
use crate::print::clean;

/// How many rules of a policy are told before they are only counted.
const RULES: usize = 5;

/// How many near misses are told.
const MISSES: usize = 3;

/// The whole answer.
pub fn text(asked: &Asked, decisions: &[Decision], report: &Report) -> String {
    let mut text = String::new();
    let (from, to) = (clean(&asked.from), clean(&asked.to));
    let _ = writeln!(text, "{}: {from} → {to}", verdict(report.verdict));
    for group in groups(&asked.flows.asked, decisions) {
        text.push('\n');
        text.push_str(&told(&group));
    }
    section(&mut text, "Not known", &asked.flows.undecided);
    section(&mut text, "Nearest miss", &misses(decisions));
    text.push_str(&remedy(decisions));
    let open = distinct(decisions.iter().flat_map(|decision| decision.caveats.iter().copied()));
    let mut open: Vec<String> = open.iter().map(|caveat| report.caveat(*caveat)).collect();
    if report::unplaced_flows(decisions) {
        open.push(report::UNPLACED.to_owned());
    }
    section(&mut text, "Left to the data plane, and decisive here", &open);
    text
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let bold = Style::new().bold();
    let _ = writeln!(text, "\n{bold}{title}{bold:#}");
    for line in lines {
        let _ = writeln!(text, "  {}", clean(line));
    }
}

fn verdict(verdict: Rollup) -> String {
    match verdict {
        Rollup::Allowed => painted("ALLOWED", AnsiColor::Green),
        Rollup::Denied => painted("DENIED", AnsiColor::Red),
        Rollup::Partial => painted("PARTLY ALLOWED", AnsiColor::Yellow),
        Rollup::Undecided => painted("UNDECIDED", AnsiColor::Yellow),
    }
}

fn painted(word: &str, colour: AnsiColor) -> String {
    let style = Style::new().fg_color(Some(colour.into())).bold();
    format!("{style}{word}{style:#}")
}

/// Connections that are decided alike.
struct Group<'a> {
    asked: &'a flows::Asked,
    decision: &'a Decision,
    alike: usize,
}

fn groups<'a>(asked: &'a [flows::Asked], decisions: &'a [Decision]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (asked, decision) in asked.iter().zip(decisions) {
        let known = groups.iter_mut().find(|group| {
            group.asked.via == asked.via
                && (group.decision.flow.port, group.decision.flow.protocol)
                    == (decision.flow.port, decision.flow.protocol)
                && are_alike(&group.decision.egress, &decision.egress)
                && are_alike(&group.decision.ingress, &decision.ingress)
        });
        match known {
            Some(group) => group.alike += 1,
            None => groups.push(Group { asked, decision, alike: 0 }),
        }
    }
    groups
}

fn are_alike(one: &DirectionDecision, other: &DirectionDecision) -> bool {
    one.verdict == other.verdict && one.cause == other.cause && one.decided_by() == other.decided_by()
}

fn told(group: &Group<'_>) -> String {
    let mut text = String::new();
    let _ = write!(text, "{}", clean(&group.decision.flow.to_string()));
    if let Some(via) = &group.asked.via {
        let _ = write!(text, ", through Service {}/{} port {}", via.namespace, via.name, via.port);
    }
    match group.alike {
        0 => {}
        1 => text.push_str(", and one more like it"),
        more => {
            let _ = write!(text, ", and {more} more like it");
        }
    }
    text.push('\n');
    for direction in [Direction::Egress, Direction::Ingress] {
        let decided = group.decision.direction(direction);
        let (word, colour) = match decided.verdict {
            Verdict::Allowed => ("allowed", AnsiColor::Green),
            Verdict::Denied => ("denied ", AnsiColor::Red),
        };
        let sentence = group.decision.sentence(direction).to_string();
        let _ = writeln!(text, "  {}  {}", painted(word, colour), clean(&sentence));
        if !matches!(decided.cause, Cause::Exempt(_)) {
            for step in &decided.steps {
                text.push_str(&link(step));
            }
        }
    }
    text
}

/// A policy of the chain, and what its rules say.
fn link(step: &PolicyStep) -> String {
    let mut text = format!("             {}", clean(&step.policy.to_string()));
    let matching: Vec<&RuleStep> = step.rules.iter().filter(|rule| rule.matches()).collect();
    match (matching.first(), step.rules.as_slice(), step.tier) {
        (Some(rule), ..) => {
            let verb = match rule.action {
                Action::Accept => "admits it",
                Action::Deny => "denies it",
                Action::Pass => "passes it on",
            };
            let numbers: Vec<String> = matching.iter().map(|rule| called(rule)).collect();
            let _ = writeln!(text, ": rule {} {verb}", numbers.join(" and "));
        }
        (None, [], Tier::NetworkPolicy) => text.push_str(": isolates, and has no rules\n"),
        (None, [], _) => text.push_str(": has no rules\n"),
        (None, rules, _) => {
            text.push_str(": no rule matches\n");
            for rule in rules.iter().take(RULES) {
                let _ = writeln!(text, "               rule {}: {}", called(rule), clean(&why_not(rule)));
            }
            if rules.len() > RULES {
                let _ = writeln!(text, "               and {} more", rules.len() - RULES);
            }
        }
    }
    text
}

/// `1`, `2 (allow-dns)`.
fn called(rule: &RuleStep) -> String {
    if rule.name.is_empty() {
        rule.index.to_string()
    } else {
        format!("{} ({})", rule.index, clean(&rule.name))
    }
}

fn why_not(rule: &RuleStep) -> String {
    let mut reasons: Vec<String> = rule.peer.iter().map(ToString::to_string).collect();
    if !rule.port.is_empty() {
        let listed: Vec<String> = rule.port.iter().map(ToString::to_string).collect();
        reasons.push(format!("it lists only {}", listed.join(", ")));
    }
    reasons.join("; ")
}

fn misses(decisions: &[Decision]) -> Vec<String> {
    let all = decisions.iter().flat_map(|decision| {
        decision.denying_directions().flat_map(|direction| &decision.direction(direction).nearest_misses)
    });
    distinct(all.map(ToString::to_string)).into_iter().take(MISSES).collect()
}

/// What to add, where that helps.
fn remedy(decisions: &[Decision]) -> String {
    let mut text = String::new();
    if decisions.iter().all(Decision::is_allowed) {
        return text;
    }
    let bold = Style::new().bold();
    let policies = fix::policies(decisions);
    if !policies.is_empty() {
        let _ = writeln!(text, "\n{bold}To allow it, add this (kubectl apply -f -){bold:#}");
        let several = policies.iter().map(|policy| serde_saphyr::to_string(policy).unwrap_or_default());
        let yaml = several.collect::<Vec<_>>().join("---\n");
        for line in yaml.lines() {
            let _ = writeln!(text, "  {}", clean(line));
        }
    }
    let fixes: Vec<Fix> = decisions.iter().flat_map(Decision::fixes).collect();
    let isolating = fixes.iter().filter_map(|fix| match fix {
        Fix::Add(rule) if rule.isolates => Some(format!(
            "it is the first NetworkPolicy for {} of these pods: everything else in this direction ends with it",
            rule.direction
        )),
        _ => None,
    });
    section(&mut text, "Mind", &distinct(isolating));
    let above = fixes.iter().filter_map(|fix| match fix {
        Fix::Change { rule, .. } => Some(format!("{rule} has to change: no NetworkPolicy undoes it")),
        Fix::Add(_) => None,
    });
    let above = distinct(above);
    section(&mut text, "What denies it for the whole cluster", &above);
    text
}
