//! One walk of one target, stage by stage.

mod after;
mod memory;
mod rounds;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use peerwalk_model::evidence::{
    Connect, LocalTrouble, ProxyAttempt, Request, RequestOutcome, Resolve, Tls, TlsOutcome, Trigger,
};
use peerwalk_model::plan::{PlannedTarget, RecordType, Retries, TargetKind};
use peerwalk_model::report::Sockets;
use peerwalk_model::{TargetKey, Walk};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::budget::{Allowance, Gate, Pace};
use crate::connect::{Choice, Connected, Connector, Dialling, Order, Spoken};
use crate::environment::{Environment, Family};
use crate::proxied::{self, Through};
use crate::request::{Form, exchange};
use crate::resolve::{self, Patience, Resolver, backoff, record_of};
use crate::route::route;
use crate::socket::{Kept, Locals, Namespace};
use crate::strain::{Gauges, Watch};
use crate::tls;
use crate::url::{Scheme, TargetUrl};
use crate::witness::Witness;
use memory::{Memory, Remembered};
use rounds::Rounds;

/// Time for [`Prober::addresses`].
const ADDRESSES_TIME: Duration = Duration::from_secs(3);

/// Less than this is no time for what comes after the name.
const NEEDED: Duration = Duration::from_millis(100);

/// Walks targets, and remembers between walks what must not be asked or paid for twice.
#[derive(Debug, Default)]
pub struct Prober {
    environment: Environment,
    gate: Gate,
    resolver: Resolver,
    connector: Connector,
    /// The same for UDP.
    datagrams: Connector,
    memory: Memory,
    rounds: Rounds,
    witness: Option<Arc<dyn Witness>>,
    gauges: Gauges,
    namespace: Namespace,
}

/// One walk under way.
struct Tour<'a> {
    prober: &'a Prober,
    key: TargetKey,
    target: &'a PlannedTarget,
    allowance: Allowance,
    trigger: Trigger,
    before: Remembered,
    watch: &'a Watch<'a>,
}

/// What a target's kind says of its way.
struct Way {
    /// The name or address to resolve.
    host: String,
    port: u16,
    /// Set when there is a request or handshake to make.
    url: Option<TargetUrl>,
}

impl Prober {
    /// A prober with a full budget.
    pub fn new(environment: Environment) -> Self {
        Self { environment, ..Self::default() }
    }

    /// Has somebody ask peers about the dials of each walk.
    #[must_use]
    pub fn with_witness(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// Walks a target once. `report` gets the walk as it stands when a diagnosis takes longer; the value
    /// returned is the whole of it.
    ///
    /// The future may be dropped at any time; its sockets are closed then. It needs a tokio runtime with I/O
    /// and time, and is content with one thread.
    pub async fn walk(
        &self,
        key: TargetKey,
        target: &PlannedTarget,
        generation: u64,
        trigger: Trigger,
        mut report: impl FnMut(Walk) + Send,
    ) -> Walk {
        let before = self.memory.of(&key);
        let mut walk = Walk::begin(key, generation, trigger, crate::now());
        let (without, change) = (self.rounds.without_since(&walk.target), trigger == Trigger::Event);
        let allowance = Allowance::new(target.total_timeout).without_since(without, change);
        let watch = Watch::begin(&self.gauges);
        let key = walk.target.clone();
        let tour = Tour { prober: self, key, target, allowance, trigger, before, watch: &watch };
        let mut report = |walk| report(watch.onto(walk));
        let touring = Box::pin(tour.run(&mut walk, &mut report));
        let walked = watch.over(touring, || self.gate.census().is_open()).await;
        walk.local = walked.err();
        walk.ended = crate::now();
        let walk = watch.onto(walk);
        self.memory.learn(&walk);
        self.rounds.ended(&walk);
        walk
    }

    /// The addresses of a name, or the address itself, in the families of the environment; none when it does
    /// not resolve.
    pub async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        if let Ok(ip) = name.parse() {
            return vec![ip];
        }
        let retries = Retries { attempts: 2, backoff: ADDRESSES_TIME / 10, max_backoff: ADDRESSES_TIME / 10 };
        let late = Duration::ZERO;
        let patience = Patience { retries, total: ADDRESSES_TIME, longest: ADDRESSES_TIME, late };
        let allowance = Allowance::new(ADDRESSES_TIME);
        let shared = (&self.gate, &allowance);
        let resolved =
            self.resolver.resolve(&self.environment, name, &self.records(), patience, shared, true).await;
        resolved.map(|resolve| resolve.addresses).unwrap_or_default()
    }

    /// The prober's own sockets, at this moment.
    pub fn sockets(&self) -> Sockets {
        let (active, waiting, leaked) = self.gate.census().count();
        let breakers = u32::try_from(self.connector.breakers()).unwrap_or(u32::MAX);
        Sockets { active, waiting, leaked, breakers }
    }

    fn records(&self) -> Vec<RecordType> {
        match self.environment.family {
            Some(family) => vec![record_of(family)],
            None => vec![record_of(Family::V4), record_of(Family::V6)],
        }
    }
}

impl Tour<'_> {
    async fn run(&self, walk: &mut Walk, report: &mut (dyn FnMut(Walk) + Send)) -> Result<(), LocalTrouble> {
        let way = self.way()?;
        if let TargetKind::Dns(dns) = &self.target.kind {
            walk.resolve = Some(self.resolve(&dns.name, &[dns.record]).await?);
            return Ok(());
        }
        let addresses = if let Ok(ip) = way.host.parse() {
            vec![ip]
        } else {
            let mut resolve = self.resolve(&way.host, &self.prober.records()).await?;
            resolve.spent = self.allowance.left() < NEEDED;
            walk.resolve.insert(resolve).addresses.clone()
        };
        let environment = &self.prober.environment;
        let resolved = walk.resolve.clone();
        let pair = async {
            let event = self.trigger == Trigger::Event;
            self.prober.resolver.pair(environment, resolved.as_ref()?, &self.prober.gate, event).await
        };
        walk.route = way
            .url
            .as_ref()
            .filter(|url| matches!(url.scheme, Scheme::Http | Scheme::Https))
            .map(|url| route(url, &environment.containers));
        let locals = self.locals();
        let dialling = self.dialling(&locals, way.url.as_ref().and_then(TargetUrl::datagram));
        let may = environment.rules.permitted_through(&addresses, way.port, &self.target.kind);
        let used = walk.route.as_ref().filter(|_| may).and_then(proxied::choice).cloned();
        // Both ways at the same time, since both must fit into the walk.
        let through = async {
            match (&used, &way.url) {
                (Some(used), Some(url)) => self.through(&dialling, used, url).await.map(Some),
                _ => Ok(None),
            }
        };
        let direct = self.direct(&dialling, &way, &addresses, walk, report);
        let (direct, through, pair): (_, Result<Option<ProxyAttempt>, LocalTrouble>, _) =
            tokio::join!(direct, through, pair);
        if let Some(resolve) = &mut walk.resolve {
            resolve.pair = pair;
        }
        direct?;
        walk.proxied = through?;
        Ok(())
    }

    /// Connect, tls and request on the direct way.
    async fn direct(
        &self,
        dialling: &Dialling<'_>,
        way: &Way,
        addresses: &[IpAddr],
        walk: &mut Walk,
        report: &mut (dyn FnMut(Walk) + Send),
    ) -> Result<(), LocalTrouble> {
        if addresses.is_empty() {
            return Ok(());
        }
        let Remembered { turn, failed } = &self.before;
        let order = Order { turn: *turn, failed, all: self.trigger == Trigger::Event };
        let rules = self.prober.environment.rules;
        let choice = Choice::new(&self.target.kind, way.port, addresses, rules, order);
        let begun = walk.clone();
        let mut interim = |connect: Connect| {
            let ended = crate::now();
            report(Walk { interim: true, ended, connect: Some(connect), ..begun.clone() });
        };
        let Connected { evidence, stream, local } = dialling.run(&choice, &mut interim).await;
        walk.connect = Some(evidence);
        if let Some(local) = local {
            return Err(local);
        }
        if let (Some(spoken), Some(url)) = (stream, &way.url) {
            let remote = spoken.remote;
            let (mut stream, mut connection) = (Some(spoken), None);
            for attempt in 0..self.target.retries.attempts.max(1) {
                if attempt > 0 {
                    stream = self.again(dialling, remote, attempt).await?;
                }
                let Some(Spoken { stream, held, .. }) = stream.take() else { break };
                let kept = Kept::of(&stream);
                let (tls, request) = self.speak(stream, url, self.allowance.deadline()).await?;
                drop(held);
                let passed = good(tls.as_ref(), request.as_ref());
                let asked = after::unanswered(tls.as_ref(), request.as_ref());
                connection = kept.filter(|_| asked).and_then(Kept::told);
                (walk.tls, walk.request) = (tls, request);
                if passed {
                    break;
                }
            }
            if let Some(connection) = connection {
                let found = (walk.tls.as_ref(), walk.request.as_ref());
                walk.after = Some(self.after(dialling, (remote, url), found, connection).await);
            }
        }
        Ok(())
    }

    /// A new connection for another attempt, after a wait. `None` when time, budget or the connection fails:
    /// the attempt before stands.
    async fn again(
        &self,
        dialling: &Dialling<'_>,
        remote: SocketAddr,
        attempt: u32,
    ) -> Result<Option<Spoken>, LocalTrouble> {
        let wait = backoff(&self.target.retries, attempt);
        if wait >= self.allowance.left() {
            return Ok(None);
        }
        tokio::time::sleep(wait).await;
        dialling.again(remote).await
    }

    async fn speak(
        &self,
        stream: TcpStream,
        url: &TargetUrl,
        deadline: Instant,
    ) -> Result<(Option<Tls>, Option<Request>), LocalTrouble> {
        let http = self.target.http.as_ref();
        match url.scheme {
            Scheme::Tcp | Scheme::Udp => Ok((None, None)),
            Scheme::Http => match http {
                Some(http) => Ok((None, exchange(stream, url, http, Form::Origin, deadline).await.ok())),
                None => Ok((None, None)),
            },
            Scheme::Https => {
                let config = tls::config(self.roots()).map_err(|e| bad_plan(&e))?;
                let (tls, request) = tls::handshake_and_exchange(stream, config, url, http, deadline).await;
                Ok((Some(tls), request))
            }
        }
    }

    async fn through(
        &self,
        dialling: &Dialling<'_>,
        used: &peerwalk_model::evidence::ProxyUse,
        url: &TargetUrl,
    ) -> Result<ProxyAttempt, LocalTrouble> {
        let addresses = match proxied::host_and_port(&used.proxy) {
            None => Vec::new(),
            Some((host, _)) => match host.parse::<IpAddr>() {
                Ok(ip) => vec![ip],
                Err(_) => self.resolve(&host, &self.prober.records()).await?.addresses,
            },
        };
        let config = match url.scheme {
            Scheme::Https => Some(tls::config(self.roots()).map_err(|e| bad_plan(&e))?),
            Scheme::Http | Scheme::Tcp | Scheme::Udp => None,
        };
        let http = self.target.http.as_ref();
        proxied::attempt(dialling, Through { used, url, http, config, addresses }).await
    }

    async fn resolve(&self, name: &str, records: &[RecordType]) -> Result<Resolve, LocalTrouble> {
        let target = self.target;
        let patience = Patience {
            retries: target.retries,
            total: target.total_timeout,
            longest: target.connect_timeout,
            late: resolve::LATE,
        };
        let prober = self.prober;
        let reuse = self.trigger == Trigger::Interval;
        let shared = (&prober.gate, &self.allowance);
        prober.resolver.resolve(&prober.environment, name, records, patience, shared, reuse).await
    }

    fn roots(&self) -> Option<&str> {
        match &self.target.kind {
            TargetKind::Url(url) => url.roots_pem.as_deref(),
            TargetKind::Service(service) => service.tls.as_ref()?.roots_pem.as_deref(),
            TargetKind::Dns(_) => None,
        }
    }

    fn way(&self) -> Result<Way, LocalTrouble> {
        match &self.target.kind {
            TargetKind::Service(service) => Ok(Way {
                host: service.hostname.clone(),
                port: service.port,
                url: self.target.speaks().then(|| TargetUrl {
                    scheme: if service.tls.is_some() { Scheme::Https } else { Scheme::Http },
                    host: service.hostname.clone(),
                    port: service.port,
                    path: self.target.http.as_ref().map_or_else(|| "/".to_owned(), |http| http.path.clone()),
                }),
            }),
            TargetKind::Url(url) => {
                let url = TargetUrl::parse(&url.url).map_err(|e| bad_plan(&e))?;
                Ok(Way { host: url.host.clone(), port: url.port, url: Some(url) })
            }
            TargetKind::Dns(dns) => Ok(Way { host: dns.name.clone(), port: 0, url: None }),
        }
    }

    fn locals(&self) -> Locals {
        let endpoints = match &self.target.kind {
            TargetKind::Service(service) => service.endpoints.clone(),
            TargetKind::Url(_) | TargetKind::Dns(_) => Vec::new(),
        };
        let addresses = self.prober.environment.addresses.clone();
        Locals { addresses, endpoints, namespace: self.prober.namespace.clone() }
    }

    fn dialling<'a>(&'a self, locals: &'a Locals, datagram: Option<Vec<u8>>) -> Dialling<'a> {
        // A port of one protocol is not the port of the other.
        let udp = datagram.is_some();
        Dialling {
            connector: if udp { &self.prober.datagrams } else { &self.prober.connector },
            datagram: datagram.map(Into::into),
            gate: &self.prober.gate,
            allowance: &self.allowance,
            key: &self.key,
            target: self.target,
            rules: self.prober.environment.rules,
            locals,
            witness: self.prober.witness.as_deref(),
            watch: self.watch,
            pace: match self.trigger {
                Trigger::Interval => Pace::Spaced,
                Trigger::Event => Pace::Immediate,
            },
        }
    }
}

/// Whether there is nothing to be gained from another attempt: it worked, or it will fail the same way.
fn good(tls: Option<&Tls>, request: Option<&Request>) -> bool {
    match (tls.map(|tls| &tls.outcome), request) {
        (Some(TlsOutcome::Reset | TlsOutcome::Timeout), _) => false,
        (Some(TlsOutcome::UntrustedIssuer | TlsOutcome::Failed(_)), _) | (_, None) => true,
        (_, Some(request)) => {
            matches!(request.outcome, RequestOutcome::Status(status) if status < request.status_below)
        }
    }
}

/// A plan that cannot be walked: it says nothing about the network.
fn bad_plan(error: &dyn std::error::Error) -> LocalTrouble {
    LocalTrouble { what: format!("a usable plan: {error}"), errno: libc::EINVAL }
}

#[cfg(test)]
mod tests;
