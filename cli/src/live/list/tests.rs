//! Lists of several pages, against a server of our own.

use std::sync::{Arc, Mutex};

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};

use super::super::kind::KINDS;
use super::*;

/// More than two pages.
const PODS: usize = 2 * PAGE as usize + 1;

/// Gives pages of the pods that there are, and knows what was asked.
#[derive(Default)]
struct Server {
    /// It forgets the moment of a first page at this request, once.
    forgets_at: Option<usize>,
    asked: Mutex<Vec<String>>,
}

fn status(code: StatusCode, reason: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason,
        "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}

async fn answer(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let field = |name: &str| {
        let mut fields = query.split('&').filter_map(|field| field.split_once('='));
        fields.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let number = {
        let mut asked = server.asked.lock().unwrap();
        asked.push(query.clone());
        asked.len()
    };
    if server.forgets_at == Some(number) {
        return status(StatusCode::GONE, "Expired");
    }
    let begin: usize = field("continue").map_or(0, |token| token.parse().unwrap());
    let limit = field("limit").map_or(PODS, |limit| limit.parse().unwrap());
    let end = (begin + limit).min(PODS);
    let pods: Vec<Value> = (begin..end)
        .map(|n| json!({"metadata": {"namespace": "shop", "name": format!("web-{n}")}, "spec": {"volumes": []}}))
        .collect();
    let token = if end < PODS { end.to_string() } else { String::new() };
    Json(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": token}, "items": pods}))
        .into_response()
}

/// What is listed of a server, and what it was asked.
async fn listed(server: Server) -> (Vec<Value>, Vec<String>) {
    let server = Arc::new(server);
    let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
    let client = Client::new(router, "default");
    let pods = KINDS.iter().find(|kind| kind.kind == "Pod").unwrap();
    let Listed::All(objects) = list(&client, pods, None, &mut Progress::default()).await.unwrap() else {
        panic!("everything may be listed");
    };
    let asked = server.asked.lock().unwrap().clone();
    (objects, asked)
}

fn each_once(objects: &[Value]) {
    let mut names: Vec<&str> = objects.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((objects.len(), names.len()), (PODS, PODS));
}

#[tokio::test]
async fn every_page_is_read() {
    let (objects, asked) = listed(Server::default()).await;
    each_once(&objects);
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|query| query.contains("limit=500")), "{asked:?}");
    let pod = &objects[PODS - 1];
    assert_eq!(pod["kind"], "Pod", "a list says it once for all");
    assert_eq!(pod["spec"], json!({}), "without what nothing reads");
}

#[tokio::test]
async fn a_list_that_the_server_forgets_on_the_way_is_read_at_once() {
    let (objects, asked) = listed(Server { forgets_at: Some(2), ..Server::default() }).await;
    each_once(&objects);
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(!asked[2].contains("limit") && !asked[2].contains("continue"), "all of it: {asked:?}");
}
