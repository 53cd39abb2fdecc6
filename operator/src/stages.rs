//! The parts at work, in the two stages in which they end.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Every part of a stage has to end within this after it is told to.
const END_WITHIN: Duration = Duration::from_secs(8);

/// Everything that runs.
#[derive(Default)]
pub struct Stages {
    /// What works: the controller, the hub and what serves them.
    pub work: Stage,
    /// What answers others: the webhook, health and metrics. It ends last, and so pods that are made while the hub
    /// drains get a sidecar: a Service without a better endpoint leads to one that ends and still says it is ready.
    pub answers: Stage,
}

/// Parts that end together.
#[derive(Default)]
pub struct Stage {
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Stages {
    /// Until one of the parts has ended, and how it did.
    pub async fn failed(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            Some(ended) = self.work.tasks.join_next() => ended,
            Some(ended) = self.answers.tasks.join_next() => ended,
            else => return anyhow::anyhow!("the operator has no parts"),
        };
        match ended {
            Ok(Ok(())) => anyhow::anyhow!("a part of the operator ended"),
            Ok(Err(error)) => error,
            Err(panic) => panic.into(),
        }
    }

    /// Ends everything, within bounds.
    pub async fn end(mut self) {
        self.work.end().await;
        self.answers.end().await;
    }
}

impl Stage {
    /// Starts a part, which ends once the token that it is made with says so.
    pub fn start<F>(&mut self, part: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.spawn(part(self.shutdown.clone()));
    }

    async fn end(&mut self) {
        self.shutdown.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(END_WITHIN, all).await.is_err() {
            warn!(within = ?END_WITHIN, "not everything ended in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// When a part of each stage was told to end, in seconds; the one at work then takes that long.
    async fn told(takes: Duration) -> (u64, u64) {
        let mut stages = Stages::default();
        let (work, answers) = (oneshot::channel(), oneshot::channel());
        let began = Instant::now();
        stages.work.start(|stop| async move {
            stop.cancelled().await;
            let _ = work.0.send(began.elapsed().as_secs());
            sleep(takes).await;
            Ok(())
        });
        stages.answers.start(|stop| async move {
            stop.cancelled().await;
            let _ = answers.0.send(began.elapsed().as_secs());
            Ok(())
        });
        stages.end().await;
        (work.1.await.unwrap(), answers.1.await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_answers_ends_when_the_work_has() {
        assert_eq!(told(Duration::from_secs(5)).await, (0, 5));
        assert_eq!(told(Duration::from_hours(1)).await, (0, 8), "the work is not waited for without end");
    }

    #[tokio::test]
    async fn the_end_of_any_part_is_a_failure_that_says_why() {
        let mut stages = Stages::default();
        stages.work.start(|_| std::future::pending());
        stages.answers.start(|_| async { anyhow::bail!("the port is gone") });
        assert_eq!(stages.failed().await.to_string(), "the port is gone");
        stages.answers.start(|_| async { Ok(()) });
        assert_eq!(stages.failed().await.to_string(), "a part of the operator ended");
    }
}
