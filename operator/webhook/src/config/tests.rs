//! Tests of the configuration's checks.

use super::*;

fn root_pem() -> String {
    rcgen::generate_simple_self_signed(["root".to_owned()]).expect("a certificate").cert.pem()
}

#[test]
fn quantities_are_read_as_kubernetes_reads_them() {
    let table = [
        ("10m", Some(10)),
        ("0.1", Some(100)),
        ("1", Some(1000)),
        ("1.5", Some(1500)),
        ("16Mi", Some((16 << 20) * 1000)),
        ("0.5Gi", Some((512 << 20) * 1000)),
        ("1k", Some(1_000_000)),
        ("33554432", Some((32 << 20) * 1000)),
        ("0", None),
        ("0m", None),
        ("", None),
        ("m", None),
        (".5", None),
        ("1.", None),
        ("1.2.3", None),
        ("-1", None),
        ("16MB", None),
        ("1 Mi", None),
        ("99999999999999999999", None),
        ("9999999999999Gi", None),
    ];
    for (text, expected) in table {
        let amount = Quantity::parse(Resource::Cpu, text).map(|quantity| quantity.amount()).ok();
        assert_eq!(amount, expected, "{text:?} in thousandths");
    }
}

fn list(cpu: &str, memory: &str) -> ResourceList {
    let parse = |resource, text| Quantity::parse(resource, text).expect("a quantity");
    ResourceList { cpu: parse(Resource::Cpu, cpu), memory: parse(Resource::Memory, memory) }
}

#[test]
fn a_request_above_its_limit_is_refused_by_name() {
    let error = ContainerResources::new(list("10m", "1Gi"), list("100m", "32Mi"))
        .expect_err("memory is above its limit");
    assert_eq!(
        error.to_string(),
        "memory request 1Gi is above the limit 32Mi: raise the limit or lower the request"
    );
}

#[test]
fn the_default_resources_are_what_parsing_gives() {
    let parsed = ContainerResources::new(list("10m", "16Mi"), list("100m", "32Mi"));
    assert_eq!(parsed, Ok(ContainerResources::default()));
}

#[test]
fn an_unusable_image_is_refused() {
    let root = HubRoot::parse(&root_pem()).expect("a root");
    for image in ["", "registry/peerwalk sidecar:1", "a\n"] {
        let error =
            InjectConfig::new(image, "hub:9443", root.clone(), "peerwalk").expect_err("not a reference");
        assert_eq!(error, ConfigError::Image(image.to_owned()));
    }
}

#[test]
fn pull_policies_are_spelled_as_in_the_pod_api() {
    for policy in [PullPolicy::Always, PullPolicy::IfNotPresent, PullPolicy::Never] {
        assert_eq!(policy.as_str().parse(), Ok(policy), "{policy:?} reads back");
    }
    assert!("ifnotpresent".parse::<PullPolicy>().is_err(), "the API is case-sensitive, so are we");
}

#[test]
fn a_root_is_known_by_its_certificate_and_not_by_its_white_space() {
    let pem = root_pem();
    let root = HubRoot::parse(&pem).expect("a root");
    let spaced = HubRoot::parse(&format!("\n{pem}\n\n")).expect("the same root");
    assert_eq!(root.fingerprint(), spaced.fingerprint(), "white space is no part of the certificate");
    assert_eq!(root.fingerprint().len(), 16, "16 digits");
    assert_ne!(root.fingerprint(), HubRoot::parse(&root_pem()).expect("another").fingerprint());
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
        assert_eq!(HubRoot::parse(text), Err(ConfigError::HubRoot), "{text:?} holds no certificate");
    }
}
