//! Which of many queries are kept as evidence: those that decide what is said of the name.

use peerwalk_model::evidence::{Query, QueryOutcome};

/// Keeps at most so many queries, in their order.
///
/// A question that was answered needs its answer alone, and of failures that repeat each other the last one
/// is enough. Then names that do not exist go first: among many of them one more says nothing, while a
/// question that stayed open must never look answered.
pub(super) fn kept(mut queries: Vec<Query>, most: usize) -> Vec<Query> {
    if queries.len() <= most {
        return queries;
    }
    let needed: Vec<Query> = queries
        .iter()
        .enumerate()
        .filter(|(place, query)| !queries[place + 1..].iter().any(|later| replaces(later, query)))
        .map(|(_, query)| query.clone())
        .collect();
    queries = needed;
    let mut excess = queries.len().saturating_sub(most);
    queries.retain(|query| {
        let goes = excess > 0 && query.outcome == QueryOutcome::NameNotFound;
        excess -= usize::from(goes);
        !goes
    });
    queries.drain(..excess);
    queries
}

fn replaces(later: &Query, query: &Query) -> bool {
    let answered = matches!(
        later.outcome,
        QueryOutcome::Addresses(_) | QueryOutcome::NoData | QueryOutcome::NameNotFound
    );
    // That a server answered late tells it from a dead one.
    let repeats = later.outcome == query.outcome && (query.late.is_none() || later.late.is_some());
    later.name == query.name && later.record == query.record && (answered || repeats)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerwalk_model::evidence::Transport;
    use peerwalk_model::plan::RecordType;

    use super::*;

    fn query(name: &str, outcome: QueryOutcome) -> Query {
        Query {
            server: "10.96.0.10:53".parse().unwrap(),
            transport: Transport::Udp,
            name: name.to_owned(),
            record: RecordType::A,
            outcome,
            elapsed: Duration::ZERO,
            late: None,
        }
    }

    fn late(name: &str) -> Query {
        Query { late: Some(QueryOutcome::NoData), ..query(name, QueryOutcome::Timeout) }
    }

    fn short(queries: &[Query]) -> Vec<String> {
        queries.iter().map(|query| format!("{} {:?}", query.name, query.outcome)).collect()
    }

    #[test]
    fn what_decides_is_kept() {
        use QueryOutcome::{NameNotFound, NoData, ServerFailure, Timeout, Truncated};
        let missing = |n: usize| (0..n).map(|n| query(&format!("db.s{n}."), NameNotFound));
        for (queries, expected, why) in [
            (
                missing(3).chain([query("db.", Timeout)]).collect::<Vec<_>>(),
                &["db.s1. NameNotFound", "db.s2. NameNotFound", "db. Timeout"][..],
                "the last name of the search list, which nobody answered",
            ),
            (
                [query("db.", NoData)].into_iter().chain(missing(3)).collect(),
                &["db. NoData", "db.s1. NameNotFound", "db.s2. NameNotFound"],
                "that the name exists",
            ),
            (
                vec![
                    query("a.", Timeout),
                    query("a.", Truncated),
                    query("a.", NameNotFound),
                    query("b.", Timeout),
                    query("b.", ServerFailure),
                    query("b.", Timeout),
                ],
                &["a. NameNotFound", "b. ServerFailure", "b. Timeout"],
                "answers for their questions, and each failure once",
            ),
            (
                vec![query("a.", Timeout), query("b.", Timeout), query("c.", Timeout), query("d.", Timeout)],
                &["b. Timeout", "c. Timeout", "d. Timeout"],
                "the last ones, where all say the same",
            ),
            (
                vec![late("a."), query("a.", Timeout), query("b.", Timeout), query("b.", Timeout)],
                &["a. Timeout", "a. Timeout", "b. Timeout"],
                "that a server answered late",
            ),
            (missing(2).collect(), &["db.s0. NameNotFound", "db.s1. NameNotFound"], "all that fit"),
        ] {
            assert_eq!(short(&kept(queries, 3)), expected, "{why}");
        }
    }
}
