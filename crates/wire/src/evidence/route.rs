//! Conversion of proxy variables and attempts through a proxy.

use std::time::Duration;

use peerwalk_model::Timestamp;
use peerwalk_model::evidence::{ProxyAttempt, ProxyUse, Route};

use super::connect::{dials, dials_message};
use super::request;
use crate::error::WireError;
use crate::field::{list, micros, status, text, text_within};
use crate::{limits, proto};

pub(super) fn message(route: &Route) -> proto::Route {
    proto::Route {
        proxied: route.proxied.iter().map(use_message).collect(),
        not_visible: route.not_visible.clone(),
    }
}

pub(super) fn model(message: proto::Route) -> Result<Route, WireError> {
    let container = |name| text("route.not_visible", name);
    Ok(Route {
        proxied: list("route.proxied", message.proxied, limits::CONTAINERS, proxy_use)?,
        not_visible: list("route.not_visible", message.not_visible, limits::CONTAINERS, container)?,
    })
}

fn use_message(used: &ProxyUse) -> proto::ProxyUse {
    let exceptions = |(variable, value): &(String, String)| proto::Exceptions {
        variable: variable.clone(),
        value: value.clone(),
    };
    proto::ProxyUse {
        container: used.container.clone(),
        variable: used.variable.clone(),
        scheme: used.scheme.clone(),
        proxy: used.proxy.clone(),
        credentials: used.credentials,
        exceptions: used.exceptions.as_ref().map(exceptions),
        clients: used.clients.clone(),
        direct_clients: used.direct_clients.clone(),
        entry: used.entry.clone(),
    }
}

fn proxy_use(message: proto::ProxyUse) -> Result<ProxyUse, WireError> {
    let exceptions = |found: proto::Exceptions| {
        let value = text_within("route.proxied.exceptions", found.value, limits::EXCEPTIONS_BYTES)?;
        Ok((text("route.proxied.exceptions.variable", found.variable)?, value))
    };
    let client = |name| text("route.proxied.clients", name);
    Ok(ProxyUse {
        container: text("route.proxied.container", message.container)?,
        variable: text("route.proxied.variable", message.variable)?,
        scheme: text("route.proxied.scheme", message.scheme)?,
        proxy: text("route.proxied.proxy", message.proxy)?,
        credentials: message.credentials,
        exceptions: message.exceptions.map(exceptions).transpose()?,
        clients: list("route.proxied.clients", message.clients, limits::CLIENTS, client)?,
        direct_clients: list(
            "route.proxied.direct_clients",
            message.direct_clients,
            limits::CLIENTS,
            client,
        )?,
        entry: text("route.proxied.entry", message.entry)?,
    })
}

pub(super) fn attempt_message(attempt: &ProxyAttempt, sent_at: Timestamp) -> proto::ProxyAttempt {
    proto::ProxyAttempt {
        container: attempt.container.clone(),
        proxy: attempt.proxy.clone(),
        dials: dials_message(&attempt.dials, sent_at),
        connect_status: attempt.connect_status.map(u32::from),
        tls: attempt.tls.as_ref().map(request::tls_message),
        request: attempt.request.as_ref().map(request::message),
        elapsed_us: micros(attempt.elapsed),
    }
}

pub(super) fn attempt(
    message: proto::ProxyAttempt,
    received_at: Timestamp,
) -> Result<ProxyAttempt, WireError> {
    Ok(ProxyAttempt {
        container: text("proxied.container", message.container)?,
        proxy: text("proxied.proxy", message.proxy)?,
        dials: dials("proxied.dials", message.dials, received_at)?,
        connect_status: message
            .connect_status
            .map(|code| status("proxied.connect_status", code))
            .transpose()?,
        tls: message.tls.map(request::tls_model).transpose()?,
        request: message.request.map(request::model).transpose()?,
        elapsed: Duration::from_micros(message.elapsed_us),
    })
}
