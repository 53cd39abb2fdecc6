//! The resolve stage: a name to addresses, as a client in the pod would see it, with one piece of evidence
//! for each query.
//!
//! Our own client over hickory-proto's encoding: stub resolvers merge A with AAAA, retries with answers, and
//! "blocked" with "dead", and their unconnected sockets never see an ICMP refusal.

mod cache;
mod exchange;
mod kept;
mod late;
mod message;
mod pair;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use peerwalk_model::evidence::{LocalTrouble, Pair, Query, QueryOutcome, Resolve, ResolveSource, Transport};
use peerwalk_model::plan::{RecordType, Retries};
use tokio::time::{Instant, sleep};

use crate::budget::{Allowance, Gate};
use crate::environment::resolv_conf::ResolvConf;
use crate::environment::{Environment, Family, hosts};
use crate::{environment, limits, random};
use cache::Cache;
use exchange::Open;
use late::Asking;
use message::Question;
use pair::Pairs;

/// The shortest time one query is given.
const LEAST_PATIENCE: Duration = Duration::from_millis(200);

/// How patiently a name is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Attempts and the waits between them.
    pub(crate) retries: Retries,
    /// Shared between all attempts at all servers, with a share left for what comes after.
    pub(crate) total: Duration,
    /// The longest time one query is given.
    pub(crate) longest: Duration,
    /// How long, since the first question that was left open, a late answer is waited for when there is no other.
    pub(crate) late: Duration,
}

pub(crate) use late::PATIENCE as LATE;

/// What names resolved to, and answers that may still be reused.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    cache: Cache,
    pairs: Pairs,
}

/// One resolution: whom to ask, how, and within which time.
struct Session<'a> {
    resolver: &'a Resolver,
    gate: &'a Gate,
    allowance: &'a Allowance,
    conf: ResolvConf,
    patience: Patience,
    reuse: bool,
}

/// What was asked for one name and type.
struct Asked {
    queries: Vec<Asking>,
    /// It is an answer of before whose TTL is over, for want of budget.
    stale: bool,
}

impl Resolver {
    /// Resolves a name by the hosts file and the servers of resolv.conf, both read anew.
    ///
    /// With `reuse`, answers within their TTL are taken from the last time they were asked for.
    pub(crate) async fn resolve(
        &self,
        environment: &Environment,
        name: &str,
        records: &[RecordType],
        patience: Patience,
        (gate, allowance): (&Gate, &Allowance),
        reuse: bool,
    ) -> Result<Resolve, LocalTrouble> {
        let begun = Instant::now();
        let wanted = |ip: &IpAddr| records.contains(&record_of(Family::of(*ip)));
        let listed: Vec<IpAddr> =
            hosts::lookup(&read(&environment.hosts)?, name).into_iter().filter(wanted).collect();
        let mut resolve = Resolve {
            name: name.to_owned(),
            source: ResolveSource::Dns,
            answered: None,
            addresses: Vec::new(),
            queries: Vec::new(),
            elapsed: Duration::ZERO,
            spent: false,
            pair: None,
        };
        if listed.is_empty() {
            let conf = ResolvConf::parse(&read(&environment.resolv_conf)?);
            let session = Session { resolver: self, gate, allowance, conf, patience, reuse };
            let mut asked = session.search(records, &mut resolve).await?;
            if resolve.addresses.is_empty() {
                late::wait(&mut asked, patience.late).await;
            }
            resolve.queries = asked.into_iter().map(|asking| asking.query).collect();
        } else {
            resolve.source = ResolveSource::HostsFile;
            resolve.addresses = listed;
        }
        resolve.addresses = limits::kept(resolve.addresses, limits::ADDRESSES);
        resolve.queries = kept::kept(resolve.queries, limits::QUERIES);
        resolve.elapsed = begun.elapsed();
        Ok(resolve)
    }

    /// What comes of both types of a name that was resolved, asked at once; not more often than is due.
    pub(crate) async fn pair(
        &self,
        environment: &Environment,
        resolve: &Resolve,
        gate: &Gate,
        event: bool,
    ) -> Option<Pair> {
        // With this option the application does not ask for both at once either.
        let single =
            || read(&environment.resolv_conf).is_ok_and(|text| ResolvConf::parse(&text).single_request);
        self.pairs.of(resolve, gate, event, single).await
    }
}

impl Session<'_> {
    /// Goes through the search list as glibc does: on after NXDOMAIN, no data and SERVFAIL; anything else
    /// that is no answer ends the search.
    async fn search(
        &self,
        records: &[RecordType],
        resolve: &mut Resolve,
    ) -> Result<Vec<Asking>, LocalTrouble> {
        let mut outdated = false;
        let mut all = Vec::new();
        for name in self.conf.candidates(&resolve.name) {
            // Both types at once, apart from each other: one may be answered and the other not.
            let asked = join_all(records.iter().map(|record| self.ask(&name, *record))).await;
            let mut go_on = true;
            for asked in asked {
                let Asked { queries, stale } = asked?;
                outdated |= stale;
                match queries.last().map(|asking| &asking.query.outcome) {
                    Some(QueryOutcome::Addresses(addresses)) => {
                        resolve.addresses.extend(addresses);
                        resolve.answered = Some(name.clone());
                    }
                    Some(QueryOutcome::NameNotFound | QueryOutcome::NoData | QueryOutcome::ServerFailure) => {
                    }
                    _ => go_on = false,
                }
                all.extend(queries);
            }
            late::bound(&mut all);
            if !resolve.addresses.is_empty() || !go_on {
                break;
            }
        }
        // An older address still says something. That there is none may be over.
        if outdated && resolve.addresses.is_empty() { Err(out_of_budget()) } else { Ok(all) }
    }

    /// Asks for one name and type, or takes what was answered before.
    async fn ask(&self, name: &str, record: RecordType) -> Result<Asked, LocalTrouble> {
        if self.reuse
            && let Some(query) = self.resolver.cache.get(name, record)
        {
            return Ok(Asked { queries: vec![query.into()], stale: false });
        }
        if self.reuse
            && !self.gate.may_query()
            && let Some(query) = self.resolver.cache.stale(name, record)
        {
            return Ok(Asked { queries: vec![query.into()], stale: true });
        }
        let queries = self.ask_servers(name, record).await?;
        Ok(Asked { queries, stale: false })
    }

    /// Asks each server in turn, and all of them again after a wait.
    async fn ask_servers(&self, name: &str, record: RecordType) -> Result<Vec<Asking>, LocalTrouble> {
        let mut queries: Vec<Asking> = Vec::new();
        for attempt in 0..self.patience.retries.attempts.max(1) {
            if attempt > 0 {
                let wait = backoff(&self.patience.retries, attempt);
                if wait >= self.allowance.left() {
                    break;
                }
                sleep(wait).await;
            }
            for server in &self.conf.servers {
                let done = self.ask_server(*server, name, record, &mut queries).await?;
                if done || self.allowance.left().is_zero() {
                    return Ok(queries);
                }
            }
            // A server that refuses will refuse again.
            if queries.iter().all(|asking| asking.query.outcome == QueryOutcome::Refused) {
                break;
            }
        }
        Ok(queries)
    }

    /// One query, over TCP again when the answer was cut off, or over TCP alone. Whether the question is answered.
    async fn ask_server(
        &self,
        server: SocketAddr,
        name: &str,
        record: RecordType,
        queries: &mut Vec<Asking>,
    ) -> Result<bool, LocalTrouble> {
        let transports: &[Transport] =
            if self.conf.over_tcp { &[Transport::Tcp] } else { &[Transport::Udp, Transport::Tcp] };
        for transport in transports.iter().copied() {
            if !self.gate.query(self.allowance).await {
                return Err(out_of_budget());
            }
            let begun = Instant::now();
            let again = queries.last().is_some_and(|last| last.query.outcome == QueryOutcome::Truncated);
            let left = self.allowance.left();
            let deadline = self.patience.time(self.conf.servers.len(), left, again);
            let Some(question) = Question::new(name, record) else {
                // A name that cannot be written down exists nowhere; no server need be asked.
                queries
                    .push(query(server, transport, name, record, QueryOutcome::NameNotFound, begun).into());
                return Ok(true);
            };
            let census = self.gate.census();
            let (answer, open): (_, Option<Open>) = match transport {
                Transport::Udp => exchange::udp(server, question, deadline, census).await?,
                Transport::Tcp => (exchange::tcp(server, &question, deadline, census).await?, None),
            };
            let query = query(server, transport, name, record, answer.outcome, begun);
            let (done, again) = (query.outcome.is_final(), query.outcome == QueryOutcome::Truncated);
            if done {
                self.resolver.cache.keep(&query, answer.reuse);
            }
            queries.push(Asking { query, open });
            if !again {
                return Ok(done);
            }
        }
        Ok(false)
    }
}

impl Patience {
    /// The time one query is given, of what is left. One over TCP, after an answer over UDP that was cut off, has its
    /// whole share in any case: a slow server must not look like one that TCP does not come to.
    fn time(&self, servers: usize, left: Duration, cut_off: bool) -> Duration {
        let share = self.share(servers);
        if cut_off { share } else { share.min(left) }
    }

    /// The share of one query in the time of all.
    fn share(&self, servers: usize) -> Duration {
        let shares = u32::try_from(servers.max(1)).unwrap_or(1) * self.retries.attempts.clamp(1, 16) + 1;
        (self.total / shares).max(LEAST_PATIENCE).min(self.longest)
    }
}

/// The wait before an attempt: doubled each time, bounded, and shortened at random.
pub(crate) fn backoff(retries: &Retries, attempt: u32) -> Duration {
    let factor = 2_u32.saturating_pow(attempt.saturating_sub(1).min(16));
    random::jitter(retries.backoff.saturating_mul(factor).min(retries.max_backoff))
}

pub(crate) fn record_of(family: Family) -> RecordType {
    match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::Aaaa,
    }
}

fn query(
    server: SocketAddr,
    transport: Transport,
    name: &str,
    record: RecordType,
    outcome: QueryOutcome,
    begun: Instant,
) -> Query {
    let name = limits::cut(name, limits::NAME).to_owned();
    Query { server, transport, name, record, outcome, elapsed: begun.elapsed(), late: None }
}

fn out_of_budget() -> LocalTrouble {
    LocalTrouble { what: LocalTrouble::BUDGET.to_owned(), errno: libc::EAGAIN }
}

fn read(path: &std::path::Path) -> Result<String, LocalTrouble> {
    environment::read(path).map_err(|error| LocalTrouble {
        what: format!("reading {}", path.display()),
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    })
}

#[cfg(test)]
mod tests;
