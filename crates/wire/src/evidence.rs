//! Conversion of walks.

mod after;
mod connect;
mod place;
mod request;
mod resolve;
mod route;

use peerwalk_model::Timestamp;
use peerwalk_model::Walk;
use peerwalk_model::evidence::{LocalTrouble, Trigger};

use crate::error::WireError;
use crate::field::{age, key, key_message, moment, text, unknown_enum};
use crate::proto;

pub(crate) fn walk_message(walk: &Walk, sent_at: Timestamp) -> proto::Walk {
    proto::Walk {
        target: Some(key_message(&walk.target)),
        plan_generation: walk.plan_generation,
        trigger: match walk.trigger {
            Trigger::Interval => proto::Trigger::Interval,
            Trigger::Event => proto::Trigger::Event,
        }
        .into(),
        interim: walk.interim,
        started_age_ms: age(sent_at, walk.started),
        ended_age_ms: age(sent_at, walk.ended),
        resolve: walk.resolve.as_ref().map(resolve::message),
        route: walk.route.as_ref().map(route::message),
        connect: walk.connect.as_ref().map(|connect| connect::message(connect, sent_at)),
        tls: walk.tls.as_ref().map(request::tls_message),
        request: walk.request.as_ref().map(request::message),
        proxied: walk.proxied.as_ref().map(|attempt| route::attempt_message(attempt, sent_at)),
        local: walk
            .local
            .as_ref()
            .map(|local| proto::LocalTrouble { what: local.what.clone(), errno: local.errno }),
        after: walk.after.as_ref().map(after::message),
        strain: walk.strain.as_ref().map(after::strain_message),
    }
}

pub(crate) fn walk(message: proto::Walk, received_at: Timestamp) -> Result<Walk, WireError> {
    let local = |local: proto::LocalTrouble| {
        Ok(LocalTrouble { what: text("evidence.local.what", local.what)?, errno: local.errno })
    };
    Ok(Walk {
        target: key("evidence.target", message.target)?,
        plan_generation: message.plan_generation,
        trigger: match proto::Trigger::try_from(message.trigger) {
            Ok(proto::Trigger::Interval) => Trigger::Interval,
            Ok(proto::Trigger::Event) => Trigger::Event,
            Ok(proto::Trigger::Unspecified) | Err(_) => {
                return Err(unknown_enum("evidence.trigger", message.trigger));
            }
        },
        interim: message.interim,
        started: moment(received_at, message.started_age_ms),
        ended: moment(received_at, message.ended_age_ms),
        resolve: message.resolve.map(resolve::model).transpose()?,
        route: message.route.map(route::model).transpose()?,
        connect: message.connect.map(|connect| connect::model(connect, received_at)).transpose()?,
        tls: message.tls.map(request::tls_model).transpose()?,
        request: message.request.map(request::model).transpose()?,
        proxied: message.proxied.map(|attempt| route::attempt(attempt, received_at)).transpose()?,
        local: message.local.map(local).transpose()?,
        after: message.after.map(after::model).transpose()?,
        strain: message.strain.as_ref().map(after::strain),
    })
}
