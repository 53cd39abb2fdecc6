//! What is read of objects, and what is said of those that cannot be read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may, in its helpers too")]

use peerwalk_manifests::{Cluster, Limits, Reader};

fn read(text: &str) -> Cluster {
    let mut reader = Reader::new(Limits::default());
    reader.text("shop.yaml", text.as_bytes());
    reader.finish()
}

fn problems(cluster: &Cluster) -> Vec<String> {
    cluster.problems.iter().map(ToString::to_string).collect()
}

/// Workloads with the names of their pods.
fn workloads(cluster: &Cluster) -> Vec<String> {
    let told = cluster.workloads.iter().map(|workload| {
        let pods: Vec<&str> = workload.pods.iter().map(|pod| pod.name.as_str()).collect();
        format!("{}: {}", workload.name, pods.join(" "))
    });
    told.collect()
}

#[test]
fn every_kind_of_workload_is_expanded_from_its_template() {
    let template = "{metadata: {labels: {app: web}}, spec: {hostNetwork: true, containers: [{ports: [{name: http, containerPort: 80}]}]}}";
    let kinds = [
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "Job"),
        ("batch/v1", "CronJob"),
        ("v1", "ReplicationController"),
    ];
    for (version, kind) in kinds {
        let spec = format!("{{template: {template}}}");
        let spec = if kind == "CronJob" { format!("{{jobTemplate: {{spec: {spec}}}}}") } else { spec };
        let cluster =
            read(&format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: web}}, spec: {spec}}}"));
        assert_eq!(problems(&cluster), [""; 0], "{kind}");
        assert_eq!(workloads(&cluster), [format!("default/web ({kind}): web")]);
        let pod = &cluster.workloads[0].pods[0];
        assert_eq!(pod.labels.get("app").map(String::as_str), Some("web"), "{kind}");
        assert!(pod.host_network, "{kind}");
        assert_eq!(pod.named_ports[0].number, 80, "{kind}");
    }
}

const POD_OF_DEPLOYMENT: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: web-7c9f-abcde
  namespace: shop
  labels: {app: web, pod-template-hash: 7c9f}
  ownerReferences: [{kind: ReplicaSet, name: web-7c9f, controller: true}]
";

#[test]
fn pods_belong_to_the_uppermost_controller() {
    let deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {template: {}}}";
    let of_node = "{apiVersion: v1, kind: Pod, metadata: {name: kube-proxy-a, ownerReferences: [{kind: Node, name: a, controller: true}]}}";
    let job = "{apiVersion: batch/v1, kind: Job, metadata: {name: nightly-1, ownerReferences: [{kind: CronJob, name: nightly, controller: true}]}, spec: {template: {}}}";
    let table: [(&str, &[&str]); 4] = [
        ("", &["shop/web (Deployment): web-7c9f-abcde"]),
        (deployment, &["shop/web (Deployment): web-7c9f-abcde"]),
        (of_node, &["default/kube-proxy-a (Pod): kube-proxy-a", "shop/web (Deployment): web-7c9f-abcde"]),
        (job, &["default/nightly (CronJob): nightly-1", "shop/web (Deployment): web-7c9f-abcde"]),
    ];
    for (beside, expected) in table {
        let cluster = read(&format!("{POD_OF_DEPLOYMENT}---\n{beside}\n"));
        assert_eq!(problems(&cluster), [""; 0], "{beside}");
        assert_eq!(workloads(&cluster), expected, "beside {beside:?}");
    }
    let mut reader = Reader::new(Limits::default()).as_np_guard();
    reader.text("shop.yaml", format!("{POD_OF_DEPLOYMENT}---\n{deployment}").as_bytes());
    let expected = ["shop/web (Deployment): web", "shop/web-7c9f (ReplicaSet): web-7c9f-abcde"];
    assert_eq!(workloads(&reader.finish()), expected, "np-guard follows one owner");
}

#[test]
fn pods_are_read_as_policies_see_them() {
    let cluster = read(
        "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web, image: own}}
spec:
  nodeName: a
  containers:
  - {name: web, ports: [{name: http, containerPort: 80}, {containerPort: 81}]}
  initContainers:
  - {name: once, ports: [{name: once, containerPort: 1}]}
  - {name: mesh, restartPolicy: Always, ports: [{name: mesh, containerPort: 15001, protocol: UDP}]}
status: {phase: Succeeded, podIP: 10.244.0.7, podIPs: [{ip: 10.244.0.7}, {ip: 'fd00::7'}]}
",
    );
    let pod = &cluster.workloads[0].pods[0];
    assert_eq!(pod.labels.get("image").map(String::as_str), Some("own"));
    assert_eq!(pod.node.as_deref(), Some("a"));
    assert!(pod.finished);
    assert_eq!(pod.ips, ["10.244.0.7".parse::<std::net::IpAddr>().unwrap(), "fd00::7".parse().unwrap()]);
    let ports: Vec<String> = pod
        .named_ports
        .iter()
        .map(|port| format!("{} {}/{} {}", port.name, port.number, port.protocol, port.init))
        .collect();
    assert_eq!(ports, ["http 80/TCP false", "mesh 15001/UDP true"]);
}

const POSTGRES: &str = "
apiVersion: v1
kind: Pod
metadata: {name: postgres-0, namespace: ledger, labels: {app: postgres}}
spec: {containers: [{ports: [{name: pg, containerPort: 5432}]}]}
status: {podIP: 10.244.0.8}
---
apiVersion: v1
kind: Service
metadata: {name: postgres, namespace: ledger}
spec:
  clusterIP: 10.96.0.8
  selector: {app: postgres}
  ports: [{name: db, port: 5433, targetPort: pg}, {name: metrics, port: 9187}]
";

#[test]
fn services_lead_to_what_they_select_or_their_slices_say() {
    let slice = "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: postgres-x, namespace: ledger, labels: {kubernetes.io/service-name: postgres}}
addressType: IPv4
endpoints:
- {addresses: [10.244.0.8], targetRef: {kind: Pod, name: postgres-0, namespace: ledger}}
- {addresses: [192.0.2.9], conditions: {ready: false}}
ports: [{name: db, port: 5432}]
";
    let table: [(&str, &[&str]); 2] = [
        ("", &["0 postgres-0 10.244.0.8:5432 true", "1 postgres-0 10.244.0.8:9187 true"]),
        (slice, &["0 postgres-0 10.244.0.8:5432 true", "0 - 192.0.2.9:5432 false"]),
    ];
    for (slices, expected) in table {
        let cluster = read(&format!("{POSTGRES}{slices}"));
        assert_eq!(problems(&cluster), [""; 0]);
        let endpoints = cluster.services[0].endpoints.iter().map(|endpoint| {
            let pod = endpoint.pod.as_ref().map_or("-", |pod| pod.name.as_str());
            let ip = endpoint.ip.unwrap();
            format!("{} {pod} {ip}:{} {}", endpoint.port, endpoint.target_port, endpoint.ready)
        });
        assert_eq!(endpoints.collect::<Vec<_>>(), expected, "with slices {slices:?}");
    }
}

/// Addresses and ports that lead to what stands behind a Service, and are not its own.
#[test]
fn services_have_other_addresses_that_lead_into_the_cluster() {
    let all = "externalIPs: [198.51.100.4], ports: [{port: 80, nodePort: 30080}, {port: 81, nodePort: 0}]";
    let ingress = "status: {loadBalancer: {ingress: [{ip: 203.0.113.10}, {hostname: lb.example}]}}";
    // The rest of the spec; whether it is headless, its other addresses and its ports of nodes.
    let table = [
        (
            "type: LoadBalancer, clusterIP: 10.96.0.9",
            (false, "198.51.100.4 203.0.113.10", [Some(30080), None]),
        ),
        ("type: NodePort", (false, "198.51.100.4 203.0.113.10", [Some(30080), None])),
        ("clusterIP: None", (true, "", [None, None])),
        ("clusterIPs: [None]", (true, "", [None, None])),
        ("type: ExternalName, externalName: db.example", (false, "", [None, None])),
    ];
    for (spec, expected) in table {
        let text = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{{spec}, {all}}}, {ingress}}}"
        );
        let cluster = read(&text);
        assert_eq!(problems(&cluster), [""; 0], "{spec}");
        let service = &cluster.services[0];
        let external: Vec<String> = service.external.iter().map(ToString::to_string).collect();
        let ports = [service.ports[0].node_port, service.ports[1].node_port];
        assert_eq!((service.headless, external.join(" ").as_str(), ports), expected, "{spec}");
    }
    let wrong = read(
        "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {externalIPs: [a], ports: [{port: 80, nodePort: 70000}]}}",
    );
    let fields: Vec<&str> = wrong.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["spec.externalIPs[0]", "spec.ports[0].nodePort"]);
}

const POLICY: &str =
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: shop}, spec: ";

#[test]
fn policies_are_read_or_refused_with_the_field() {
    // The spec, and the beginning of what is said of it; nothing where it is read.
    let table = [
        ("{}", ""),
        ("{ingress: [null]}", ""),
        ("{podSelector: {matchLabels: {a: 1}}}", "spec.podSelector: "),
        ("{ingress: [{ports: [{port: 70000}]}]}", "spec.ingress[0].ports[0].port: 70000 is not a port"),
        ("{ingress: [{ports: [{port: 99999999999}]}]}", "spec.ingress[0].ports[0]: "),
        (
            "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]}",
            "spec.ingress[0].from[0].ipBlock.except[0]: ",
        ),
        ("{ingress: [{from: [null]}]}", "spec.ingress[0].from[0]: names no peer"),
        ("{ingress: [{from: {podSelector: {}}}]}", "spec.ingress[0].from: "),
        ("{egress: 7}", "spec.egress: "),
        ("{policyTypes: Ingress}", "spec.policyTypes: "),
        ("7", "spec: "),
    ];
    for (spec, expected) in table {
        let cluster =
            read(&format!("{POLICY}{spec}}}\n---\n{POLICY}{{}}}}\n").replacen("name: p,", "name: q,", 1));
        let said = problems(&cluster);
        if expected.is_empty() {
            assert_eq!(said, [""; 0], "{spec}");
            assert_eq!(cluster.policies.len(), 2, "{spec}");
            continue;
        }
        let expected = format!("shop.yaml:1: NetworkPolicy shop/q: {expected}");
        assert!(said.len() == 1 && said[0].starts_with(&expected), "{spec} says {said:?}, not {expected}");
        assert_eq!(cluster.policies.len(), 1, "the other policy is read beside {spec}");
        assert_eq!(cluster.unreadable.len(), 1, "{spec}");
    }
}

/// They may deny what is allowed.
#[test]
fn policies_of_a_data_planes_own_kinds_cannot_be_read() {
    for (version, kind) in [("cilium.io/v2", "CiliumNetworkPolicy"), ("k8s.ovn.org/v1", "EgressFirewall")] {
        let text =
            format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: own, namespace: shop}}}}");
        let cluster = read(&text);
        let unreadable: Vec<String> = cluster.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(unreadable, [format!("ClusterNetworkPolicy ({kind} shop/own)")]);
        let told = problems(&cluster);
        assert!(told[0].contains(kind) && told[0].contains("undecided"), "{told:?}");
    }
    let other = read("{apiVersion: cilium.io/v2, kind: CiliumNode, metadata: {name: n1}}");
    assert_eq!((other.unreadable.len(), other.problems.len()), (0, 0), "of no connection");
}

#[test]
fn an_empty_item_of_rules_admits_everybody() {
    let cluster = read(&format!("{POLICY}{{ingress: [null]}}}}"));
    let rules = cluster.policies[0].ingress.as_ref().unwrap();
    assert!(rules.len() == 1 && rules[0].peers.is_empty() && rules[0].ports.is_empty(), "{rules:?}");
}

#[test]
fn lists_and_documents_and_json_are_the_same() {
    let item = r#"{"metadata":{"name":"web","namespace":"shop"},"spec":{"containers":[]}}"#;
    let whole = item.replacen('{', r#"{"apiVersion":"v1","kind":"Pod","#, 1);
    let table = [
        format!(r#"{{"apiVersion":"v1","kind":"PodList","items":[{item}]}}"#),
        format!(r#"{{"apiVersion":"v1","kind":"List","items":[{whole}]}}"#),
        format!("{whole}\n{whole}"),
        format!("[{whole}]"),
        format!("# a comment\n---\n---\n{whole}\n...\n"),
        format!("\u{feff}%YAML 1.2\n---\n{whole}\n"),
        "apiVersion: v1\nkind: Pod\nmetadata: &m {name: web, namespace: shop}\nspec: {x: *m}\n".to_owned(),
    ];
    for text in table {
        let cluster = read(&text);
        assert_eq!(problems(&cluster), [""; 0], "{text}");
        assert_eq!(workloads(&cluster), ["shop/web (Pod): web"], "{text}");
    }
}

#[test]
fn kinds_of_the_same_name_are_told_apart() {
    let table = [
        ("serving.knative.dev/v1", "Service", 0),
        ("cluster.x-k8s.io/v1", "Node", 0),
        ("projectcalico.org/v3", "NetworkPolicy", 1),
        ("cilium.io/v2", "CiliumNetworkPolicy", 1),
        ("kustomize.config.k8s.io/v1", "Kustomization", 1),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", 0),
    ];
    for (version, kind, said) in table {
        let cluster =
            read(&format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: web}}, spec: 7}}"));
        assert_eq!(problems(&cluster).len(), said, "{version} {kind}: {:?}", problems(&cluster));
        assert!(cluster.services.is_empty() && cluster.policies.is_empty() && cluster.nodes.is_empty());
    }
}

#[test]
fn hostile_input_is_a_problem_and_ends() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_block = (0..1000).fold(String::new(), |text, level| text + &" ".repeat(level) + "a:\n");
    let bomb = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        format!("{text}a{}: &a{} [*a{level}, *a{level}]\n", level + 1, level + 1)
    });
    let table: [(&str, Vec<u8>); 9] = [
        ("deep JSON", deep.into_bytes()),
        ("deep YAML", deep_block.into_bytes()),
        ("aliases", bomb.into_bytes()),
        ("no UTF-8", b"kind: Pod\nmetadata: {name: \xff}\n".to_vec()),
        ("no text", vec![0; 64]),
        ("no mapping", b"7".to_vec()),
        ("half", b"{\"kind\":\"Pod\",".to_vec()),
        ("no kind", b"a: b".to_vec()),
        ("huge number", b"{\"kind\":\"Pod\",\"metadata\":{\"name\":1e999}}".to_vec()),
    ];
    for (what, text) in table {
        let mut reader = Reader::new(Limits::default());
        reader.text("hostile", &text);
        reader.text("good", POSTGRES.as_bytes());
        let cluster = reader.finish();
        assert!(!cluster.problems.is_empty(), "{what} is a problem");
        assert_eq!(cluster.workloads.len(), 1, "what follows {what} is read");
    }
    let mut reader = Reader::new(Limits { text: 10, ..Limits::default() });
    reader.text("long", POSTGRES.as_bytes());
    assert!(reader.finish().problems[0].reason.contains("more than the 10"));
}

#[test]
fn one_bad_document_leaves_the_others_and_has_its_line() {
    let cluster = read(&format!("{POSTGRES}---\na: [\n---\n{POD_OF_DEPLOYMENT}"));
    let said = problems(&cluster);
    assert!(said.len() == 1 && said[0].starts_with("shop.yaml:15: no YAML, in line 1"), "{said:?}");
    assert_eq!(cluster.workloads.len(), 2);
    let twice = problems(&read(&format!("{POSTGRES}---\nkind: Pod\na: 1\na: 2\n")));
    assert_eq!(twice, ["shop.yaml:15: no YAML, in line 18: duplicate mapping key: a; correct it"]);
}

#[test]
fn of_two_of_one_name_the_last_counts() {
    let last = POSTGRES.replace("10.244.0.8", "10.244.0.9").replace("port: 5433", "port: 5434");
    let cluster = read(&format!("{POSTGRES}---\n{last}"));
    assert_eq!(workloads(&cluster), ["ledger/postgres-0 (Pod): postgres-0"]);
    assert_eq!(cluster.workloads[0].pods[0].ips[0].to_string(), "10.244.0.9");
    let ports: Vec<u16> = cluster.services.iter().map(|service| service.ports[0].port).collect();
    assert_eq!(ports, [5434]);
    let told = "this one counts, the last, as with `kubectl apply`: remove one of them";
    assert_eq!(
        problems(&cluster),
        [
            format!("shop.yaml:15: Pod ledger/postgres-0: another one is in shop.yaml:1; {told}"),
            format!("shop.yaml:22: Service ledger/postgres: another one is in shop.yaml:7; {told}"),
        ]
    );
    let template = |app: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: {{template: {{metadata: {{labels: \
             {{app: {app}}}}}}}}}}}\n---\n"
        )
    };
    let cluster = read(&format!("{}{}", template("old"), template("new")));
    assert_eq!(cluster.workloads[0].pods[0].labels["app"], "new");
    assert_eq!(problems(&read(&template("same").repeat(2))), [""; 0], "the same once more is no question");
    // Policies: the specs, and how many are read and unreadable.
    for (first, second, expected) in
        [("{}", "{ingress: [{}]}", (1, 0)), ("{}", "{ingress: 7}", (0, 1)), ("{ingress: 7}", "{}", (1, 0))]
    {
        let cluster = read(&format!("{POLICY}{first}}}\n---\n{POLICY}{second}}}\n"));
        let counts = (cluster.policies.len(), cluster.unreadable.len());
        assert_eq!(counts, expected, "{first}, then {second}");
    }
}

/// The node of a host-network pod decides where a policy is about nodes.
#[test]
fn nodes_are_known_to_policies() {
    let cluster = read(
        "
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {role: control}}
status: {addresses: [{type: InternalIP, address: 192.168.1.10}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: kube-system}
spec: {hostNetwork: true, nodeName: n1}
status: {podIP: 192.168.1.10}
",
    );
    let node = cluster.index().node_of(&cluster.workloads[0].pods[0]).map(|node| node.name.clone());
    assert_eq!(node.as_deref(), Some("n1"));
}

#[test]
fn copies_of_an_object_are_not_one_pod() {
    let pod = |name: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, uid: u}}}}");
    let cluster = read(&format!("{}\n---\n{}\n", pod("a"), pod("b")));
    let pods: Vec<_> = cluster.workloads.iter().map(|workload| &workload.pods[0]).collect();
    assert!(!pods[0].is_same(pods[1]), "{pods:?}");
}

#[test]
fn a_file_of_something_else_is_told_of_once() {
    let cluster = read(r#"[{"src":"a","dst":"b"},{"src":"b","dst":"a"}]"#);
    assert_eq!(
        problems(&cluster),
        ["shop.yaml: kind: missing; nothing but objects of Kubernetes is read here"]
    );
}
