//! What became of the direct connection when its exchange got no answer: what the kernel tells of it, and the same
//! exchange over small segments.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use peerwalk_model::evidence::{
    AfterConnect, Connection, LocalTrouble, Request, RequestOutcome, SmallSegments, Tls, TlsOutcome,
};
use tokio::time::{Instant, timeout_at};

use super::Tour;
use crate::budget::Pace;
use crate::connect::Dialling;
use crate::socket::connect_with_mss;
use crate::url::TargetUrl;

/// The small MSS of both families, bytes: what every IPv4 host accepts (RFC 9293, section 3.7.1). With IPv6 headers and
/// options it gives packets of 620 bytes at most, which leaves room for any tunnel in a path of 1280 (RFC 8200, section
/// 5).
const MSS: u16 = 536;
/// Time for an exchange over small segments, at least, and over usual ones after it.
const LEAST: Duration = Duration::from_secs(1);
/// And at most.
const MOST: Duration = Duration::from_secs(2);
/// Exchanges over usual segments, and over small ones, that must go as the first ones did: a server of which a half
/// hangs does all of that once in more than a hundred walks.
const USUAL: usize = 3;
const SMALL: usize = 2;

/// What came of one exchange, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Answer,
    Silence,
    /// A reset or an error: it says nothing of segments.
    Other,
}

/// Whether anything is to be found out about the connection: its exchange got no answer.
pub(super) fn unanswered(tls: Option<&Tls>, request: Option<&Request>) -> bool {
    let reset = matches!(tls.map(|tls| &tls.outcome), Some(TlsOutcome::Reset))
        || matches!(request.map(|request| &request.outcome), Some(RequestOutcome::Reset));
    reset || came(tls, request) == Came::Silence
}

fn came(tls: Option<&Tls>, request: Option<&Request>) -> Came {
    match (tls.map(|tls| &tls.outcome), request.map(|request| &request.outcome)) {
        (Some(TlsOutcome::Timeout), _) | (_, Some(RequestOutcome::NoResponse)) => Came::Silence,
        (Some(TlsOutcome::Reset), _) | (_, Some(RequestOutcome::Reset)) | (None, None) => Came::Other,
        _ => Came::Answer,
    }
}

impl Tour<'_> {
    /// Completes the evidence of an exchange that got no answer.
    pub(super) async fn after(
        &self,
        dialling: &Dialling<'_>,
        (remote, url): (SocketAddr, &TargetUrl),
        (tls, request): (Option<&Tls>, Option<&Request>),
        connection: Connection,
    ) -> AfterConnect {
        // Trouble of our own with what comes after the walk voids nothing that it found.
        let small_segments = if came(tls, request) == Came::Silence {
            self.small_segments(dialling, remote, url).await.unwrap_or(None)
        } else {
            None
        };
        AfterConnect { connection, small_segments }
    }

    /// Repeats the exchange over small segments. When that gets the answer, chance is excluded as far as it can be:
    /// usual segments must get none again, and small ones one again. `None` when that is not so, or cannot be asked.
    async fn small_segments(
        &self,
        dialling: &Dialling<'_>,
        remote: SocketAddr,
        url: &TargetUrl,
    ) -> Result<Option<SmallSegments>, LocalTrouble> {
        // One at a time, as any diagnosis.
        let Some(_permit) = dialling.gate.diagnosis(dialling.allowance).await else { return Ok(None) };
        if !self.granted(dialling, remote, 1).await {
            return Ok(None);
        }
        let begun = Instant::now();
        let told = |answered| Some(SmallSegments { mss: MSS, answered });
        match self.repeat(remote, url, Some(MSS), LEAST).await? {
            Came::Silence => return Ok(told(false)),
            Came::Other => return Ok(None),
            Came::Answer => {}
        }
        if !self.granted(dialling, remote, USUAL + SMALL).await {
            return Ok(None);
        }
        let time = (begun.elapsed() * 4).clamp(LEAST, MOST);
        let usual = (0..USUAL).map(|_| self.repeat(remote, url, None, time));
        let small = (0..SMALL).map(|_| self.repeat(remote, url, Some(MSS), time));
        let (usual, small) = tokio::join!(try_join_all(usual), try_join_all(small));
        let usual = usual?.into_iter().all(|came| came == Came::Silence);
        let small = small?.into_iter().all(|came| came == Came::Answer);
        Ok(told(true).filter(|_| usual && small))
    }

    /// Waits for the budget of so many connects.
    async fn granted(&self, dialling: &Dialling<'_>, remote: SocketAddr, connects: usize) -> bool {
        let each = (0..connects).map(|_| dialling.gate.connect(remote, Pace::Immediate, dialling.allowance));
        join_all(each).await.into_iter().all(|granted| granted)
    }

    async fn repeat(
        &self,
        remote: SocketAddr,
        url: &TargetUrl,
        mss: Option<u16>,
        time: Duration,
    ) -> Result<Came, LocalTrouble> {
        let deadline = Instant::now() + time;
        let census = self.prober.gate.census();
        let connected = match timeout_at(deadline, connect_with_mss(remote, mss, census)).await {
            Ok(connected) => connected?,
            Err(_) => None,
        };
        let Some((stream, _held)) = connected else { return Ok(Came::Other) };
        let (tls, request) = self.speak(stream, url, deadline).await?;
        Ok(came(tls.as_ref(), request.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(outcome: TlsOutcome) -> Tls {
        Tls { server_name: "a".into(), outcome, elapsed: Duration::ZERO }
    }

    fn request(outcome: RequestOutcome) -> Request {
        let method = peerwalk_model::plan::HttpMethod::Head;
        Request { method, url: "http://a/".into(), status_below: 500, outcome, elapsed: Duration::ZERO }
    }

    #[test]
    fn what_is_an_answer() {
        use RequestOutcome::{Malformed, NoResponse, Status};
        use TlsOutcome::{Established, Timeout, UntrustedIssuer};
        for (handshake, exchange, expected, asked) in [
            (None, Some(Status(503)), Came::Answer, false),
            (None, Some(Malformed("x".into())), Came::Answer, false),
            (None, Some(NoResponse), Came::Silence, true),
            (None, Some(RequestOutcome::Reset), Came::Other, true),
            (Some(Timeout), None, Came::Silence, true),
            (Some(TlsOutcome::Reset), None, Came::Other, true),
            (Some(UntrustedIssuer), None, Came::Answer, false),
            (Some(Established), Some(NoResponse), Came::Silence, true),
            (Some(Established), Some(Status(200)), Came::Answer, false),
            (None, None, Came::Other, false),
        ] {
            let (tls, request) = (handshake.map(tls), exchange.map(request));
            let (tls, request) = (tls.as_ref(), request.as_ref());
            assert_eq!(came(tls, request), expected, "{tls:?} {request:?}");
            assert_eq!(unanswered(tls, request), asked, "{tls:?} {request:?}");
        }
    }
}
