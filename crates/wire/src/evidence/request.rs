//! Conversion of handshakes and exchanges.

use std::time::Duration;

use peerwalk_model::evidence::{Request, RequestOutcome, Tls, TlsOutcome};

use crate::error::WireError;
use crate::field::{micros, required, status, text, text_within};
use crate::plan::{method, method_value};
use crate::{limits, proto};

pub(super) fn tls_message(tls: &Tls) -> proto::Tls {
    use proto::tls::Outcome;
    let outcome = match &tls.outcome {
        TlsOutcome::Established => Outcome::Established(proto::Empty {}),
        TlsOutcome::UntrustedIssuer => Outcome::UntrustedIssuer(proto::Empty {}),
        TlsOutcome::Failed(words) => Outcome::Failed(words.clone()),
        TlsOutcome::Reset => Outcome::Reset(proto::Empty {}),
        TlsOutcome::Timeout => Outcome::Timeout(proto::Empty {}),
    };
    proto::Tls {
        server_name: tls.server_name.clone(),
        elapsed_us: micros(tls.elapsed),
        outcome: Some(outcome),
    }
}

pub(super) fn tls_model(message: proto::Tls) -> Result<Tls, WireError> {
    use proto::tls::Outcome;
    let outcome = match required("tls.outcome", message.outcome)? {
        Outcome::Established(_) => TlsOutcome::Established,
        Outcome::UntrustedIssuer(_) => TlsOutcome::UntrustedIssuer,
        Outcome::Failed(words) => TlsOutcome::Failed(text("tls.failed", words)?),
        Outcome::Reset(_) => TlsOutcome::Reset,
        Outcome::Timeout(_) => TlsOutcome::Timeout,
    };
    Ok(Tls {
        server_name: text("tls.server_name", message.server_name)?,
        outcome,
        elapsed: Duration::from_micros(message.elapsed_us),
    })
}

pub(super) fn message(request: &Request) -> proto::Request {
    use proto::request::Outcome;
    let outcome = match &request.outcome {
        RequestOutcome::Status(code) => Outcome::Status(u32::from(*code)),
        RequestOutcome::Reset => Outcome::Reset(proto::Empty {}),
        RequestOutcome::NoResponse => Outcome::NoResponse(proto::Empty {}),
        RequestOutcome::Malformed(words) => Outcome::Malformed(words.clone()),
    };
    proto::Request {
        method: method_value(request.method),
        url: request.url.clone(),
        status_below: u32::from(request.status_below),
        elapsed_us: micros(request.elapsed),
        outcome: Some(outcome),
    }
}

pub(super) fn model(message: proto::Request) -> Result<Request, WireError> {
    use proto::request::Outcome;
    let outcome = match required("request.outcome", message.outcome)? {
        Outcome::Status(code) => RequestOutcome::Status(status("request.status", code)?),
        Outcome::Reset(_) => RequestOutcome::Reset,
        Outcome::NoResponse(_) => RequestOutcome::NoResponse,
        Outcome::Malformed(words) => RequestOutcome::Malformed(text("request.malformed", words)?),
    };
    Ok(Request {
        method: method("request.method", message.method)?,
        url: text_within("request.url", message.url, limits::URL_BYTES)?,
        status_below: status("request.status_below", message.status_below)?,
        outcome,
        elapsed: Duration::from_micros(message.elapsed_us),
    })
}
