//! What came of an attempt through a proxy, and whose answer it is: the proxy's own, the target's, or either.

use peerwalk_model::evidence::{Dial, DialOutcome, ProxyAttempt, Request, RequestOutcome, Tls};
use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Confidence, Reason, Timestamp, Verdict};

use crate::address::{Address, Answer, group};
use crate::rules::{request, tls};

/// The proxy asks for credentials (RFC 9110, section 15.5.8).
const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;
/// What proxies give for a target that they may not serve, and targets for a client that they do not admit.
pub(super) const FORBIDDEN: u16 = 403;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Some address of the proxy was left out and no other connected, which says nothing of it; and why.
    NotTried(String),
    /// The proxy's name leads nowhere.
    Unresolved,
    /// No address of the proxy connects.
    Unconnected,
    /// The proxy asks for credentials.
    AsksForCredentials,
    /// A status of the proxy itself, in answer to `CONNECT`.
    Refused(u16),
    /// 403 to a request in absolute form: the proxy's own answer or the target's.
    Forbidden,
    /// A failure status to a request in absolute form.
    Failed(u16),
    /// The proxy accepted the connection, and no answer came.
    NoAnswer(Reason),
    /// It failed inside the tunnel.
    Beyond(Verdict),
    /// The target answered.
    Worked,
}

impl Came {
    /// What came of `attempt`.
    pub fn of(attempt: &ProxyAttempt) -> Self {
        let connected = |dial: &Dial| matches!(dial.outcome, DialOutcome::Connected { .. });
        if !attempt.dials.iter().any(connected) {
            return Self::unconnected(attempt);
        }
        match (attempt.connect_status, &attempt.request) {
            (Some(200..=299), request) => Self::tunnelled(attempt, attempt.tls.as_ref(), request.as_ref()),
            (Some(PROXY_AUTHENTICATION_REQUIRED), _) => Self::AsksForCredentials,
            (Some(status), _) => Self::Refused(status),
            (None, Some(request)) => Self::absolute(request),
            (None, None) => Self::NoAnswer(Reason::NoResponse),
        }
    }

    /// Whether credentials that we do not have may be all that is missing.
    pub fn may_lack_credentials(&self) -> bool {
        matches!(
            self,
            Self::AsksForCredentials
                | Self::Refused(_)
                | Self::Forbidden
                | Self::Failed(_)
                | Self::NoAnswer(_)
        )
    }

    fn unconnected(attempt: &ProxyAttempt) -> Self {
        // Nothing of a proxy is remembered from earlier walks, so every dial stands.
        let dialled = group(attempt.dials.iter(), Timestamp::default());
        let left_out = |address: &Address| match address.answer {
            Answer::NotAllowed => Some(format!("{} may not be dialled", address.remote.ip())),
            Answer::Untried => Some(format!("there was no time left to dial {}", address.remote)),
            Answer::Resources(errno) => {
                Some(format!("the kernel refused the prober a socket to {} (errno {errno})", address.remote))
            }
            _ => None,
        };
        if dialled.is_empty() {
            return Self::Unresolved;
        }
        dialled.iter().find_map(left_out).map_or(Self::Unconnected, Self::NotTried)
    }

    /// A request in absolute form is answered by the target or by the proxy, and the answer does not say by whom.
    fn absolute(request: &Request) -> Self {
        match (&request.outcome, request::judged(request)) {
            (RequestOutcome::Status(PROXY_AUTHENTICATION_REQUIRED), _) => Self::AsksForCredentials,
            (RequestOutcome::Status(FORBIDDEN), _) => Self::Forbidden,
            (_, None) => Self::Worked,
            (RequestOutcome::Status(status), _) => Self::Failed(*status),
            (_, Some(verdict)) => Self::NoAnswer(verdict.reason.unwrap_or(Reason::NoResponse)),
        }
    }

    /// Inside the tunnel everything is the target's own, but for the certificate: a proxy that looks into TLS
    /// shows another.
    fn tunnelled(attempt: &ProxyAttempt, tls: Option<&Tls>, request: Option<&Request>) -> Self {
        let Some(handshake) = tls else { return Self::NoAnswer(Reason::NoResponse) };
        let through = |topic, said: String| {
            vec![Because::new(topic, format!("through proxy {}: {said}", attempt.proxy))]
        };
        if let Some(verdict) = tls::judged(handshake) {
            let mut because =
                through(Topic::Tls, format!("the handshake with {} failed", handshake.server_name));
            if verdict.reason == Some(Reason::TlsUntrustedIssuer) {
                let text = "a proxy that looks into TLS shows a certificate of its own, which the application may trust: that root in the check would decide";
                because.push(Because::new(Topic::Missing, text));
            }
            let confidence = verdict.confidence.min(Confidence::Likely);
            return Self::Beyond(Verdict { confidence, because, ..verdict });
        }
        let failed = request.and_then(|request| Some((request, request::judged(request)?)));
        failed.map_or(Self::Worked, |(request, verdict)| {
            let because = through(Topic::Request, answer(&request.outcome));
            Self::Beyond(Verdict { because, ..verdict })
        })
    }
}

/// The outcome of an exchange, in words.
pub(super) fn answer(outcome: &RequestOutcome) -> String {
    match outcome {
        RequestOutcome::Status(status) => format!("status {status}"),
        RequestOutcome::Reset => "the connection was reset".into(),
        RequestOutcome::NoResponse => "no answer".into(),
        RequestOutcome::Malformed(text) => format!("no HTTP: {text}"),
    }
}
