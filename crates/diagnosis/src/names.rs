//! What a resolution tells beside its addresses: what it cost, who left questions open, and what the usual clients
//! make of that. Words and no times, so that a steady state is told in the same words.

use std::collections::BTreeSet;

use peerwalk_model::evidence::{Query, QueryOutcome, Resolve};
use peerwalk_model::plan::RecordType;

/// From so many names of the search list on, their cost is worth a line.
const MANY: usize = 3;

/// The lines below the one that tells the addresses, or the lack of them.
pub(crate) fn beside(resolve: &Resolve) -> Vec<String> {
    let mut lines = Vec::new();
    if resolve.addresses.is_empty() {
        lines.extend(made_of(resolve));
    } else {
        lines.extend(searched(resolve));
        lines.extend(half(resolve));
        lines.extend(again(resolve));
        lines.extend(lost(resolve));
        if resolve.spent {
            lines.push(
                "the name took the whole time of the walk, and left none for what comes after it".into(),
            );
        }
    }
    lines
}

/// Whether some clients fare worse than the walk did.
pub(crate) fn some_clients_fail(resolve: &Resolve) -> bool {
    !resolve.addresses.is_empty() && (half(resolve).is_some() || lost(resolve).is_some())
}

/// The type whose questions for the name that answered nobody answered, or only with a failure.
fn open_type(resolve: &Resolve) -> Option<RecordType> {
    let name = resolve.answered.as_ref()?;
    let of = |record| resolve.queries.iter().filter(move |q| q.name == *name && q.record == record);
    let open = |record| {
        let fails = |query: &Query| !query.outcome.is_final() && query.outcome != QueryOutcome::Truncated;
        of(record).next().is_some() && of(record).all(fails)
    };
    [RecordType::A, RecordType::Aaaa].into_iter().find(|record| open(*record))
}

fn half(resolve: &Resolve) -> Option<String> {
    let open = open_type(resolve)?;
    let record = word(open);
    let mut failed = resolve.queries.iter().filter(|query| query.record == open);
    if failed.any(|query| query.outcome != QueryOutcome::Timeout && !query.outcome.is_final()) {
        return Some(format!(
            "{record} gets a failure, and the other type is answered: glibc and Go use the other, musl fails"
        ));
    }
    Some(format!(
        "no answer for {record}, and the other type is answered: glibc and Go use the other after their timeout, musl \
         fails"
    ))
}

/// How many names it took.
fn searched(resolve: &Resolve) -> Option<String> {
    let answered = resolve.answered.as_deref()?.trim_end_matches('.');
    let names: BTreeSet<&str> = resolve.queries.iter().map(|query| query.name.as_str()).collect();
    (names.len() >= MANY).then(|| {
        format!(
            "{} names were asked for until one answered: {answered} with a final dot, or fewer ndots, would save {}",
            names.len(),
            names.len() - 1
        )
    })
}

/// Who did not answer before somebody did.
fn again(resolve: &Resolve) -> Vec<String> {
    let silent = open_type(resolve);
    let mut lines = Vec::new();
    let open = resolve.queries.iter().filter(|query| {
        !query.outcome.is_final() && query.outcome != QueryOutcome::Truncated && Some(query.record) != silent
    });
    for query in open {
        let (server, other) = (query.server, other_server(resolve, query));
        let line = match (&query.outcome, other) {
            (QueryOutcome::ServerFailure, true) => format!(
                "{server} answers SERVFAIL, another server the question: glibc and Go ask the next server, musl all at \
                 once"
            ),
            (QueryOutcome::Refused, true) => format!(
                "{server} answers REFUSED, another server the question: glibc and Go ask the next server, musl all at \
                 once"
            ),
            (QueryOutcome::Timeout, true) => format!(
                "{server} gives no answer, another server does: glibc and Go wait their timeout for each name, musl \
                 asks all at once"
            ),
            (QueryOutcome::Timeout, false) => {
                format!("{server} gave no answer at first: clients wait their timeout before they ask again")
            }
            (_, true) => format!("{server} is of no use, another server answers"),
            (_, false) => format!("{server} failed at first, and answered when it was asked again"),
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// Whether the answer to a question that this server left open came from another.
fn other_server(resolve: &Resolve, open: &Query) -> bool {
    let same = |query: &&Query| query.name == open.name && query.record == open.record;
    let answers = resolve.queries.iter().filter(same).filter(|query| query.outcome.is_final());
    answers.map(|query| query.server).all(|server| server != open.server)
}

/// A pair that loses one, each alone being answered.
fn lost(resolve: &Resolve) -> Option<String> {
    let pair = resolve.pair.as_ref()?;
    let record = word(pair.lost()?);
    Some(format!(
        "A and AAAA are answered apart, and at once from one socket {record} is lost at {}: glibc waits its timeout for \
         it, musl asks again after its own, Go asks from two sockets and is not affected",
        pair.server
    ))
}

/// What to do about a pair that loses one.
pub(crate) fn lost_fix(resolve: &Resolve) -> Option<String> {
    resolve.pair.as_ref()?.lost()?;
    Some(
        "for glibc the option single-request-reopen in the pod's dnsConfig; for all, a name server on the node, or one that \
         is reached without NAT"
            .into(),
    )
}

/// What the usual clients make of a failure.
fn made_of(resolve: &Resolve) -> Option<String> {
    let open: Vec<&QueryOutcome> =
        resolve.queries.iter().map(|query| &query.outcome).filter(|outcome| !outcome.is_final()).collect();
    let all = |wanted: &QueryOutcome| !open.is_empty() && open.iter().all(|outcome| *outcome == wanted);
    let said = if resolve.queries.iter().any(Query::came_late) {
        "clients that wait longer may get an answer: they are slow rather than failing"
    } else if all(&QueryOutcome::Refused) {
        "glibc ends its search at REFUSED and says EAI_AGAIN, musl waits its timeout, Go goes on with the next name"
    } else if all(&QueryOutcome::ServerFailure) {
        "glibc and musl say EAI_AGAIN, Go that the server misbehaves"
    } else if all(&QueryOutcome::Timeout) {
        "glibc and musl say EAI_AGAIN after their timeouts, Go i/o timeout"
    } else {
        return None;
    };
    Some(said.to_owned())
}

fn word(record: RecordType) -> &'static str {
    match record {
        RecordType::A => "A",
        RecordType::Aaaa => "AAAA",
    }
}
