//! The loop against an API server of our own, which holds one Lease, on a paused clock.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use peerwalk_controller::Leader;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

use super::decide::LEASE;
use super::*;

const NAME: &str = "peerwalk";

/// One Lease, or none, and what becomes of requests.
#[derive(Default)]
struct Server {
    stored: Mutex<Option<Value>>,
    version: Mutex<u64>,
    /// It takes requests and says nothing.
    silent: Mutex<bool>,
    /// It stores what is written and does not say so, in time.
    mute: Mutex<bool>,
    writes: Mutex<u32>,
}

fn status(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
        "reason": reason, "code": code});
    (StatusCode::from_u16(code).unwrap(), Json(body)).into_response()
}

impl Server {
    async fn answers(&self) {
        if *self.silent.lock().unwrap() {
            std::future::pending::<()>().await;
        }
    }

    fn store(&self, mut lease: Value) -> Response {
        let mut version = self.version.lock().unwrap();
        *version += 1;
        *self.writes.lock().unwrap() += 1;
        lease["metadata"]["resourceVersion"] = json!(version.to_string());
        *self.stored.lock().unwrap() = Some(lease.clone());
        Json(lease).into_response()
    }

    fn api(self: &Arc<Self>) -> Api<Lease> {
        let read = async |State(server): State<Arc<Self>>| {
            server.answers().await;
            let stored = server.stored.lock().unwrap().clone();
            stored.map_or_else(|| status(404, "NotFound"), |lease| Json(lease).into_response())
        };
        let replace = async |State(server): State<Arc<Self>>, Json(lease): Json<Value>| {
            server.answers().await;
            let stored = server.stored.lock().unwrap().clone();
            match stored {
                None => status(404, "NotFound"),
                Some(old) if old["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"] => {
                    status(409, "Conflict")
                }
                Some(_) => {
                    let stored = server.store(lease);
                    if *server.mute.lock().unwrap() {
                        std::future::pending::<()>().await;
                    }
                    stored
                }
            }
        };
        let create = async |State(server): State<Arc<Self>>, Json(lease): Json<Value>| {
            server.answers().await;
            if server.stored.lock().unwrap().is_some() {
                return status(409, "AlreadyExists");
            }
            server.store(lease)
        };
        let path = "/apis/coordination.k8s.io/v1/namespaces/peerwalk-system/leases";
        let router = Router::new()
            .route(path, post(create))
            .route(&format!("{path}/{NAME}"), get(read).put(replace))
            .with_state(Arc::clone(self));
        Api::namespaced(kube::Client::new(router, "peerwalk-system"), "peerwalk-system")
    }

    fn holder(&self) -> String {
        let stored = self.stored.lock().unwrap().clone().unwrap_or_default();
        stored["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    fn be_silent(&self, silent: bool) {
        *self.silent.lock().unwrap() = silent;
    }
}

/// A replica at work.
struct Replica {
    leading: watch::Receiver<Leading>,
    pulse: watch::Receiver<Instant>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(server: &Arc<Server>, pod: &str) -> Self {
        let (sender, leading) = watch::channel(Leading::default());
        let stop = CancellationToken::new();
        let (api, stopped) = (server.api(), stop.clone());
        let me = Me { pod: pod.to_owned(), uid: format!("uid-{pod}"), hub: hub(pod) };
        let (turns, pulse) = watch::channel(Instant::now());
        let task = tokio::spawn(async move { keep(api, NAME, &me, (sender, turns), stopped).await });
        Self { leading, pulse, stop, task }
    }

    fn leads(&self) -> bool {
        self.term().is_some()
    }

    fn term(&self) -> Option<u64> {
        self.leading.borrow().term(Instant::now())
    }

    fn leader(&self) -> Option<Leader> {
        match &*self.leading.borrow() {
            Leading::Standby { leader } => leader.clone(),
            Leading::Leader { .. } => None,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn hub(pod: &str) -> SocketAddr {
    let last = if pod == "a" { 1 } else { 2 };
    SocketAddr::from(([10, 0, 0, last], 9443))
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_makes_the_lease_and_the_second_knows_where_it_is() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    assert!(first.leads());
    let second = Replica::start(&server, "b");
    seconds(300).await;
    assert!(first.leads() && !second.leads(), "it is renewed");
    assert_eq!(server.holder(), "a_uid-a");
    assert_eq!(second.leader(), Some(Leader { name: "a".into(), hub: Some(hub("a")) }));
    let writes = *server.writes.lock().unwrap();
    assert!((55..=62).contains(&writes), "one write each 5 s, by the leader alone: {writes}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_released_is_taken_at_once() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    let second = Replica::start(&server, "b");
    seconds(20).await;
    let mut told = first.leading.clone();
    first.stop().await;
    assert_eq!(*told.borrow_and_update(), Leading::default(), "it leads no longer before it lets go");
    assert_eq!(server.holder(), "");
    seconds(3).await;
    assert!(second.leads());
    let third = Replica::start(&server, "c");
    seconds(1).await;
    third.stop().await;
    assert_eq!(server.holder(), "b_uid-b", "who does not lead releases nothing");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_after_a_whole_lease() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    let second = Replica::start(&server, "b");
    seconds(20).await;
    first.task.abort();
    let died = Instant::now();
    let mut redirects = Vec::new();
    while !second.leads() {
        redirects.push((died.elapsed().as_secs(), second.leader().is_some()));
        seconds(1).await;
    }
    let took = died.elapsed();
    assert!(
        took + Duration::from_secs(6) >= LEASE && took <= LEASE + LOOK + Duration::from_secs(1),
        "{took:?}"
    );
    let knows = |until: u64| redirects.iter().filter(|(at, _)| *at >= until).any(|(_, known)| *known);
    assert!(redirects[0].1 && !knows(12), "sidecars are not sent to the dead for long: {redirects:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_api_server_nobody_leads_and_afterwards_the_same_goes_on() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    let term = first.term();
    server.be_silent(true);
    seconds(8).await;
    assert!(first.leads(), "a short silence changes nothing");
    seconds(6).await;
    assert!(!first.leads(), "its lease may be another's soon");
    seconds(600).await;
    assert!(
        first.pulse.borrow().elapsed() < Duration::from_secs(10),
        "it turns whatever the API server does"
    );
    server.be_silent(false);
    seconds(4).await;
    assert!(term.is_some() && first.term() == term, "nobody led meanwhile: {:?}", first.term());
}

/// Streams stay with whoever led, and what sidecars told it meanwhile is known to nobody else.
#[tokio::test(start_paused = true)]
async fn after_the_api_server_was_away_the_same_leads_whoever_asks_first() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    let me = Me { pod: "b".to_owned(), uid: "uid-b".to_owned(), hub: hub("b") };
    let mut second = Election::new(server.api(), NAME, &me, watch::channel(Leading::default()).0);
    second.turn().await;
    let term = first.term();
    server.be_silent(true);
    seconds(60).await;
    assert!(!first.leads(), "nobody can know");
    server.be_silent(false);
    second.turn().await;
    assert_eq!(server.holder(), "a_uid-a", "the other asked first");
    seconds(4).await;
    assert!(term.is_some() && first.term() == term, "{:?}", first.term());
    first.task.abort();
    for _ in 0..10 {
        sleep_until(second.turn().await).await;
    }
    assert_eq!(server.holder(), "b_uid-b", "who died is followed all the same");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_paused_finds_that_it_leads_no_longer() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    let second = Replica::start(&server, "b");
    seconds(20).await;
    // It takes no turn for so long, as after SIGSTOP: nothing of the fake is polled while the clock jumps.
    advance(Duration::from_secs(40)).await;
    assert!(!first.leads(), "by the clock alone, before anything ran");
    seconds(60).await;
    assert!(first.leads() != second.leads(), "one of the two leads");
}

#[tokio::test(start_paused = true)]
async fn whose_lease_was_taken_knows_who_leads_and_begins_anew_later() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    assert_eq!(first.term(), Some(1));
    // Somebody writes another name: by hand, or after a pause of ours.
    let other = held(
        Some(&serde_json::from_value(server.stored.lock().unwrap().clone().unwrap()).unwrap()),
        NAME,
        "b_uid-b",
        hub("b"),
        Timestamp::now(),
    );
    server.store(serde_json::to_value(other).unwrap());
    seconds(6).await;
    assert!(!first.leads());
    assert_eq!(first.leader(), Some(Leader { name: "b".into(), hub: Some(hub("b")) }));
    seconds(20).await;
    assert_eq!(first.term(), Some(2), "another term: what was known is of before the other");
}

#[tokio::test(start_paused = true)]
async fn the_same_pod_goes_on_at_once_after_its_process_began_anew() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    first.task.abort();
    let again = Replica::start(&server, "a");
    seconds(1).await;
    assert!(again.leads(), "the record names this very pod");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_ends_the_lead_and_is_made_anew() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    *server.stored.lock().unwrap() = None;
    seconds(10).await;
    assert_eq!(first.term(), Some(2), "others could have led meanwhile");
    assert_eq!(server.holder(), "a_uid-a");
}

/// The write that takes the lease lands, and its answer is lost: the next look finds our own name.
#[tokio::test(start_paused = true)]
async fn who_takes_the_lease_from_another_begins_anew_whatever_becomes_of_the_answer() {
    let server = Arc::new(Server::default());
    let first = Replica::start(&server, "a");
    seconds(1).await;
    assert_eq!(first.term(), Some(1));
    let before: Lease = serde_json::from_value(server.stored.lock().unwrap().clone().unwrap()).unwrap();
    let other = held(Some(&before), NAME, "b_uid-b", hub("b"), Timestamp::now());
    server.store(serde_json::to_value(other).unwrap());
    seconds(6).await;
    assert_eq!(first.term(), None, "another leads");
    *server.mute.lock().unwrap() = true;
    while server.holder() != "a_uid-a" {
        seconds(1).await;
    }
    assert_eq!(first.term(), None, "it does not know that it has the lease");
    *server.mute.lock().unwrap() = false;
    seconds(6).await;
    assert_eq!(first.term(), Some(2), "the other has led");
}
