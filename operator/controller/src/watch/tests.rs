//! What the engine hears of an API server that fails.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;
use tokio::time::timeout;

use super::*;

/// Nothing more comes.
const WITHIN: Duration = Duration::from_mins(1);

/// What the API server does to requests, in turn.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Lists one node.
    List,
    /// Ends a watch as it does after the time that was asked for.
    End,
    /// Fails.
    Fail,
    /// Says nothing any more.
    Rest,
}

struct Server {
    plan: Mutex<VecDeque<Does>>,
    /// The queries of watches.
    watches: Mutex<Vec<String>>,
}

async fn nodes(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let watch = query.contains("watch=true");
    if watch {
        server.watches.lock().unwrap().push(query.clone());
    }
    let next = server.plan.lock().unwrap().pop_front().unwrap_or(Does::Rest);
    match next {
        Does::List => {
            assert!(!watch, "a list was to come: {query}");
            let node = json!({"metadata": {"name": "n1", "resourceVersion": "1"}});
            let metadata = json!({"resourceVersion": "7"});
            Json(json!({"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": [node]}))
                .into_response()
        }
        Does::End => {
            assert!(watch, "a watch was to come: {query}");
            ().into_response()
        }
        Does::Fail => {
            let status = json!({"kind": "Status", "status": "Failure", "reason": "InternalError", "code": 500,
                "message": "etcd is away"});
            (StatusCode::INTERNAL_SERVER_ERROR, Json(status)).into_response()
        }
        Does::Rest => std::future::pending().await,
    }
}

async fn follow_nodes(client: Client, events: mpsc::Sender<WatchEvent>) {
    let watched = Watched { api: Api::<SlimNode>::all(client), kind: Kind::Node, named: SlimNode::named };
    run(&watched, &events).await;
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_told_and_ends_with_a_new_list() {
    use Does::{End, Fail, List};
    let plan = [List, End, Fail, Fail, List];
    let server = Arc::new(Server { plan: Mutex::new(plan.into()), watches: Mutex::default() });
    let router = Router::new().route("/api/v1/nodes", get(nodes)).with_state(Arc::clone(&server));
    let (sender, mut events) = mpsc::channel(16);
    let watching = tokio::spawn(follow_nodes(Client::new(router, "default"), sender));
    let mut told = Vec::new();
    while told.len() < 6 {
        told.push(match events.recv().await.expect("the watch goes on") {
            WatchEvent::Applied(node) => format!("applied {}", node.key),
            WatchEvent::Listed(kind, named) => format!("listed {} {kind:?}", named.len()),
            WatchEvent::Interrupted(kind) => format!("interrupted {kind:?}"),
            other => panic!("{other:?}"),
        });
    }
    let expected = [
        "applied n1",
        "listed 1 Node",
        // The first watch ended in its time and was gone on with; the next one failed, and so did a list.
        "interrupted Node",
        "interrupted Node",
        "applied n1",
        "listed 1 Node",
    ];
    assert_eq!(told, expected);
    let watches = server.watches.lock().unwrap().clone();
    let short = format!("timeoutSeconds={WATCH_SECONDS}");
    assert!(watches.len() >= 2 && watches.iter().all(|query| query.contains(&short)), "{watches:?}");
    drop(events);
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_accepts_and_says_nothing_is_an_interruption() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            taken.push(stream);
        }
    });
    let config = bounded(kube::Config::new(format!("http://{address}").parse().unwrap()));
    let (sender, mut events) = mpsc::channel(1);
    let watching = tokio::spawn(follow_nodes(Client::try_from(config).unwrap(), sender));
    let told = timeout(READ + CONNECT, events.recv()).await;
    assert!(matches!(told, Ok(Some(WatchEvent::Interrupted(Kind::Node)))), "{told:?}");
    watching.abort();
    silent.abort();
}

/// Lists one policy of the cluster for ever, and nothing happens to it.
async fn policies(RawQuery(query): RawQuery) -> Response {
    if query.is_some_and(|query| query.contains("watch=true")) {
        return std::future::pending().await;
    }
    let policy = json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "isolate", "resourceVersion": "1"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}},
    });
    let metadata = json!({"resourceVersion": "7"});
    let list = json!({
        "kind": "ClusterNetworkPolicyList", "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "metadata": metadata, "items": [policy],
    });
    Json(list).into_response()
}

#[tokio::test(start_paused = true)]
async fn a_kind_is_watched_while_it_is_served_and_told_when_it_is_no_more() {
    let path = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
    let client = Client::new(Router::new().route(path, get(policies)), "default");
    let kind = Kind::ClusterNetworkPolicy;
    let (serve, served) = watch::channel(BTreeSet::new());
    let (sender, mut events) = mpsc::channel(16);
    let api = Api::<DynamicObject>::all_with(client, &kind.api_resource().unwrap());
    let watched = Watched { api, kind, named: move |object| cluster_policy(kind, object) };
    let watching = tokio::spawn(run_while_served(watched, sender, served));
    for turn in ["first", "again"] {
        let early = timeout(WITHIN, events.recv()).await;
        assert!(early.is_err(), "{turn}: it is not served: {early:?}");
        serve.send_replace([kind, Kind::AdminNetworkPolicy].into());
        let Some(WatchEvent::Applied(policy)) = events.recv().await else { panic!("{turn}: a policy") };
        assert!(matches!(policy.value, Object::ClusterPolicy(of, Ok(_)) if of == kind), "{policy:?}");
        let listed = events.recv().await;
        assert!(matches!(&listed, Some(WatchEvent::Listed(of, named)) if *of == kind && named.len() == 1));
        serve.send_replace([Kind::AdminNetworkPolicy].into());
        let gone = events.recv().await;
        assert!(matches!(gone, Some(WatchEvent::NotServed(of)) if of == kind), "{turn}: {gone:?}");
    }
    drop(serve);
    let ended = timeout(WITHIN, watching).await;
    assert!(ended.is_ok(), "it ends with discovery");
}
