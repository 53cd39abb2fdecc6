//! Reviews on a clock that stands still until told otherwise.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use peerwalk_model::Timestamp;
use tokio::time::advance;

use super::*;
use crate::expiry::jwt;

/// Tokens that begin with `pod` are valid, `late` ones after a second, `slow` ones never answered, `down` ones
/// unavailable.
#[derive(Default)]
struct Fake {
    asked: AtomicUsize,
    /// Questions that are open now, and the most that ever were.
    open: AtomicUsize,
    most: AtomicUsize,
}

/// A question that is open until it is answered or given up.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Authenticator for Fake {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodRef, AuthError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match token {
                "slow" => std::future::pending().await,
                "down" => Err(AuthError::Unavailable),
                _ if token.starts_with("late") => {
                    let open = Open(&self.open);
                    self.most.fetch_max(open.0.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(pod(token))
                }
                _ if token.starts_with("pod") => Ok(pod(token)),
                _ => Err(AuthError::Invalid("not a token of ours".to_owned())),
            }
        })
    }

    fn knows(&self, _: &PodRef) -> bool {
        true
    }
}

fn pod(name: &str) -> PodRef {
    PodRef { namespace: "shop".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") }
}

fn reviews(max_streams: usize) -> (Arc<Fake>, Reviews) {
    let fake = Arc::new(Fake::default());
    let config = Config { max_streams, ..Config::new(|| Timestamp::from_millis(0)) };
    (Arc::clone(&fake), Reviews::new(fake, &config, Metrics::default()))
}

fn asked(fake: &Fake) -> usize {
    fake.asked.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_remembered_for_its_time() {
    let (fake, reviews) = reviews(10);
    for _ in 0..3 {
        assert_eq!(reviews.review("pod-a", false).await, Ok(pod("pod-a")));
    }
    assert_eq!(asked(&fake), 1, "the second and third answer are remembered");
    advance(Duration::from_mins(5)).await;
    assert_eq!(reviews.review("pod-a", false).await, Ok(pod("pod-a")));
    assert_eq!(asked(&fake), 2, "after five minutes it is asked again");
    assert_eq!(reviews.review("pod-a", true).await, Ok(pod("pod-a")));
    assert_eq!(asked(&fake), 3, "afresh means afresh");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_remembered_no_longer_than_the_token_lives() {
    let (fake, reviews) = reviews(10);
    // The wall clock of these tests stands at 0.
    let token = format!("pod-{}", jwt(r#"{"exp":60}"#));
    for (passes, expected) in [(0, 1), (59, 1), (1, 2), (60, 3)] {
        advance(Duration::from_secs(passes)).await;
        assert!(reviews.review(&token, false).await.is_ok());
        assert_eq!(asked(&fake), expected, "{passes} s later");
    }
    let expired = format!("pod-{}", jwt(r#"{"exp":-1}"#));
    for expected in [4, 5] {
        assert!(reviews.review(&expired, false).await.is_ok());
        assert_eq!(asked(&fake), expected, "an answer about an expired token is not remembered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_briefly_and_trouble_not_at_all() {
    let (fake, reviews) = reviews(10);
    let invalid = Err(AuthError::Invalid("not a token of ours".to_owned()));
    assert_eq!(reviews.review("forged", false).await, invalid);
    assert_eq!(reviews.review("forged", false).await, invalid);
    assert_eq!(asked(&fake), 1, "a forged token is not asked about twice");
    advance(INVALID_TTL).await;
    assert_eq!(reviews.review("forged", false).await, invalid);
    assert_eq!(asked(&fake), 2, "after half a minute it is");
    for _ in 0..2 {
        assert_eq!(reviews.review("down", false).await, Err(AuthError::Unavailable));
    }
    assert_eq!(asked(&fake), 4, "trouble is not remembered");
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_unavailable() {
    let (_fake, reviews) = reviews(10);
    assert_eq!(reviews.review("slow", false).await, Err(AuthError::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn made_up_tokens_do_not_push_out_good_ones() {
    let (fake, reviews) = reviews(2);
    assert!(reviews.review("pod-a", false).await.is_ok());
    for n in 0..20 {
        assert!(reviews.review(&format!("forged-{n}"), false).await.is_err());
    }
    let before = asked(&fake);
    assert!(reviews.review("pod-a", false).await.is_ok());
    assert_eq!(asked(&fake), before, "the good token is still remembered");
    let held = reviews.remembered.lock().expect("not poisoned").len();
    assert!(held <= 4, "no more than twice the number of streams is held: {held}");
}

#[tokio::test(start_paused = true)]
async fn reviews_at_one_time_are_bounded_and_who_waits_too_long_comes_back_later() {
    let (fake, reviews) = reviews(10_000);
    let reviews = Arc::new(reviews);
    let all: Vec<_> = (0..1000)
        .map(|number| {
            let reviews = Arc::clone(&reviews);
            tokio::spawn(async move { reviews.review(&format!("late-{number}"), false).await })
        })
        .collect();
    let mut answered = (0, 0);
    for review in all {
        match review.await.expect("no panic") {
            Ok(_) => answered.0 += 1,
            Err(AuthError::Unavailable) => answered.1 += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fake.most.load(Ordering::Relaxed), 32, "as many as the configuration says");
    // Ten seconds of 32 a second; the last of them may end as the time does.
    assert!((288..=320).contains(&answered.0), "{answered:?}");
    assert_eq!(answered.0 + answered.1, 1000, "and everyone is answered: {answered:?}");
}
