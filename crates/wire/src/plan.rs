//! Conversion of plans.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use peerwalk_model::TargetKey;
use peerwalk_model::plan::{
    Control, DialScope, DnsTarget, HttpMethod, HttpRequest, PlannedTarget, RecordType, Retries,
    ServiceTarget, ServiceTls, TargetKind, UrlTarget,
};

use crate::delta::{DeltaError, PlanDelta, within_limits};
use crate::error::WireError;
use crate::field::{
    ip, ip_bytes, ips, ips_bytes, key, key_message, list, micros, name, port, required, small, socket,
    socket_message, status, text, text_within, unknown_enum, within_targets,
};
use crate::{limits, proto};

pub(crate) fn delta_message(delta: &PlanDelta) -> proto::PlanDelta {
    proto::PlanDelta {
        base_generation: delta.base_generation,
        generation: delta.generation,
        upsert: delta.upsert.iter().map(|(key, target)| target_message(key, target)).collect(),
        remove: delta.remove.iter().map(key_message).collect(),
    }
}

pub(crate) fn delta(message: proto::PlanDelta) -> Result<PlanDelta, WireError> {
    within_targets("plan_delta.upsert", message.upsert.len())?;
    let upsert: BTreeMap<TargetKey, PlannedTarget> =
        message.upsert.into_iter().map(target).collect::<Result<_, _>>()?;
    within_limits(&upsert).map_err(|error| match error {
        DeltaError::TooManyTargetsOfCheck { count, limit, .. } => {
            WireError::TooMany { field: "plan_delta.upsert of one check", count, limit }
        }
        DeltaError::TooManyTargets { count, limit } => {
            WireError::TooMany { field: "plan_delta.upsert", count, limit }
        }
        DeltaError::OtherBase { .. } => WireError::Missing { field: "plan_delta.base_generation" },
    })?;
    let gone = |target| key("plan_delta.remove", Some(target));
    if message.generation == 0 {
        return Err(WireError::Missing { field: "plan_delta.generation" });
    }
    Ok(PlanDelta {
        base_generation: message.base_generation,
        generation: message.generation,
        upsert,
        remove: list("plan_delta.remove", message.remove, limits::TARGETS, gone)?,
    })
}

fn target_message(key: &TargetKey, target: &PlannedTarget) -> proto::PlannedTarget {
    use proto::planned_target::Kind;
    let kind = match &target.kind {
        TargetKind::Service(service) => Kind::Service(proto::ServiceTarget {
            hostname: service.hostname.clone(),
            port: u32::from(service.port),
            addresses: ips_bytes(&service.addresses),
            endpoints: service.endpoints.iter().copied().map(socket_message).collect(),
            tls: service.tls.as_ref().map(|tls| proto::ServiceTls { roots_pem: tls.roots_pem.clone() }),
        }),
        TargetKind::Url(url) => Kind::Url(proto::UrlTarget {
            url: url.url.clone(),
            roots_pem: url.roots_pem.clone(),
            networks: url.scope.networks.iter().copied().map(network_message).collect(),
            any_address: url.scope.any_address,
        }),
        TargetKind::Dns(dns) => {
            Kind::Dns(proto::DnsTarget { name: dns.name.clone(), record: record_value(dns.record) })
        }
    };
    let http = target.http.as_ref().map(|http| proto::HttpRequest {
        method: method_value(http.method),
        path: http.path.clone(),
        status_below: u32::from(http.status_below),
    });
    proto::PlannedTarget {
        key: Some(key_message(key)),
        kind: Some(kind),
        http,
        connect_timeout_us: micros(target.connect_timeout),
        total_timeout_us: micros(target.total_timeout),
        interval_us: micros(target.interval),
        retries: Some(proto::Retries {
            attempts: target.retries.attempts,
            backoff_us: micros(target.retries.backoff),
            max_backoff_us: micros(target.retries.max_backoff),
        }),
        controls: target.controls.iter().map(control_message).collect(),
    }
}

fn target(message: proto::PlannedTarget) -> Result<(TargetKey, PlannedTarget), WireError> {
    use proto::planned_target::Kind;
    let key = key("plan_delta.upsert.key", message.key)?;
    let kind = match required("plan_delta.upsert.kind", message.kind)? {
        Kind::Service(service) => TargetKind::Service(self::service(service)?),
        Kind::Url(url) => TargetKind::Url(self::url(url)?),
        Kind::Dns(dns) => TargetKind::Dns(DnsTarget {
            name: name("dns.name", dns.name)?,
            record: record("dns.record", dns.record)?,
        }),
    };
    let planned = PlannedTarget {
        kind,
        http: message.http.map(http).transpose()?,
        connect_timeout: duration("connect_timeout", message.connect_timeout_us)?,
        total_timeout: duration("total_timeout", message.total_timeout_us)?,
        interval: duration("interval", message.interval_us)?,
        retries: retries(required("retries", message.retries)?)?,
        controls: list("controls", message.controls, limits::CONTROLS, control)?,
    };
    Ok((key, planned))
}

fn service(message: proto::ServiceTarget) -> Result<ServiceTarget, WireError> {
    let endpoint = |address| socket("service.endpoints", Some(address));
    let tls = |tls: proto::ServiceTls| {
        Ok::<_, WireError>(ServiceTls { roots_pem: roots("service.tls.roots_pem", tls.roots_pem)? })
    };
    Ok(ServiceTarget {
        hostname: name("service.hostname", message.hostname)?,
        port: port("service.port", message.port)?,
        addresses: ips("service.addresses", message.addresses, limits::SERVICE_ADDRESSES)?,
        endpoints: list("service.endpoints", message.endpoints, limits::ENDPOINTS, endpoint)?,
        tls: message.tls.map(tls).transpose()?,
    })
}

fn roots(field: &'static str, pem: Option<String>) -> Result<Option<String>, WireError> {
    pem.map(|pem| text_within(field, pem, limits::ROOTS_BYTES)).transpose()
}

fn url(message: proto::UrlTarget) -> Result<UrlTarget, WireError> {
    let url = text_within("url.url", message.url, limits::URL_BYTES)?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        // The value may hold a credential, so it is not repeated.
        return Err(WireError::Invalid {
            field: "url.url",
            value: "of another scheme".to_owned(),
            expected: "http:// or https://",
        });
    }
    Ok(UrlTarget {
        url,
        roots_pem: roots("url.roots_pem", message.roots_pem)?,
        scope: DialScope {
            networks: list("url.networks", message.networks, limits::NETWORKS, |network| {
                self::network(&network)
            })?,
            any_address: message.any_address,
        },
    })
}

fn http(message: proto::HttpRequest) -> Result<HttpRequest, WireError> {
    let path = text_within("http.path", message.path, limits::URL_BYTES)?;
    if !path.starts_with('/') {
        return Err(WireError::Invalid {
            field: "http.path",
            value: path,
            expected: "a path beginning with /",
        });
    }
    Ok(HttpRequest {
        method: method("http.method", message.method)?,
        path,
        status_below: status("http.status_below", message.status_below)?,
    })
}

fn retries(message: proto::Retries) -> Result<Retries, WireError> {
    if message.attempts == 0 {
        return Err(WireError::Invalid {
            field: "retries.attempts",
            value: "0".to_owned(),
            expected: "at least 1",
        });
    }
    Ok(Retries {
        attempts: message.attempts,
        backoff: Duration::from_micros(message.backoff_us),
        max_backoff: Duration::from_micros(message.max_backoff_us),
    })
}

fn duration(field: &'static str, us: u64) -> Result<Duration, WireError> {
    if us == 0 {
        return Err(WireError::Invalid { field, value: "0".to_owned(), expected: "a time above 0" });
    }
    Ok(Duration::from_micros(us))
}

fn control_message(control: &Control) -> proto::Control {
    proto::Control {
        pod: control.pod.clone(),
        address: Some(socket_message(control.address)),
        proves: ips_bytes(&control.proves),
    }
}

fn control(message: proto::Control) -> Result<Control, WireError> {
    Ok(Control {
        pod: text("controls.pod", message.pod)?,
        address: socket("controls.address", message.address)?,
        proves: ips("controls.proves", message.proves, limits::ENDPOINTS)?,
    })
}

fn network_message(network: IpNet) -> proto::Network {
    proto::Network { ip: ip_bytes(network.addr()), prefix_length: u32::from(network.prefix_len()) }
}

fn network(message: &proto::Network) -> Result<IpNet, WireError> {
    let address = ip("url.networks.ip", &message.ip)?;
    let field = "url.networks.prefix_length";
    let prefix = small(field, message.prefix_length, "a prefix length, at most 32 or 128")?;
    IpNet::new(address, prefix).map_err(|_| WireError::Invalid {
        field,
        value: message.prefix_length.to_string(),
        expected: "a prefix length, at most 32 or 128",
    })
}

pub(crate) fn method_value(method: HttpMethod) -> i32 {
    match method {
        HttpMethod::Head => proto::HttpMethod::Head,
        HttpMethod::Get => proto::HttpMethod::Get,
    }
    .into()
}

pub(crate) fn method(field: &'static str, value: i32) -> Result<HttpMethod, WireError> {
    match proto::HttpMethod::try_from(value) {
        Ok(proto::HttpMethod::Head) => Ok(HttpMethod::Head),
        Ok(proto::HttpMethod::Get) => Ok(HttpMethod::Get),
        Ok(proto::HttpMethod::Unspecified) | Err(_) => Err(unknown_enum(field, value)),
    }
}

pub(crate) fn record_value(record: RecordType) -> i32 {
    match record {
        RecordType::A => proto::RecordType::A,
        RecordType::Aaaa => proto::RecordType::Aaaa,
    }
    .into()
}

pub(crate) fn record(field: &'static str, value: i32) -> Result<RecordType, WireError> {
    match proto::RecordType::try_from(value) {
        Ok(proto::RecordType::A) => Ok(RecordType::A),
        Ok(proto::RecordType::Aaaa) => Ok(RecordType::Aaaa),
        Ok(proto::RecordType::Unspecified) | Err(_) => Err(unknown_enum(field, value)),
    }
}
