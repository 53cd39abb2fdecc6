//! What ends stand for, and which connections are asked about.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

#[path = "support/given.rs"]
mod given;

use peerwalk_cli::end::{self, Role, resolve};
use peerwalk_cli::flows::{self, Flows};
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

fn flows_of(cluster: &Cluster, from: &str, to: &str) -> anyhow::Result<Flows> {
    let (source, target) = (end::from(from)?, end::to(to)?);
    let source = resolve(cluster, &source, "shop", Role::From)?;
    let destination = resolve(cluster, &target.end, "shop", Role::To(target.port.as_ref(), target.protocol))?;
    Ok(flows::between(cluster, &source, &destination, target.port.as_ref(), target.protocol)?)
}

/// The connections, or what is said instead.
fn asked(cluster: &Cluster, from: &str, to: &str) -> Vec<String> {
    let flows = match flows_of(cluster, from, to) {
        Ok(flows) => flows,
        Err(error) => return vec![format!("! {error:#}")],
    };
    let told = flows.asked.iter().map(|asked| {
        let flow = &asked.flow;
        let via = asked.via.as_ref().map_or(String::new(), |via| format!(" via {}:{}", via.name, via.port));
        let before = flow.service.map_or(String::new(), |service| format!(" ({service})"));
        format!(
            "{} {} → {} {}:{}/{}{via}{before}",
            flow.source, flow.source.ip, flow.destination, flow.destination.ip, flow.port, flow.protocol
        )
    });
    told.chain(flows.undecided.iter().map(|reason| format!("? {reason}"))).collect()
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

const TEMPLATES: &str = "
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: etcd, namespace: shop}, spec: {replicas: 3, template:
  {metadata: {labels: {app: etcd}}, spec: {containers: [{ports: [{name: peer, containerPort: 2380}]}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: one, namespace: shop}, spec: {replicas: 1, template:
  {metadata: {labels: {app: one}}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: clients, namespace: shop}, spec: {selector: {app: etcd},
  ports: [{port: 2379, targetPort: peer}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: peers, namespace: shop}, spec: {clusterIP: None, selector: {app: etcd},
  ports: [{name: peer, port: 80, targetPort: peer}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: bare, namespace: shop}, spec: {clusterIP: None, selector: {app: etcd}}}
---
{apiVersion: v1, kind: Service, metadata: {name: udp, namespace: shop}, spec: {clusterIP: None, selector: {app: etcd},
  ports: [{port: 53, protocol: UDP}]}}
";

#[test]
fn a_template_of_several_pods_connects_to_another_of_them() {
    let cluster = given::of(TEMPLATES);
    let table = [
        ("etcd", "sts/shop/etcd:9", true),
        ("etcd", "clients:2379", true),
        ("etcd", "peers:2380", true),
        ("svc/shop/clients", "etcd:9", true),
        ("one", "one:9", false),
    ];
    for (from, to, expected) in table {
        let flows = flows_of(&cluster, from, to).unwrap();
        assert_eq!(flows.asked.len(), 1, "{from} → {to}");
        let flow = &flows.asked[0].flow;
        let (one, other) = (flow.source.as_pod().unwrap(), flow.destination.as_pod().unwrap());
        assert_eq!(!one.is_same(other), expected, "{from} → {to}");
        assert_eq!(flows.asked[0].is_among_replicas(), expected, "{from} → {to}");
        assert!(one.ips.is_empty() && other.ips.is_empty(), "no address is made up");
    }
}

#[test]
fn nothing_translates_a_headless_service() {
    let cluster = given::of(TEMPLATES);
    let at = |port: &str, via: &str| vec![format!("shop/one 0.0.0.0 → shop/etcd 0.0.0.0:{port} via {via}")];
    let table = [
        ("peers:80", at("80/TCP", "peers:80")),
        ("peers:2380", at("2380/TCP", "peers:2380")),
        ("http://peers.shop:9999", at("9999/TCP", "peers:9999")),
        // Without a port, and by its name, what the Service says of the pods.
        ("peers", at("2380/TCP", "peers:2380")),
        ("peers:peer", at("2380/TCP", "peers:2380")),
        ("udp:53", at("53/UDP", "udp:53")),
        ("bare:7", at("7/TCP", "bare:7")),
        (
            "bare",
            vec!["! no port is known of svc/shop/bare; name one, as in svc/shop/bare:80 or svc/shop/bare:53/UDP".into()],
        ),
        ("peers:http", vec!["! Service shop/peers has no port http; it has 80/TCP".into()]),
    ];
    for (to, expected) in table {
        assert_eq!(asked(&cluster, "one", to), expected, "{to}");
    }
}

const NODES: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: pg, namespace: shop, labels: {app: pg}}, spec: {containers: [{ports: [{name: sql,
  containerPort: 5432}]}]}, status: {podIP: 10.0.0.6}}
---
{apiVersion: v1, kind: Service, metadata: {name: pg, namespace: shop}, spec: {clusterIP: 10.96.0.9, externalIPs:
  [198.51.100.4, 192.168.1.19], selector: {app: pg}, ports: [{port: 5432, targetPort: sql, nodePort: 30432}]}, status:
  {loadBalancer: {ingress: [{ip: 203.0.113.10}]}}}
---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop}, spec: {clusterIP: 10.96.0.10, externalIPs:
  [198.51.100.4], selector: {app: pg}, ports: [{port: 80, targetPort: sql}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: udp, namespace: shop}, spec: {clusterIP: 10.96.0.11, externalIPs:
  [198.51.100.4], selector: {app: pg}, ports: [{port: 80, targetPort: 53, protocol: UDP}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n9}, status: {addresses: [{type: InternalIP, address: 192.168.1.19}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: bare}}
";

#[test]
fn addresses_and_ports_that_nodes_take_for_a_service_lead_to_its_endpoints() {
    let cluster = given::of(NODES);
    let through = |service: &str, port: u16, before: &str| {
        vec![format!("192.0.2.1 192.0.2.1 → shop/pg 10.0.0.6:5432/TCP via {service}:{port} ({before})")]
    };
    let directly = |port: u16| vec![format!("192.0.2.1 192.0.2.1 → node n9 192.168.1.19:{port}/TCP")];
    let table = [
        ("203.0.113.10:5432", through("pg", 5432, "203.0.113.10:5432")),
        ("203.0.113.10", through("pg", 5432, "203.0.113.10:5432")),
        // One address of two Services.
        ("198.51.100.4:5432", through("pg", 5432, "198.51.100.4:5432")),
        ("198.51.100.4:80", through("other", 80, "198.51.100.4:80")),
        (
            "198.51.100.4:80/UDP",
            vec!["192.0.2.1 192.0.2.1 → shop/pg 10.0.0.6:53/UDP via udp:80 (198.51.100.4:80)".into()],
        ),
        ("198.51.100.4:81", vec!["! Service shop/pg has no port 81; it has 5432/TCP".into()]),
        // A node's, and of its ports those of the Service alone.
        ("192.168.1.19:5432", through("pg", 5432, "192.168.1.19:5432")),
        ("192.168.1.19:30432", through("pg", 5432, "192.168.1.19:30432")),
        ("node/n9:30432", through("pg", 5432, "192.168.1.19:30432")),
        ("node/n9:30432/UDP", vec!["192.0.2.1 192.0.2.1 → node n9 192.168.1.19:30432/UDP".into()]),
        ("192.168.1.19:22", directly(22)),
        ("node/n9:22", directly(22)),
        (
            "node/bare:22",
            vec!["? node bare has no address in its status; ask about an address of it instead".into()],
        ),
    ];
    for (to, expected) in table {
        assert_eq!(asked(&cluster, "192.0.2.1", to), expected, "{to}");
    }
    let led = flows_of(&cluster, "192.0.2.1", "node/n9:30432").unwrap();
    assert!(led.asked[0].via.as_ref().is_some_and(|via| via.through_node));
    // As who connects, such an address is one outside.
    assert_eq!(asked(&cluster, "203.0.113.10", "pg:5432").len(), 1);
    assert_eq!(
        asked(&cluster, "node/bare", "pg:5432"),
        ["? node bare has no address in its status; ask about an address of it instead"]
    );
}
