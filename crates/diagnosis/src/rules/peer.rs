//! What follows from the word of a destination pod's sidecar.

use peerwalk_model::peer::Listener;
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Stage, Verdict};

use super::connect::{failing, plain};
use super::{after, slow, unreachable};
use crate::address::{Address, Answer};
use crate::facts::UNNOTICED;
use crate::peer::{
    Word, about, arrived, held_by_endpoints, held_since, listener, ports_held, queue, said,
    seen_before_a_walk, who_listens,
};
use crate::proof::series;
use crate::stance::Age;
use crate::view::View;

/// Source ports whose SYN has to have arrived for a claim that is confirmed: chance loses so many answers, and all
/// others of the series, less than once in a million.
const ARRIVED: usize = 3;

/// The Service's address leads to a pod that is no endpoint.
pub(super) fn wrong_backend(view: &View) -> Option<Verdict> {
    let connected = |word: &&Word| {
        let is = |address: &Address| {
            address.remote == word.dial.remote
                && address.purpose == word.dial.purpose
                && matches!(address.answer, Answer::Works | Answer::Mixed { .. })
        };
        view.service_addresses().any(is)
    };
    // A client may use one port towards two pods at once: where an endpoint has the connection, the other is another.
    let right = held_by_endpoints(view);
    let wrong = |word: &&Word| {
        !word.by.endpoint
            && !right.contains(&word.seen.tuple.source)
            && (word.holds_for_certain() || word.translated())
    };
    let words: Vec<&Word> = view.words.iter().filter(connected).filter(wrong).collect();
    let exact = || words.iter().filter(|word| word.holds_for_certain());
    let word = exact().find(|word| word.dial.mss.is_some()).or(exact().next()).or(words.first())?;
    let mut because: Vec<Because> = lines(word).collect();
    let mut confidence = Confidence::Confirmed;
    if !word.holds_for_certain() {
        because.push(Because::new(
            Topic::Missing,
            "the source of the connection is translated: only its exact ends would show for certain whose it is",
        ));
        confidence = Confidence::Likely;
    }
    if word.holds_for_certain() && word.dial.mss.is_none() && ports_held(view, word) < 2 {
        let text = "another connection of the source pod may have the same port: one from a second port would decide";
        because.push(Because::new(Topic::Missing, text));
        confidence = confidence.min(Confidence::Likely);
    }
    // What is said of a pod is said as of now: it has held what it should not for so long, and is still none.
    if view.case.now.since(held_since(view, word)) < UNNOTICED {
        let text = "it may have become an endpoint a moment ago, without being known here yet: the next seconds tell";
        because.push(Because::new(Topic::Missing, text));
        confidence = confidence.min(Confidence::Likely);
    }
    Some(unreachable(Reason::WrongBackend, Stage::Connect, confidence, because))
}

/// The SYN arrives, and its answer does not come back.
pub(super) fn return_path(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let silent = failing.iter().copied().filter(|address| address.answer == Answer::Silent);
    let blocked: Vec<&Address> = silent.filter(|address| arrived(view, address) > 0).collect();
    let best =
        blocked.iter().max_by_key(|address| (address.silence.is_complete(), arrived(view, address)))?;
    let denied = blocked.iter().filter_map(|address| view.stance(address)).any(|stance| stance.denies());
    let proven = best.silence.is_complete()
        && arrived(view, best) >= ARRIVED
        && view.repeated()
        && !denied
        && nothing_connects(view);
    let enough = best.silence.ports() >= 3 || view.repeated();
    let confidence = match (proven, enough) {
        (true, _) => Confidence::Confirmed,
        (false, true) => Confidence::Likely,
        (false, false) => Confidence::Suspected,
    };
    let mut verdict = plain(view, Reason::ReturnPathBlocked, confidence, &blocked, &failing);
    verdict
        .because
        .splice(0..0, about(view, best).filter(Word::syn_arrived).take(1).flat_map(|w| lines_of(&w)));
    if denied {
        // The words of `plain` leave open what the SYN has decided.
        verdict.because.push(Because::new(
            Topic::Missing,
            "the SYN arrived: ingress is not denied there as the policies say, or the answer is what is filtered",
        ));
    }
    if !best.silence.is_complete() {
        verdict.because.push(Because::new(Topic::Missing, series(best)));
    }
    Some(verdict)
}

/// The SYN finds an accept queue that is full.
pub(super) fn overloaded(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let silent = failing.iter().copied().filter(|address| address.answer == Answer::Silent);
    let full: Vec<&Address> = silent.filter(|address| queue(view, address).is_some()).collect();
    // A denial is as silent; the policy's own words say that the queue is full.
    if full.is_empty() || full.iter().filter_map(|a| view.stance(a)).any(|stance| stance.denies()) {
        return None;
    }
    let certain = |address: &&Address| {
        let allowed = view.stance(address).is_some_and(|s| s.certain && s.age == Age::Settled);
        let overflows = queue(view, address).is_some_and(|queue| queue.samples >= 2 && queue.overflowed);
        allowed && overflows && address.silence.ports() >= 3 && nothing_connects(view)
    };
    let enough = full.iter().any(|address| address.silence.ports() >= 3) || view.repeated();
    let confidence = match (full.iter().all(certain) && view.reads_all_policies(), enough) {
        (true, _) => Confidence::Confirmed,
        (false, true) => Confidence::Likely,
        (false, false) => Confidence::Suspected,
    };
    let mut verdict = plain(view, Reason::Overloaded, confidence, &full, &failing);
    let first = full.first().into_iter().flat_map(|address| about(view, address)).take(1);
    verdict.because.splice(0..0, first.flat_map(|word| lines_of(&word)));
    if !full.iter().all(certain) {
        let text = "two looks that find it full, connections that overflow it in between, and policies that allow \
                    it for certain would prove it";
        verdict.because.push(Because::new(Topic::Missing, text));
    }
    Some(verdict)
}

/// Nothing listens where the connection was reset.
pub(super) fn not_listening(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let absent = |address: &&Address| {
        let found = listener(view, address);
        address.answer == Answer::Reset && matches!(found, Some(Listener::Absent { .. }))
    };
    let absent: Vec<&Address> = failing.iter().copied().filter(absent).collect();
    let first = absent.first()?;
    let denied = absent.iter().filter_map(|address| view.stance(address)).any(|stance| stance.denies());
    // The port may have been closed only after the reset: a walk of the run began after the look, or there are more.
    let seen_since = absent.iter().all(|address| seen_before_a_walk(view, address));
    let certain = (view.repeated() || seen_since)
        && absent.iter().all(|address| address.unanimous)
        && !denied
        && nothing_connects(view);
    let confidence = if certain { Confidence::Confirmed } else { Confidence::Likely };
    let mut verdict = plain(view, Reason::NotListening, confidence, &absent, &failing);
    verdict.because.splice(0..0, about(view, first).take(1).flat_map(|word| lines_of(&word)));
    Some(verdict)
}

/// The port is open and the connection is reset: that was not the target's kernel, for want of a listener.
pub(super) fn reset_by_filter(view: &View) -> Option<Verdict> {
    let failing = failing(view);
    let open = |address: &&Address| address.answer == Answer::Reset && who_listens(view, address).is_some();
    let reset: Vec<&Address> = failing.iter().copied().filter(open).collect();
    let first = reset.first()?;
    let since = reset.iter().all(|address| seen_before_a_walk(view, address));
    let confidence = if since { Confidence::Likely } else { Confidence::Suspected };
    let mut verdict = plain(view, Reason::Filtered, confidence, &reset, &failing);
    verdict.because.splice(0..0, about(view, first).take(1).flat_map(|word| lines_of(&word)));
    let text = "what resets may be another host or another port, where the address is translated on the way or two hosts \
                have it";
    verdict.because.push(Because::new(Topic::Missing, text));
    if !since {
        let text =
            "the port may have been opened only after the reset: a later walk that sees the same decides";
        verdict.because.push(Because::new(Topic::Missing, text));
    }
    Some(verdict)
}

/// An exchange without an answer, where the peer's kernel tells what becomes of it.
pub(super) fn exchange(view: &View) -> Option<Verdict> {
    let stage = slow::late(view)?;
    if view.walk.after.as_ref().is_some_and(after::came) {
        return None;
    }
    let open: Vec<&Word> = view.words.iter().filter(|word| word.open().is_some()).collect();
    let unread = |word: &&&Word| word.open().is_some_and(|open| open.unread > 0);
    let again = |word: &&&Word| word.open().is_some_and(|open| open.retransmits > 0);
    let (reason, word) = match (open.iter().find(unread), open.iter().find(again)) {
        (Some(word), _) if word.queue_full() => (Reason::Overloaded, word),
        (Some(word), _) => (Reason::PeerNotReading, word),
        (None, Some(word)) => (Reason::ReturnPathBlocked, word),
        (None, None) => return None,
    };
    Some(unreachable(reason, stage, Confidence::Likely, lines(word).collect()))
}

/// No socket of the walk connected: what is said of an endpoint is said of the target.
fn nothing_connects(view: &View) -> bool {
    !view.addresses.iter().any(|address| address.each.contains(&Answer::Works))
}

fn lines<'w>(word: &'w Word<'_>) -> impl Iterator<Item = Because> + use<'w> {
    said(word).into_iter().map(|text| Because::new(Topic::Connect, text))
}

fn lines_of(word: &Word<'_>) -> Vec<Because> {
    lines(word).collect()
}
