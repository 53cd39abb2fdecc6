//! Replicas that keep their certificates over one Secret, on a clock that stands still unless nothing else can happen.

use std::sync::atomic::{AtomicI64, Ordering};

use rustls::version::TLS13;
use tokio::sync::broadcast;

use super::*;
use crate::pki::SecretData;

const HUB: &str = "peerwalk-hub.peerwalk.svc";
const WEBHOOK: &str = "peerwalk-webhook.peerwalk.svc";
const OBJECT: &str = "/api/v1/namespaces/peerwalk/secrets/peerwalk-pki";

/// An API server with at most one Secret, which has versions and can be watched.
pub(super) struct Store {
    stored: Mutex<Option<Value>>,
    version: Mutex<u64>,
    events: broadcast::Sender<Value>,
    writes: Mutex<u32>,
}

impl Store {
    pub(super) fn with(authorities: &Authorities) -> Arc<Self> {
        let store = Arc::new(Self {
            stored: Mutex::new(None),
            version: Mutex::new(1),
            events: broadcast::Sender::new(64),
            writes: Mutex::new(0),
        });
        let metadata = json!({"name": SECRET, "namespace": "peerwalk", "annotations": {"theirs": "stays"}});
        let mut data = data(&authorities.to_data());
        data["other"] = json!(k8s_openapi::ByteString(b"stays".to_vec()));
        store.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}));
        store
    }

    /// Stores an object under the next version.
    fn put(&self, mut object: Value) -> Value {
        let mut version = self.version.lock().expect("unpoisoned");
        *version += 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        *self.stored.lock().expect("unpoisoned") = Some(object.clone());
        let _ = self.events.send(json!({"type": "MODIFIED", "object": object}));
        object
    }

    fn delete(&self) {
        let object = self.stored.lock().expect("unpoisoned").take().expect("a Secret");
        let _ = self.events.send(json!({"type": "DELETED", "object": object}));
    }

    fn get(&self) -> Option<Value> {
        self.stored.lock().expect("unpoisoned").clone()
    }

    fn annotate(&self, annotation: &str) {
        let mut object = self.get().expect("a Secret");
        object["metadata"]["annotations"][annotation] = json!("now");
        self.put(object);
    }

    fn writes(&self) -> u32 {
        *self.writes.lock().expect("unpoisoned")
    }

    fn api(self: &Arc<Self>) -> Api<Secret> {
        let list = async |State(store): State<Arc<Self>>, uri: Uri| {
            let query = uri.query().unwrap_or_default();
            assert!(query.contains("fieldSelector=metadata.name%3Dpeerwalk-pki"), "one object only: {query}");
            if !query.contains("watch=true") {
                let version = store.version.lock().expect("unpoisoned").to_string();
                let items: Vec<Value> = store.get().into_iter().collect();
                return Json(json!({"kind": "SecretList", "apiVersion": "v1", "items": items,
                    "metadata": {"resourceVersion": version}}))
                .into_response();
            }
            let events = store.events.subscribe();
            let lines = futures::stream::unfold(events, async |mut events| {
                let event = events.recv().await.ok()?;
                Some((Ok::<_, Infallible>(Bytes::from(format!("{event}\n"))), events))
            });
            Body::from_stream(lines).into_response()
        };
        let create = async |State(store): State<Arc<Self>>, Json(secret): Json<Value>| {
            *store.writes.lock().expect("unpoisoned") += 1;
            match store.get() {
                Some(_) => status(409, "AlreadyExists"),
                None => (StatusCode::CREATED, Json(store.put(secret))).into_response(),
            }
        };
        let replace = async |State(store): State<Arc<Self>>, Json(secret): Json<Value>| {
            *store.writes.lock().expect("unpoisoned") += 1;
            let stored = store.get();
            let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
            match stored {
                Some(stored) if version(&stored) == version(&secret) => {
                    Json(store.put(secret)).into_response()
                }
                Some(_) => status(409, "Conflict"),
                None => status(404, "NotFound"),
            }
        };
        let read = async |State(store): State<Arc<Self>>| match store.get() {
            Some(stored) => Json(stored).into_response(),
            None => status(404, "NotFound"),
        };
        let router = Router::new()
            .route("/api/v1/namespaces/peerwalk/secrets", get(list).post(create))
            .route(OBJECT, get(read).put(replace))
            .with_state(Arc::clone(self));
        Api::namespaced(kube::Client::new(router, "peerwalk"), "peerwalk")
    }
}

fn data(data: &SecretData) -> Value {
    let data = data.iter().map(|(key, value)| (key.clone(), json!(k8s_openapi::ByteString(value.clone()))));
    Value::Object(data.collect())
}

/// A replica at work.
pub(super) struct Replica {
    hub: Arc<ArcSwap<ServerConfig>>,
    pub(super) webhook: Arc<ArcSwap<ServerConfig>>,
    trusted: watch::Receiver<Trusted>,
    leading: watch::Sender<Leading>,
    carried: watch::Sender<Option<BTreeSet<String>>>,
    pub(super) told: watch::Sender<Option<String>>,
    pub(super) given: watch::Sender<Option<SecretData>>,
}

impl Replica {
    pub(super) async fn start(store: &Arc<Store>, leading: Leading) -> Self {
        Self::start_by(store, leading, now).await
    }

    async fn start_by(store: &Arc<Store>, leading: Leading, clock: fn() -> Timestamp) -> Self {
        let authorities = load_or_create(&store.api(), SECRET, now()).await.expect("authorities");
        let certificates = Certificates::issue(authorities, &SERVICES, now()).expect("leaves");
        let replica = Self {
            hub: certificates.hub_tls(),
            webhook: certificates.webhook_tls(),
            trusted: certificates.trusted(),
            leading: watch::Sender::new(leading),
            carried: watch::Sender::new(None),
            told: watch::Sender::new(None),
            given: watch::Sender::new(None),
        };
        let keeping = Keeping {
            secrets: store.api(),
            name: SECRET.to_owned(),
            leading: replica.leading.subscribe(),
            carried: replica.carried.subscribe(),
            told: replica.told.subscribe(),
            given: replica.given.subscribe(),
            clock,
        };
        tokio::spawn(certificates.keep(keeping, CancellationToken::new()));
        settle().await;
        replica
    }

    pub(super) fn trusts(&self) -> Trusted {
        self.trusted.borrow().clone()
    }

    fn hub_verified_by(&self, root: &str) -> bool {
        handshake(&self.hub.load_full(), root, HUB, &TLS13, now()).is_ok()
    }

    pub(super) fn webhook_verified_by(&self, bundle: &str) -> bool {
        handshake(&self.webhook.load_full(), bundle, WEBHOOK, &TLS13, now()).is_ok()
    }
}

/// Until nothing more happens by itself for a while. The clock is paused: this takes no time.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

async fn an_hour() {
    tokio::time::sleep(Duration::from_mins(62)).await;
}

async fn two_replicas() -> (Arc<Store>, Replica, Replica) {
    let store = Store::with(&Authorities::create(now()).expect("authorities"));
    let leader = Replica::start(&store, leads()).await;
    let standby = Replica::start(&store, Leading::default()).await;
    (store, leader, standby)
}

#[tokio::test(start_paused = true)]
async fn pods_of_both_roots_verify_every_replica_until_no_pod_has_the_old_one() {
    let (store, leader, standby) = two_replicas().await;
    let old = leader.trusts();
    assert_eq!(store.writes(), 0, "nothing is due");
    store.annotate("peerwalk.dev/rotate-hub-root");
    settle().await;
    let new = leader.trusts();
    assert_ne!(new.hub_root, old.hub_root, "new pods get the new one");
    assert_eq!(
        (store.writes(), standby.trusts()),
        (1, new.clone()),
        "once, and the other replica takes it over"
    );
    for (replica, name) in [(&leader, "leader"), (&standby, "standby")] {
        assert!(replica.hub_verified_by(&old.hub_root), "{name}, by pods of the old root");
        assert!(replica.hub_verified_by(&new.hub_root), "{name}, by pods of the new root");
    }
    assert_eq!(new.webhook_bundle, old.webhook_bundle, "the webhook has its own");
    let object = store.get().expect("a Secret");
    assert_eq!(object["metadata"]["annotations"], json!({"theirs": "stays"}), "it is carried out once");
    assert!(object["data"]["other"].is_string(), "what is not ours stays");

    // Every pod carries one of them, then only the new one.
    let old_only = &old.hub_fingerprints;
    an_hour().await;
    assert_eq!(leader.trusts(), new, "which pods there are is not known");
    leader.carried.send_replace(Some(new.hub_fingerprints.clone()));
    an_hour().await;
    assert_eq!(leader.trusts(), new, "some carry the old one");
    let rest: BTreeSet<String> = new.hub_fingerprints.difference(old_only).cloned().collect();
    standby.carried.send_replace(Some(rest.clone()));
    an_hour().await;
    assert_eq!(store.writes(), 1, "who does not lead forgets none");
    leader.carried.send_replace(Some(rest.clone()));
    settle().await;
    for replica in [&leader, &standby] {
        assert_eq!(replica.trusts().hub_fingerprints, rest);
        assert!(!replica.hub_verified_by(&old.hub_root), "the old root is forgotten");
        assert!(replica.hub_verified_by(&new.hub_root));
    }
}

#[tokio::test(start_paused = true)]
async fn the_webhooks_ca_rotates_through_the_bundle() {
    let (store, leader, standby) = two_replicas().await;
    let old = leader.trusts().webhook_bundle;
    store.annotate("peerwalk.dev/rotate-webhook-ca");
    settle().await;
    let both = leader.trusts().webhook_bundle;
    assert!(both.starts_with(&old) && both.len() > old.len(), "the new one stands beside the old one");
    let new = both[old.len()..].to_owned();
    an_hour().await;
    for replica in [&leader, &standby] {
        assert!(replica.webhook_verified_by(&old), "the API server does not have the new one");
        assert!(!replica.webhook_verified_by(&new));
    }
    leader.told.send_replace(Some(both.clone()));
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert!(leader.webhook_verified_by(&old), "not all API servers may have it");
    tokio::time::sleep(Duration::from_mins(2)).await;
    for replica in [&leader, &standby] {
        assert!(replica.webhook_verified_by(&new), "it signs");
        assert!(replica.webhook_verified_by(&both), "which the API server accepts");
        assert!(
            replica.trusts().webhook_bundle.contains(old.trim_end()),
            "another replica may still serve by it"
        );
    }
    an_hour().await;
    assert_eq!((leader.trusts().webhook_bundle, standby.trusts().webhook_bundle), (new.clone(), new));
    assert_eq!(store.writes(), 3, "three steps");
    an_hour().await;
    assert_eq!(store.writes(), 3, "and no more");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_deleted_is_made_again_and_a_damaged_one_changes_nothing() {
    let (store, leader, standby) = two_replicas().await;
    let before = leader.trusts();
    let whole = store.get().expect("a Secret");
    store.delete();
    settle().await;
    let again = store.get().expect("a Secret again");
    assert_eq!(again["data"]["hub-root.key"], whole["data"]["hub-root.key"], "the same authorities");
    assert_eq!(store.writes(), 1, "by the one that leads");

    let mut damaged = again.clone();
    damaged["data"]["hub-root.crt"] = json!("anVuaw==");
    store.put(damaged);
    store.annotate("peerwalk.dev/rotate-hub-root");
    an_hour().await;
    assert_eq!((leader.trusts(), standby.trusts()), (before.clone(), before), "what was in use stays in use");
    assert_eq!(store.writes(), 1, "and nothing is written over what somebody may mend");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_to_lead_carries_on() {
    let (store, leader, standby) = two_replicas().await;
    leader.leading.send_replace(Leading::default());
    store.annotate("peerwalk.dev/rotate-hub-root");
    settle().await;
    assert_eq!(store.writes(), 0, "nobody leads");
    standby.leading.send_replace(leads());
    settle().await;
    assert_eq!(store.writes(), 1);
    assert_eq!(leader.trusts(), standby.trusts());
    assert_eq!(leader.trusts().hub_fingerprints.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_finds_its_lease_over_rotates_nothing() {
    let (store, leader, _standby) = two_replicas().await;
    // As after a pause: nobody has said that the lead is lost.
    leader.leading.send_replace(Leading::Leader { term: 1, until: tokio::time::Instant::now() });
    store.annotate("peerwalk.dev/rotate-hub-root");
    an_hour().await;
    assert_eq!(store.writes(), 0, "the clock says it");
    leader.leading.send_replace(leads());
    settle().await;
    assert_eq!(store.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_that_lead_at_once_rotate_once() {
    let store = Store::with(&Authorities::create(now()).expect("authorities"));
    let (one, two) = (Replica::start(&store, leads()).await, Replica::start(&store, leads()).await);
    store.annotate("peerwalk.dev/rotate-hub-root");
    settle().await;
    assert_eq!(one.trusts(), two.trusts(), "the version that was read decides");
    assert_eq!(one.trusts().hub_fingerprints.len(), 2, "one old root, one new one");
}

#[tokio::test]
async fn authorities_that_ended_while_nobody_was_there_are_replaced_at_the_start() {
    let store = Store::with(&Authorities::create(now()).expect("authorities"));
    let before = store.get().expect("a Secret");
    let later = at("2037-01-01T00:00:00Z");
    let authorities = load_or_create(&store.api(), SECRET, later).await.expect("new ones");
    assert!(Certificates::issue(authorities, &SERVICES, later).is_ok(), "they can sign");
    let after = store.get().expect("a Secret");
    assert_ne!(before["data"]["hub-root.crt"], after["data"]["hub-root.crt"]);
    assert!(after["data"]["other"].is_string(), "what is not ours stays");
}

#[test]
fn leaves_that_ended_while_running_are_replaced_at_the_next_look() {
    let authorities = Authorities::create(now()).expect("authorities");
    let mut certificates = Certificates::issue(authorities, &SERVICES, now()).expect("leaves");
    for (moment, expected) in [
        ("2026-11-01T13:00:00Z", 0),
        // An hour either way changes nothing, more does.
        ("2026-11-01T11:00:00Z", 0),
        ("2026-12-25T12:00:00Z", 2),
        ("2026-12-25T13:00:00Z", 0),
        ("2026-11-01T12:00:00Z", 2),
    ] {
        assert_eq!(certificates.renew_due(at(moment)).expect("renewed"), expected, "at {moment}");
    }
}

/// Days that have passed by the wall clock alone: the machine slept, or its clock was set.
static SLEPT: AtomicI64 = AtomicI64::new(0);

fn after_sleep() -> Timestamp {
    let hours = 24 * SLEPT.load(Ordering::Relaxed);
    now().checked_add(jiff::SignedDuration::from_hours(hours)).expect("a moment")
}

#[tokio::test(start_paused = true)]
async fn leaves_that_end_while_it_runs_are_replaced_within_a_minute_and_verified_by_what_pods_trust() {
    let store = Store::with(&Authorities::create(now()).expect("authorities"));
    let replica = Replica::start_by(&store, Leading::default(), after_sleep).await;
    let trusts = replica.trusts();
    let verified = |replica: &Replica| {
        let hub = handshake(&replica.hub.load_full(), &trusts.hub_root, HUB, &TLS13, after_sleep());
        let bundle = &trusts.webhook_bundle;
        let webhook = handshake(&replica.webhook.load_full(), bundle, WEBHOOK, &TLS13, after_sleep());
        (hub.is_ok(), webhook.is_ok())
    };
    assert_eq!(verified(&replica), (true, true));
    // On and back again; authorities last for ten years.
    for days in [31, 365, 0] {
        SLEPT.store(days, Ordering::Relaxed);
        assert_eq!(verified(&replica), (false, false), "of {days} days they are not good");
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(verified(&replica), (true, true), "after {days} days");
        assert_eq!(replica.trusts(), trusts, "by the same authorities");
    }
}
