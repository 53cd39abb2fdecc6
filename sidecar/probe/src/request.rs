//! The HTTP exchange: one request with a method without side effects. Redirects are not followed.

use std::time::Duration;

use futures::FutureExt as _;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use peerwalk_model::evidence::{Request, RequestOutcome, TlsOutcome};
use peerwalk_model::plan::{HttpMethod, HttpRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use crate::limits::{self, cut};
use crate::tls;
use crate::url::TargetUrl;

/// What a walk calls itself.
pub(crate) const AGENT: &str = concat!("peerwalk/", env!("CARGO_PKG_VERSION"));
/// A body is read this far and thrown away.
const BODY_LIMIT: usize = 64 * 1024;
/// And for this long: a stream of events never ends.
const BODY_TIME: Duration = Duration::from_millis(200);
/// Headers larger than this are refused as malformed.
const HEAD_LIMIT: usize = 64 * 1024;
/// What hyper says of a banner that it reads as an answer.
const NO_HTTP: &str = "invalid HTTP version parsed";

/// Whether a proxy is spoken to, which wants the whole URL (RFC 9112, section 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Origin,
    Absolute,
}

/// Makes the request over a connection. It takes until `deadline`, at most, and the body a little more of it.
///
/// The error is for a connection with TLS: in version 1.3 a server looks at the client's certificate when the
/// handshake is over for the client, and says then that it is missing.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    url: &TargetUrl,
    http: &HttpRequest,
    form: Form,
    deadline: Instant,
) -> Result<Request, TlsOutcome> {
    let begun = Instant::now();
    let found = |outcome| Request {
        method: http.method,
        url: cut(&url.to_string(), limits::URL).to_owned(),
        status_below: http.status_below,
        outcome,
        elapsed: begun.elapsed(),
    };
    let answer = timeout_at(deadline, converse(stream, url, http.method, form)).await;
    let (response, connection) = match answer {
        Ok(Ok(answered)) => answered,
        Ok(Err(Failure::Exchange(outcome))) => return Ok(found(outcome)),
        Ok(Err(Failure::Tls(outcome))) => return Err(outcome),
        Err(_) => return Ok(found(RequestOutcome::NoResponse)),
    };
    // The status is the answer. Whatever the body does comes after it, and changes nothing.
    let request = found(RequestOutcome::Status(response.status().as_u16()));
    let rest = async {
        tokio::select! {
            () = read_body(response) => {}
            _ = connection => {}
        }
    };
    let _ = timeout_at(deadline.min(Instant::now() + BODY_TIME), rest).await;
    Ok(request)
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    Exchange(RequestOutcome),
    Tls(TlsOutcome),
}

/// Sends the request and waits for the head of the answer. The connection has to be driven for its body.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    url: &TargetUrl,
    method: HttpMethod,
    form: Form,
) -> Result<(Response<Incoming>, impl Future), Failure> {
    let target = if form == Form::Absolute { url.to_string() } else { url.path.clone() };
    let request = hyper::Request::builder()
        .method(match method {
            HttpMethod::Head => Method::HEAD,
            HttpMethod::Get => Method::GET,
        })
        .uri(target)
        .header(HOST, url.authority())
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::Exchange(RequestOutcome::Malformed(clamp(&error.to_string()))))?;
    let handshake = http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
    let mut connection = Box::pin(connection.fuse());
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // The connection ends when the exchange is over, or fails; its own error says more.
        ended = &mut connection => match (answer.await, ended) {
            (Err(_), Err(error)) => Err(error),
            (answer, _) => answer,
        },
    };
    let response = answer.map_err(|error| failed(&error))?;
    Ok((response, connection))
}

/// Reads the body to its end or bound, so that the server is not cut off in the middle of an answer.
async fn read_body(response: Response<Incoming>) {
    let (mut body, mut read) = (response.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read >= BODY_LIMIT {
            return;
        }
    }
}

/// An error of the connection that is no word of the other end: an ICMP error on the way, or no acknowledgement.
pub(crate) fn told_by_others(error: &std::io::Error) -> bool {
    let number = error.raw_os_error();
    let icmp = [libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EACCES, libc::ECONNREFUSED, libc::ENOPROTOOPT];
    number.is_some_and(|number| number == libc::ETIMEDOUT || icmp.contains(&number))
}

fn failed(error: &hyper::Error) -> Failure {
    let cause = std::error::Error::source(error);
    // A request that was taken back before it was written says why in its cause.
    if error.is_canceled()
        && let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<hyper::Error>())
    {
        return failed(cause);
    }
    let io = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
    if let Some(outcome) = io.and_then(tls::refused) {
        return Failure::Tls(outcome);
    }
    if io.is_some_and(told_by_others) {
        return Failure::Exchange(RequestOutcome::NoResponse);
    }
    if io.is_some() || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        // A reset, an end or a broken pipe before an answer.
        return Failure::Exchange(RequestOutcome::Reset);
    }
    // A banner may come before the request is written or after it. It is the same finding, in the same words.
    let words = if error.is_parse() { error.to_string() } else { NO_HTTP.to_owned() };
    Failure::Exchange(RequestOutcome::Malformed(clamp(&words)))
}

/// At most 200 bytes of a library's words.
pub(crate) fn clamp(words: &str) -> String {
    cut(words, limits::WORDS).to_owned()
}

#[cfg(test)]
mod tests;
