//! The decision as a table, and what holds of any number of replicas that decide by it.

use proptest::prelude::*;

use super::*;

fn observed(holder: &str, since: Instant) -> Observed {
    Observed { record: Record { holder: holder.to_owned(), ..Record::default() }, since }
}

#[test]
fn the_decision_is_a_table() {
    const ME: &str = "me";
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let seen = |holder: &str, since: u64| Some(observed(holder, at(since)));
    let table = [
        ("there is no Lease", None, None, 0, Decision::Take),
        ("it was released", seen("", 0), None, 0, Decision::Take),
        ("another's, just seen", seen("other", 20), None, 20, Decision::Wait { until: at(35) }),
        ("another's, nearly over", seen("other", 20), None, 34, Decision::Wait { until: at(35) }),
        ("another's, not renewed for a whole lease", seen("other", 20), None, 35, Decision::Take),
        ("ours, of the process before", seen(ME, 20), None, 20, Decision::Take),
        ("led, just renewed", seen(ME, 20), Some(20), 20, Decision::Hold { until: at(25) }),
        ("led, the renewal is due", seen(ME, 20), Some(20), 25, Decision::Renew),
        ("led, and nearly given up", seen(ME, 20), Some(20), 29, Decision::Renew),
        ("led, not renewed for too long", seen(ME, 20), Some(20), 30, Decision::Lost),
        ("led, paused for an hour", seen(ME, 20), Some(20), 3620, Decision::Lost),
        ("led, another took it", seen("other", 24), Some(20), 24, Decision::Lost),
        ("led, somebody emptied it", seen("", 24), Some(20), 24, Decision::Lost),
        ("led, somebody deleted it", None, Some(20), 24, Decision::Lost),
    ];
    for (case, seen, renewed, now, expected) in table {
        assert_eq!(decide(ME, seen.as_ref(), renewed.map(at), at(now)), expected, "{case}");
    }
}

#[test]
fn another_is_taken_to_lead_for_as_long_as_it_does() {
    let since = Instant::now();
    for (holder, age, expected) in
        [("other", 0, true), ("other", 9, true), ("other", 10, false), ("", 0, false)]
    {
        let now = since + Duration::from_secs(age);
        assert_eq!(may_lead(&observed(holder, since), now), expected, "{holder:?} after {age} s");
    }
}

/// What the API server holds: a record and its version.
#[derive(Clone, Default)]
struct Stored {
    version: u64,
    record: Option<Record>,
}

/// A replica in the property: what it has read, and since when it leads.
#[derive(Default)]
struct Replica {
    seen: Option<Observed>,
    version: u64,
    renewed: Option<Instant>,
    /// The last of its renewals, whatever came after.
    last: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Replica {
    fn read(&mut self, stored: &Stored, now: Instant) {
        self.version = stored.version;
        let Some(record) = &stored.record else {
            self.seen = None;
            return;
        };
        if self.seen.as_ref().is_none_or(|seen| seen.record != *record) {
            self.seen = Some(Observed { record: record.clone(), since: now });
        }
    }

    /// One turn of the loop; `fails` is what becomes of its request.
    fn turn(&mut self, me: &str, stored: &mut Stored, fails: Fails, now: Instant) {
        if self.renewed.is_none() && fails == Fails::No {
            self.read(stored, now);
        }
        match decide(me, self.seen.as_ref(), self.renewed, now) {
            Decision::Lost => self.renewed = None,
            Decision::Renew | Decision::Take if fails != Fails::Request => {
                if self.version != stored.version {
                    self.read(stored, now);
                    return;
                }
                stored.version += 1;
                let renewed = Some(stored.version.to_string());
                stored.record = Some(Record { holder: me.to_owned(), renewed, ..Record::default() });
                if fails == Fails::No {
                    self.read(stored, now);
                    self.renewed = Some(now);
                    self.last = Some(now);
                }
            }
            _ => {}
        }
    }

    fn leads(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|renewed| now < renewed + GIVE_UP)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    No,
    /// It does not reach the API server.
    Request,
    /// It is carried out, and nobody hears of it.
    Answer,
}

fn steps() -> impl Strategy<Value = Vec<(u64, usize, Fails, u64)>> {
    let fails = prop_oneof![6 => Just(Fails::No), 1 => Just(Fails::Request), 1 => Just(Fails::Answer)];
    let pause = prop_oneof![12 => Just(0_u64), 1 => 1..40_000_u64];
    prop::collection::vec((0..3_000_u64, 0..3_usize, fails, pause), 1..400)
}

proptest! {
    /// Whatever fails and whoever is paused: never do two lead, and a leader's writes of [`WRITE_TIMEOUT`] have ended before
    /// another leads.
    #[test]
    fn no_two_lead_at_a_time(steps in steps()) {
        let mut now = Instant::now();
        let mut stored = Stored::default();
        let mut replicas = [Replica::default(), Replica::default(), Replica::default()];
        for (passes, turn, fails, pause) in steps {
            now += Duration::from_millis(passes);
            let replica = &mut replicas[turn];
            if replica.paused_until.is_none_or(|until| now >= until) {
                replica.turn(&format!("replica-{turn}"), &mut stored, fails, now);
                replica.paused_until = Some(now + Duration::from_millis(pause));
            }
            let leaders: Vec<usize> = (0..3).filter(|n| replicas[*n].leads(now)).collect();
            prop_assert!(leaders.len() <= 1, "{leaders:?} lead at once");
            for other in (0..3).filter(|n| leaders.first().is_some_and(|leader| leader != n)) {
                let over = replicas[other].last.map(|last| last + GIVE_UP + WRITE_TIMEOUT);
                prop_assert!(over.is_none_or(|over| over <= now), "a write of {other} may be under way");
            }
        }
    }

    /// A replica that can reach the API server leads a lease later at most, when no other does.
    #[test]
    fn somebody_leads_in_the_end(steps in steps(), turn in 0..3_usize) {
        let mut now = Instant::now();
        let mut stored = Stored::default();
        let mut replicas = [Replica::default(), Replica::default(), Replica::default()];
        for (passes, turn, fails, _) in steps {
            now += Duration::from_millis(passes);
            replicas[turn].turn(&format!("replica-{turn}"), &mut stored, fails, now);
        }
        let ends = now + GIVE_UP + LEASE + Duration::from_secs(2);
        while now < ends {
            now += Duration::from_secs(1);
            replicas[turn].turn(&format!("replica-{turn}"), &mut stored, Fails::No, now);
        }
        prop_assert!(replicas[turn].leads(now));
    }
}
