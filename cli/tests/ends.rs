//! What ends stand for, and which connections are asked about.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

#[path = "support/given.rs"]
mod given;

use peerwalk_cli::end::{self, Role, resolve};
use peerwalk_cli::flows;
use peerwalk_manifests::Cluster;

const CLUSTER: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web}, ownerReferences:
  [{kind: StatefulSet, name: web, controller: true}]}, spec: {containers: [{ports: [{name: http, containerPort: 8080},
  {name: dns, containerPort: 53, protocol: UDP}]}]}, status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-2, namespace: shop, labels: {app: web}, ownerReferences:
  [{kind: StatefulSet, name: web, controller: true}]}, spec: {containers: [{ports: [{name: http, containerPort: 8081}]}]},
  status: {podIPs: [{ip: 10.0.0.2}], conditions: [{type: Ready, status: 'False'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: api, namespace: shop}, status: {podIP: 10.0.0.3}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done, namespace: shop}, status: {podIP: 10.0.0.3, phase: Succeeded}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, selector: {app: web},
  ports: [{name: http, port: 80, targetPort: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: empty, namespace: shop}, spec: {selector: {app: none}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}
";

/// The connections, or what is said instead.
fn asked(cluster: &Cluster, from: &str, to: &str) -> Vec<String> {
    let ask = || -> anyhow::Result<Vec<String>> {
        let (source, target) = (end::from(from)?, end::to(to)?);
        let source = resolve(cluster, &source, "shop", Role::From)?;
        let destination = resolve(cluster, &target.end, "shop", Role::To(target.port.as_ref()))?;
        let flows = flows::between(cluster, &source, &destination, target.port.as_ref(), target.protocol)?;
        let told = flows.asked.iter().map(|asked| {
            let flow = &asked.flow;
            let via =
                asked.via.as_ref().map_or(String::new(), |via| format!(" via {}:{}", via.name, via.port));
            let before = flow.service.map_or(String::new(), |service| format!(" ({service})"));
            format!(
                "{} {} → {} {}:{}/{}{via}{before}",
                flow.source, flow.source.ip, flow.destination, flow.destination.ip, flow.port, flow.protocol
            )
        });
        Ok(told.chain(flows.undecided.iter().map(|reason| format!("? {reason}"))).collect())
    };
    ask().unwrap_or_else(|error| vec![format!("! {error:#}")])
}

#[test]
fn ends_stand_for_connections() {
    let cluster = given::of(CLUSTER);
    let through = "shop/api 10.0.0.3 → shop/web-1 10.0.0.1:8080/TCP via web:80 (10.96.0.1:80)";
    let direct =
        ["shop/api 10.0.0.3 → shop/web-1 10.0.0.1:80/TCP", "shop/api 10.0.0.3 → shop/web-2 10.0.0.2:80/TCP"];
    let table: Vec<(&str, &str, Vec<&str>)> = vec![
        // A Service that has the port comes first; only what is ready, at the port of each pod.
        ("api", "web:80", vec![through]),
        ("shop/api", "shop/web", vec![through]),
        ("pod/shop/api", "svc/shop/web:http", vec![through]),
        ("api", "http://web.shop.svc.cluster.local/x", vec![through]),
        ("api", "10.96.0.1:80", vec![through]),
        // A port that it does not have, or the kind, means the workload.
        ("api", "sts/shop/web:80", direct.to_vec()),
        ("api", "web:dns", vec!["shop/api 10.0.0.3 → shop/web-1 10.0.0.1:53/UDP"]),
        ("api", "web-2", vec!["shop/api 10.0.0.3 → shop/web-2 10.0.0.2:8081/TCP"]),
        // A running pod has the address, not the one that is done; nodes and others.
        (
            "10.0.0.3",
            "fd00::1:53",
            vec!["! no port is known of fd00::1:53; name one, as in [fd00::1:53]:80 or [fd00::1:53]:53/UDP"],
        ),
        ("10.0.0.3", "[fd00::1]:53/UDP", vec!["? the two have no addresses of one family"]),
        ("node/n1", "10.0.0.3:443", vec!["node n1 192.168.0.1 → shop/api 10.0.0.3:443/TCP"]),
        ("api", "192.168.0.1:10250", vec!["shop/api 10.0.0.3 → node n1 192.168.0.1:10250/TCP"]),
        (
            "203.0.113.7",
            "web:80",
            vec!["203.0.113.7 203.0.113.7 → shop/web-1 10.0.0.1:8080/TCP via web:80 (10.96.0.1:80)"],
        ),
        // Both ends of one workload: not a pod to itself where it has others.
        (
            "web",
            "sts/shop/web:9",
            vec![
                "shop/web-1 10.0.0.1 → shop/web-2 10.0.0.2:9/TCP",
                "shop/web-2 10.0.0.2 → shop/web-1 10.0.0.1:9/TCP",
            ],
        ),
        ("api", "api:9", vec!["shop/api 10.0.0.3 → shop/api 10.0.0.3:9/TCP"]),
        // What cannot be asked, and why.
        (
            "api",
            "empty:80",
            vec![
                "? Service shop/empty has no endpoints for port 80/TCP: there is nothing that policies could let through",
            ],
        ),
        ("api", "svc/shop/web:81", vec!["! Service shop/web has no port 81; it has 80/TCP"]),
        (
            "api",
            "api",
            vec!["! no port is known of shop/api (Pod); name one, as in shop/api:80 or shop/api:53/UDP"],
        ),
        ("api", "api:http", vec!["! shop/api (Pod) has no port named http; use a number"]),
        (
            "api",
            "wbe",
            vec!["! a workload, pod or Service shop/wbe is not among what was read; did you mean shop/web?"],
        ),
        ("node/n2", "api:80", vec!["! node n2 is not among what was read; there are nodes such as n1"]),
    ];
    for (from, to, expected) in table {
        assert_eq!(asked(&cluster, from, to), expected, "{from} → {to}");
    }
}
