//! Certificates that change while the API server calls all the time.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[tokio::test]
async fn no_call_fails_while_the_certificate_changes() {
    const CHANGES: usize = 8;
    const CALLERS: usize = 4;
    let mut webhook = Webhook::start().await;
    let made: Vec<_> = (0..CHANGES).map(|_| certificate()).collect();
    // As the API server has it: the CA to come stands in the bundle beside the one in use.
    webhook.trust.extend(made.iter().map(|(_, trust)| trust.clone()));
    let webhook = Arc::new(webhook);
    let calls = Arc::new([const { AtomicU32::new(0) }; CALLERS]);
    let done = CancellationToken::new();
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (webhook, calls, done) = (Arc::clone(&webhook), Arc::clone(&calls), done.clone());
            tokio::spawn(async move {
                let review = review_of(&pod()).to_string();
                let mut kept = webhook.http2().await;
                while !done.is_cancelled() {
                    // Every second one keeps its connection, the others make one for each call.
                    if number % 2 == 0 {
                        kept = webhook.http2().await;
                    }
                    let (status, body) = send(&mut kept, "/mutate", review.clone().into()).await;
                    assert_eq!(status, StatusCode::OK);
                    patch_of(&serde_json::from_slice(&body).expect("JSON"));
                    calls[number].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let all_called_since = async |before: &[u32]| {
        while calls.iter().zip(before).any(|(calls, before)| calls.load(Ordering::Relaxed) < before + 2) {
            tokio::task::yield_now().await;
        }
    };
    for (server, _) in made {
        let before: Vec<u32> = calls.iter().map(|calls| calls.load(Ordering::Relaxed)).collect();
        webhook.tls.store(Arc::new(server));
        all_called_since(&before).await;
    }
    done.cancel();
    for caller in callers {
        caller.await.expect("no call failed");
    }
}
