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

use super::*;

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

#[tokio::test(start_paused = true)]
async fn an_interruption_is_told_and_ends_with_a_new_list() {
    use Does::{End, Fail, List};
    let plan = [List, End, Fail, Fail, List];
    let server = Arc::new(Server { plan: Mutex::new(plan.into()), watches: Mutex::default() });
    let router = Router::new().route("/api/v1/nodes", get(nodes)).with_state(Arc::clone(&server));
    let (sender, mut events) = mpsc::channel(16);
    let api = Api::<SlimNode>::all(Client::new(router, "default"));
    let watching = tokio::spawn(run(api, sender));
    let mut told = Vec::new();
    while told.len() < 6 {
        told.push(match events.recv().await.expect("the watch goes on") {
            WatchEvent::Applied(node) => format!("applied {}", node.key),
            WatchEvent::Listed(kind, named) => format!("listed {} {kind:?}", named.len()),
            WatchEvent::Interrupted(kind) => format!("interrupted {kind:?}"),
            other @ WatchEvent::Deleted(..) => panic!("{other:?}"),
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
    let watching = tokio::spawn(run(Api::<SlimNode>::all(Client::try_from(config).unwrap()), sender));
    let told = tokio::time::timeout(READ + CONNECT, events.recv()).await;
    assert!(matches!(told, Ok(Some(WatchEvent::Interrupted(Kind::Node)))), "{told:?}");
    watching.abort();
    silent.abort();
}
