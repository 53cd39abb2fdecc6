//! Conversion of heartbeats and transitions.

use std::time::Duration;

use peerwalk_model::Timestamp;
use peerwalk_model::report::{Heartbeat, Sockets, TargetFreshness, Took, Transition};

use crate::error::WireError;
use crate::field::{age, key, key_message, list, micros, moment, stage, stage_value};
use crate::message::Transitions;
use crate::{limits, proto};

pub(crate) fn heartbeat_message(heartbeat: &Heartbeat, sent_at: Timestamp) -> proto::Heartbeat {
    let one = |fresh: &TargetFreshness| proto::Freshness {
        target: Some(key_message(&fresh.target)),
        signature: fresh.signature,
        started_age_ms: age(sent_at, fresh.started),
        ended_age_ms: age(sent_at, fresh.ended),
        since_age_ms: age(sent_at, fresh.since),
        consecutive: fresh.consecutive,
        elapsed_us: micros(fresh.elapsed),
        took: fresh
            .took
            .map(|took| proto::Took { connect_us: micros(took.connect), whole_us: micros(took.whole) }),
    };
    proto::Heartbeat {
        plan_generation: heartbeat.plan_generation,
        digest: heartbeat.digest,
        targets: heartbeat.targets.iter().map(one).collect(),
        transitions_lost: heartbeat.transitions_lost,
        sockets: Some(proto::Sockets {
            active: heartbeat.sockets.active,
            waiting: heartbeat.sockets.waiting,
            leaked: heartbeat.sockets.leaked,
            breakers: heartbeat.sockets.breakers,
        }),
    }
}

pub(crate) fn heartbeat(message: proto::Heartbeat, received_at: Timestamp) -> Result<Heartbeat, WireError> {
    let one = |fresh: proto::Freshness| {
        Ok(TargetFreshness {
            target: key("heartbeat.targets.target", fresh.target)?,
            signature: fresh.signature,
            started: moment(received_at, fresh.started_age_ms),
            ended: moment(received_at, fresh.ended_age_ms),
            since: moment(received_at, fresh.since_age_ms),
            consecutive: fresh.consecutive,
            elapsed: Duration::from_micros(fresh.elapsed_us),
            took: fresh.took.map(|took| Took {
                connect: Duration::from_micros(took.connect_us),
                whole: Duration::from_micros(took.whole_us),
            }),
        })
    };
    Ok(Heartbeat {
        plan_generation: message.plan_generation,
        digest: message.digest,
        targets: list("heartbeat.targets", message.targets, limits::TARGETS, one)?,
        transitions_lost: message.transitions_lost,
        sockets: message.sockets.map(sockets).unwrap_or_default(),
    })
}

fn sockets(message: proto::Sockets) -> Sockets {
    Sockets {
        active: message.active,
        waiting: message.waiting,
        leaked: message.leaked,
        breakers: message.breakers,
    }
}

pub(crate) fn transitions_message(transitions: &Transitions, sent_at: Timestamp) -> proto::Transitions {
    let one = |transition: &Transition| proto::Transition {
        target: Some(key_message(&transition.target)),
        age_ms: age(sent_at, transition.at),
        passed: transition.passed,
        stage: stage_value(transition.stage),
        signature: transition.signature,
    };
    proto::Transitions {
        first: transitions.first,
        transitions: transitions.transitions.iter().map(one).collect(),
    }
}

pub(crate) fn transitions(
    message: proto::Transitions,
    received_at: Timestamp,
) -> Result<Transitions, WireError> {
    let one = |transition: proto::Transition| {
        Ok(Transition {
            target: key("transitions.target", transition.target)?,
            at: moment(received_at, transition.age_ms),
            passed: transition.passed,
            stage: stage("transitions.stage", transition.stage)?,
            signature: transition.signature,
        })
    };
    Ok(Transitions {
        first: message.first,
        transitions: list("transitions", message.transitions, limits::TRANSITIONS, one)?,
    })
}
