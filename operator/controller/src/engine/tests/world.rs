//! A small cluster for the engine's tests: objects go in as the API server would send them.

use std::time::Duration;

use peerwalk_api::ConnectivityCheckStatus;
use peerwalk_model::evidence::{Connect, Dial, DialPurpose, Trigger, digest};
use peerwalk_model::peer::{Listener, Saw, Seen, Tuple};
use peerwalk_model::plan::PlannedTarget;
use peerwalk_model::report::TargetFreshness;
use serde_json::{Value, json};

use super::*;
use crate::cluster::decode::{
    Decode, Kind, SlimEndpointSlice, SlimNamespace, SlimNode, SlimPod, SlimService, SomeCheck, cluster_policy,
};
use crate::cluster::sidecar::Image;
use crate::metrics::WriteResult;
use crate::publish::{EventRecord, StatusWrite};
use crate::settings::Allow;

pub mod acts;

/// When the tests begin: long after the pods were made.
const START: i64 = 1_800_000_000_000;

pub struct World {
    pub engine: Engine,
    pub now: Timestamp,
    check: Option<Value>,
    version: u64,
    generation: i64,
    objects: Vec<WatchEventMaker>,
    /// The last write that was put into the outbox.
    sent: Option<StatusWrite>,
    /// Every event so far.
    pub events: Vec<EventRecord>,
    /// What pods were asked after walks and heartbeats that the world took itself.
    asked: Vec<(PodRef, u64, Vec<Tuple>)>,
}

type WatchEventMaker = Box<dyn Fn() -> WatchEvent>;

pub fn id(namespace: &str, name: &str) -> PodRef {
    PodRef { namespace: namespace.into(), name: name.into(), uid: format!("uid-{name}") }
}

pub fn dial(remote: &str, outcome: DialOutcome) -> Dial {
    Dial {
        protocol: peerwalk_model::Protocol::Tcp,
        mss: None,
        purpose: DialPurpose::Endpoint,
        remote: remote.parse().unwrap(),
        local: None,
        started: Timestamp::default(),
        elapsed: Duration::from_millis(1),
        retransmits: 0,
        outcome,
    }
}

pub fn connected() -> Vec<Dial> {
    let connected = || DialOutcome::Connected { local_peer: None };
    let service = Dial { purpose: DialPurpose::ServiceAddress, ..dial("10.96.0.7:5432", connected()) };
    vec![service, dial("10.244.1.8:5432", connected())]
}

pub fn silent_with_control() -> Vec<Dial> {
    let silent = |remote: &str, purpose, port: u16| Dial {
        purpose,
        local: Some(std::net::SocketAddr::from(([10, 244, 0, 5], port))),
        elapsed: Duration::from_millis(1100),
        retransmits: 1,
        ..dial(remote, DialOutcome::Silent)
    };
    let control = Dial {
        purpose: DialPurpose::Control,
        ..dial("10.244.1.9:8080", DialOutcome::Connected { local_peer: None })
    };
    let mut dials: Vec<Dial> =
        (0..8).map(|n| silent("10.96.0.7:5432", DialPurpose::ServiceAddress, 50000 + n)).collect();
    dials.extend((0..8).map(|n| silent("10.244.1.8:5432", DialPurpose::Endpoint, 51000 + n)));
    dials.push(control);
    dials
}

pub fn plan_of(outputs: &[Output], pod: &str) -> Option<Plan> {
    outputs.iter().rev().find_map(|output| match output {
        Output::SetPlan(id, plan) if id.name == pod => Some(plan.clone()),
        _ => None,
    })
}

pub fn status_of(outputs: &[Output]) -> Option<ConnectivityCheckStatus> {
    outputs.iter().rev().find_map(|output| match output {
        Output::Status(_, write) => Some(write.status.clone()),
        _ => None,
    })
}

impl World {
    /// Nothing has been listed.
    pub fn unlisted() -> Self {
        let settings = Settings {
            cluster_domain: "cluster.local".into(),
            allow: Allow::default(),
            details: crate::settings::Details::default(),
            hub: ObjectKey::new("peerwalk-system", "peerwalk-hub"),
            hub_address: "10.96.0.99:9443".parse().unwrap(),
            sidecar_image: Image { reference: "sidecar:1".into(), pull_policy: "IfNotPresent".into() },
            attach_within: Duration::from_secs(30),
            silence: Duration::from_secs(20),
        };
        let now = Timestamp::from_millis(START);
        let mut engine = Engine::new(settings, Metrics::default(), now);
        engine.lead(Some(1), now);
        Self {
            engine,
            now,
            check: None,
            version: 1,
            generation: 1,
            objects: Vec::new(),
            sent: None,
            events: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Everything has been listed, and there is nothing but nodes, namespaces and the hub.
    pub fn listed() -> Self {
        let mut world = Self::bare();
        world.list();
        world
    }

    /// Nodes, namespaces and the hub; nothing has been listed.
    fn bare() -> Self {
        let mut world = Self::unlisted();
        for (name, ip, cidr) in [("n1", "10.90.0.1", "10.244.0.0/24"), ("n2", "10.90.0.2", "10.244.1.0/24")] {
            world.apply::<SlimNode>(json!({
                "metadata": {"name": name},
                "spec": {"podCIDRs": [cidr]},
                "status": {
                    "addresses": [{"type": "InternalIP", "address": ip}],
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            }));
        }
        for name in ["shop", "ledger", "other", "kube-system", "peerwalk-system"] {
            world.apply::<SlimNamespace>(json!({"metadata": {"name": name, "labels": {}}}));
        }
        world.service(
            "peerwalk-system",
            "peerwalk-hub",
            "10.96.0.99",
            9443,
            "operator",
            "n2",
            "10.244.1.200",
        );
        world
    }

    /// A web pod on n1, a database behind a Service on n2 with another pod beside it, and a check. All of it
    /// was there when the engine began.
    pub fn shop() -> Self {
        let mut world = Self::shop_unlisted();
        world.list();
        world
    }

    /// The same, before the lists are complete.
    pub fn shop_unlisted() -> Self {
        let mut world = Self::shop_unchecked();
        world.check(&json!({}));
        world
    }

    /// The same without the check.
    pub fn shop_unchecked() -> Self {
        let mut world = Self::bare();
        world.pod("web-1", "web", "n1", "10.244.0.5", true);
        world.pod_in("ledger", "db-0", "db", "n2", "10.244.1.8", true, "t", 5432);
        world.pod_in("ledger", "ping", "ping", "n2", "10.244.1.9", false, "t", 8080);
        world.service("ledger", "db", "10.96.0.7", 5432, "db-0", "n2", "10.244.1.8");
        world
    }

    /// Every list is complete and names what was applied so far.
    pub fn list(&mut self) {
        let keys = self.keys();
        for kind in Kind::REQUIRED {
            let named = keys.iter().filter(|(k, _)| *k == kind).map(|(_, key)| key.clone()).collect();
            self.take(Input::Watch(WatchEvent::Listed(kind, named)));
        }
        self.policy_kinds(&[], &[]);
    }

    /// Discovery found these.
    pub fn policy_kinds(&mut self, unreadable: &[&str], served: &[Kind]) {
        let unreadable = unreadable.iter().map(|kind| (*kind).to_owned()).collect();
        let kinds = PolicyKinds { unreadable, served: served.iter().copied().collect() };
        self.take(Input::Watch(WatchEvent::PolicyKinds(kinds)));
    }

    /// The same objects before a new engine, as after a restart of the operator.
    pub fn restarted(self) -> Self {
        self.restarted_and_listed_after(0)
    }

    /// The same, where the lists take some time.
    pub fn restarted_and_listed_after(self, seconds: u64) -> Self {
        let mut world = Self::unlisted();
        world.now = self.now;
        world.check = self.check;
        world.version = self.version;
        world.generation = self.generation;
        for make in &self.objects {
            world.take(Input::Watch(make()));
        }
        world.objects = self.objects;
        world.send_check();
        world.pass(seconds);
        world.list();
        world
    }

    fn keys(&self) -> Vec<(Kind, ObjectKey)> {
        let mut keys: Vec<_> = self
            .objects
            .iter()
            .filter_map(|make| match make() {
                WatchEvent::Applied(object) => Some((object.value.kind(), object.key)),
                _ => None,
            })
            .collect();
        keys.push((Kind::Check, ObjectKey::new("shop", "storefront")));
        keys
    }

    pub fn take(&mut self, input: Input) -> Vec<Output> {
        let outputs = self.engine.take(input, self.now);
        self.remember(&outputs);
        outputs
    }

    fn remember(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Event(event) => self.events.push(event.clone()),
                Output::Status(_, write) => self.sent = Some((**write).clone()),
                _ => {}
            }
        }
    }

    pub fn sidecar(&mut self, event: SidecarEvent) {
        for output in self.take(Input::Sidecar(event, self.now)) {
            if let Output::Look(pod, number, tuples) = output {
                self.asked.push((pod, number, tuples));
            }
        }
    }

    pub fn apply<K: Decode + serde::de::DeserializeOwned + 'static>(&mut self, object: Value) {
        let make = move || WatchEvent::Applied(serde_json::from_value::<K>(object.clone()).unwrap().named());
        self.take(Input::Watch(make()));
        self.objects.push(Box::new(make));
    }

    pub fn pod(&mut self, name: &str, app: &str, node: &str, ip: &str, injected: bool) {
        self.pod_of(name, app, node, ip, injected, "old");
    }

    pub fn pod_of(&mut self, name: &str, app: &str, node: &str, ip: &str, injected: bool, template: &str) {
        self.pod_in("shop", name, app, node, ip, injected, template, 8080);
    }

    /// Pods of the first moment are old; later ones are as young as they look.
    fn created(&self) -> String {
        let old = Timestamp::from_millis(START).minus(Duration::from_hours(24));
        let at = if self.now.as_millis() == START { old } else { self.now };
        jiff::Timestamp::from_millisecond(at.as_millis()).unwrap().to_string()
    }

    /// A pod without the sidecar, annotated with what the webhook said about that.
    pub fn told(&mut self, name: &str, ip: &str, note: &Value) {
        self.apply::<SlimPod>(json!({
            "metadata": {
                "namespace": "shop", "name": name, "uid": format!("uid-{name}"),
                "labels": {"app": "web", "pod-template-hash": "old"},
                "annotations": {crate::INJECTION_ANNOTATION: note},
                "creationTimestamp": self.created(),
            },
            "spec": {"nodeName": "n1", "containers": [{"name": "app"}]},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]},
        }));
    }

    #[expect(clippy::too_many_arguments, reason = "a pod has that many parts")]
    pub fn pod_in(
        &mut self,
        namespace: &str,
        name: &str,
        app: &str,
        node: &str,
        ip: &str,
        injected: bool,
        template: &str,
        port: u16,
    ) {
        let sidecars =
            if injected { json!([{"name": "peerwalk", "restartPolicy": "Always"}]) } else { json!([]) };
        self.apply::<SlimPod>(json!({
            "metadata": {
                "namespace": namespace, "name": name, "uid": format!("uid-{name}"),
                "labels": {"app": app, "pod-template-hash": template},
                "creationTimestamp": self.created(),
            },
            "spec": {
                "nodeName": node,
                "containers": [{"name": "app", "ports": [{"containerPort": port}]}],
                "initContainers": sidecars,
            },
            "status": {
                "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }));
    }

    #[expect(clippy::too_many_arguments, reason = "a Service and its endpoint have that many parts")]
    pub fn service(
        &mut self,
        namespace: &str,
        name: &str,
        ip: &str,
        port: u16,
        pod: &str,
        node: &str,
        endpoint: &str,
    ) {
        self.apply::<SlimService>(json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"name": "main", "port": port, "protocol": "TCP"}]},
        }));
        self.apply::<SlimEndpointSlice>(json!({
            "metadata": {
                "namespace": namespace, "name": format!("{name}-1"),
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": [endpoint], "conditions": {"ready": true}, "nodeName": node,
                "targetRef": {"kind": "Pod", "name": pod},
            }],
            "ports": [{"name": "main", "port": port, "protocol": "TCP"}],
        }));
    }

    pub fn policy(&mut self, namespace: &str, name: &str, spec: &Value) {
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": namespace, "name": name}, "spec": spec,
        });
        self.apply::<kube::core::DeserializeGuard<k8s_openapi::api::networking::v1::NetworkPolicy>>(policy);
    }

    pub fn policy_gone(&mut self, namespace: &str, name: &str) {
        self.take(Input::Watch(WatchEvent::Deleted(Kind::NetworkPolicy, ObjectKey::new(namespace, name))));
    }

    /// A policy of the cluster.
    pub fn cluster_policy(&mut self, kind: Kind, name: &str, spec: &Value) {
        let resource = kind.api_resource().unwrap();
        let policy = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec,
        });
        self.take(Input::Watch(WatchEvent::Applied(cluster_policy(
            kind,
            serde_json::from_value(policy).unwrap(),
        ))));
    }

    /// A check of pods `app=web` on Service ledger/db, with more or other fields of its spec.
    pub fn check(&mut self, spec: &Value) {
        let target = json!({"name": "db", "service": {"name": "db", "namespace": "ledger", "port": 5432}});
        self.set_check(spec, target);
    }

    pub fn check_with_target(&mut self, target: Value) {
        self.set_check(&json!({}), target);
    }

    #[expect(clippy::needless_pass_by_value, reason = "literals read better without a reference")]
    fn set_check(&mut self, spec: &Value, target: Value) {
        let mut whole =
            json!({"source": {"podSelector": {"matchLabels": {"app": "web"}}}, "targets": [target]});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let status = self.check.as_ref().and_then(|check| check.get("status")).cloned();
        self.generation += 1;
        let mut check = json!({
            "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
            "metadata": {"namespace": "shop", "name": "storefront", "generation": self.generation},
            "spec": whole,
        });
        if let Some(status) = status {
            check["status"] = status;
        }
        self.check = Some(check);
        self.send_check();
    }

    fn send_check(&mut self) {
        let Some(mut check) = self.check.clone() else { return };
        self.version += 1;
        check["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object: SomeCheck = serde_json::from_value(check).unwrap();
        self.take(Input::Watch(WatchEvent::Applied(object.named())));
    }

    /// Another check of the same pods, with these targets.
    pub fn other_check(&mut self, name: &str, targets: &[Value]) {
        let check = json!({
            "apiVersion": "peerwalk.dev/v1alpha1", "kind": "ConnectivityCheck",
            "metadata": {"namespace": "shop", "name": name, "generation": 1, "resourceVersion": "1"},
            "spec": {"source": {"podSelector": {"matchLabels": {"app": "web"}}}, "targets": targets},
        });
        self.apply::<SomeCheck>(check);
    }

    /// The API server stores a status and the watch tells of it.
    pub fn store(&mut self, status: &ConnectivityCheckStatus) {
        self.check.as_mut().unwrap()["status"] = serde_json::to_value(status).unwrap();
        self.written(WriteResult::Stored);
        self.send_check();
    }

    /// The last write ends.
    pub fn written(&mut self, result: WriteResult) {
        let check = ObjectKey::new("shop", "storefront");
        let write = Box::new(self.sent.clone().expect("something was to be written"));
        self.take(Input::Written(Written { check, write, result }));
    }

    pub fn settle(&mut self) -> Vec<Output> {
        let outputs = self.engine.settle(self.now);
        page::has(&outputs);
        self.remember(&outputs);
        outputs
    }

    pub fn statuses(&mut self) -> Vec<ConnectivityCheckStatus> {
        let outputs = self.settle();
        outputs
            .into_iter()
            .filter_map(|output| match output {
                Output::Status(_, write) => Some(write.status),
                _ => None,
            })
            .collect()
    }

    pub fn status_after_settle(&mut self) -> Option<ConnectivityCheckStatus> {
        let outputs = self.settle();
        status_of(&outputs)
    }

    /// Until nothing is written any more.
    pub fn settle_and_store(&mut self) {
        for _ in 0..5 {
            match self.status_after_settle() {
                Some(status) => self.store(&status),
                None => return,
            }
        }
        panic!("the status does not come to rest");
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    pub fn tick(&mut self) {
        self.take(Input::Tick);
    }

    pub fn attach(&mut self, pod: &str) {
        self.attach_in("shop", pod);
    }

    pub fn attach_in(&mut self, namespace: &str, pod: &str) {
        self.settle_plan();
        self.sidecar(SidecarEvent::Attached(id(namespace, pod)));
    }

    /// Plans exist before sidecars get them; what else is said stays for the caller.
    fn settle_plan(&mut self) {
        let mut touched = std::mem::take(&mut self.engine.touched);
        touched.checks.extend(self.engine.on_the_way_of(&touched));
        self.engine.refresh(&touched, self.now, &mut Vec::new());
        self.engine.touched = touched;
    }

    pub fn make_walk(&mut self, pod: &str, mut dials: Vec<Dial>) -> Walk {
        let plan = &self.engine.plans.get(&id("shop", pod)).expect("the pod has a plan").plan;
        let key = plan.targets.keys().next().expect("with a target").clone();
        let mut walk = Walk::begin(key, plan.generation, Trigger::Event, self.now);
        for dial in &mut dials {
            dial.started = self.now;
        }
        walk.ended = self.now.plus(Duration::from_millis(1200));
        walk.connect = Some(Connect { dials, ..Connect::default() });
        walk
    }

    pub fn walk(&mut self, pod: &str, dials: Vec<Dial>) {
        self.settle_plan();
        let walk = self.make_walk(pod, dials);
        self.sidecar(SidecarEvent::Walk(id("shop", pod), Box::new(walk)));
    }

    /// The lines of the explanation of what was last said of the one pair there is.
    pub fn explanation(&self) -> String {
        self.explained(Form::Text)
    }

    /// The check explained.
    pub fn explained(&self, form: Form) -> String {
        let check = ObjectKey::new("shop", "storefront");
        self.engine.explain(&check, form, self.now).expect("the check exists")
    }

    /// The one target that a pod of namespace shop is asked to walk, if any.
    pub fn planned(&mut self, pod: &str) -> Option<PlannedTarget> {
        self.settle_plan();
        self.engine.plans.get(&id("shop", pod)).and_then(|plan| plan.plan.targets.values().next().cloned())
    }

    /// A walk with more in it than dials.
    pub fn walk_with(&mut self, pod: &str, dials: Vec<Dial>, more: impl FnOnce(&mut Walk)) {
        self.settle_plan();
        let mut walk = self.make_walk(pod, dials);
        more(&mut walk);
        self.sidecar(SidecarEvent::Walk(id("shop", pod), Box::new(walk)));
    }

    /// What was last said of the one pair there is, as `reason confidence`.
    pub fn verdict(&self) -> String {
        let pairs: Vec<_> =
            self.engine.checks.values().flat_map(|state| state.pairs.values().flatten()).collect();
        assert_eq!(pairs.len(), 1, "one check, one pod, one target");
        let verdict = &pairs[0].1.verdict;
        let reason = verdict.reason.map_or_else(|| format!("{:?}", verdict.observed), |r| r.to_string());
        format!("{reason} {}", verdict.confidence)
    }

    /// The `n`th walk in a row that found the same: the first is sent, the others are told by heartbeats.
    pub fn walk_repeated(&mut self, pod: &str, dials: Vec<Dial>, n: u32) {
        if n == 1 {
            self.walk(pod, dials);
            return;
        }
        let mut heartbeat = self.heartbeat_of("shop", pod);
        heartbeat.targets[0].consecutive = n;
        self.sidecar(SidecarEvent::Heartbeat(id("shop", pod), heartbeat));
    }

    /// web-1 finds a database silent that lives, behind a node that answers, ten seconds after the last change.
    pub fn finds_the_living_silent(&mut self) {
        self.attach("web-1");
        self.attach_in("ledger", "db-0");
        self.pass(10);
        self.walk("web-1", silent_with_control());
        self.pass(2);
        self.heartbeat_in("ledger", "db-0");
    }

    pub fn heartbeat(&mut self, pod: &str) {
        self.heartbeat_in("shop", pod);
    }

    /// A heartbeat, and the answers that the pod owes: it knows nothing of what it was asked about.
    pub fn heartbeat_in(&mut self, namespace: &str, pod: &str) {
        let asked = self.asked.extract_if(.., |(whom, ..)| *whom == id(namespace, pod));
        for (whom, number, tuples) in asked.collect::<Vec<_>>() {
            let seen =
                tuples.into_iter().map(|tuple| Seen { tuple, socket: None, listener: Listener::Unknown });
            let saw = Saw { seen: seen.collect(), ..Saw::default() };
            self.take(Input::Sidecar(SidecarEvent::Saw(whom, number, saw), self.now));
        }
        let heartbeat = self.heartbeat_of(namespace, pod);
        self.sidecar(SidecarEvent::Heartbeat(id(namespace, pod), heartbeat));
    }

    pub fn heartbeat_of(&self, namespace: &str, pod: &str) -> Heartbeat {
        let told = self.engine.evidence.pod(&id(namespace, pod)).expect("attached");
        let targets: Vec<_> = told
            .targets()
            .map(|e| TargetFreshness {
                target: e.walk.target.clone(),
                signature: e.signature,
                started: self.now,
                ended: self.now,
                since: e.since,
                consecutive: e.consecutive + 1,
                elapsed: Duration::from_millis(3),
                took: None,
            })
            .collect();
        let sum = digest(targets.iter().map(|t| (&t.target, t.signature)));
        Heartbeat {
            sockets: peerwalk_model::report::Sockets::default(),
            plan_generation: 1,
            digest: sum,
            targets,
            transitions_lost: 0,
        }
    }
}
