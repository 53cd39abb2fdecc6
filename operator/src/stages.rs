//! The parts at work, in the stages in which they end.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Every part of a stage has to end within this after it is told to. All stages together end within the 30 s that a pod
/// has: the first two in a moment, or in the few seconds that a call to the API server may take.
const END_WITHIN: Duration = Duration::from_secs(8);
/// What answers others does so for this long after the end has begun: it takes a moment until every node knows that a
/// Service no longer leads here, and a call in that moment would find nobody.
const ANSWERS_FOR: Duration = Duration::from_secs(5);

/// Everything that runs.
#[derive(Default)]
pub struct Stages {
    /// What judges and writes: the controller.
    pub judging: Stage,
    /// What leads: the lease is released when nothing is written any more, so that another replica goes on before the
    /// sidecars are sent away.
    pub leading: Stage,
    /// What works besides: the hub and what keeps certificates.
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
            Some(ended) = self.judging.tasks.join_next() => ended,
            Some(ended) = self.leading.tasks.join_next() => ended,
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
        let answered = sleep(ANSWERS_FOR);
        self.judging.end().await;
        self.leading.end().await;
        self.work.end().await;
        answered.await;
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
    use tokio::time::Instant;

    use super::*;

    /// When a part of each stage was told to end, in seconds; each takes that long.
    async fn told(takes: Duration) -> [u64; 4] {
        let mut stages = Stages::default();
        let began = Instant::now();
        let (sender, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| oneshot::channel()).unzip();
        let Stages { judging, leading, work, answers } = &mut stages;
        for (stage, sender) in [judging, leading, work, answers].into_iter().zip(sender) {
            stage.start(|stop| async move {
                stop.cancelled().await;
                let _ = sender.send(began.elapsed().as_secs());
                sleep(takes).await;
                Ok(())
            });
        }
        stages.end().await;
        let mut told = [0; 4];
        for (at, receiver) in told.iter_mut().zip(receivers) {
            *at = receiver.await.unwrap();
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn each_stage_ends_when_the_one_before_has() {
        assert_eq!(told(Duration::from_secs(5)).await, [0, 5, 10, 15]);
        assert_eq!(told(Duration::ZERO).await, [0, 0, 0, 5], "calls may still come here");
        let stuck = told(Duration::from_hours(1)).await;
        assert_eq!(stuck, [0, 8, 16, 24], "nothing is waited for without end, nor longer than a pod has");
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
