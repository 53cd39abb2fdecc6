//! More that can happen in the world of the engine's tests: pods come and go, several targets, restarts of
//! the world's time.

use peerwalk_model::evidence::LocalPeer;

use super::*;

/// Something in the source pod answers in the target's place: proves nothing, however often.
pub fn intercepted() -> Vec<Dial> {
    let local_peer = Some(LocalPeer::Socket { address: ([127, 0, 0, 1], 15001).into(), uid: 1337 });
    vec![dial("10.244.1.8:5432", DialOutcome::Connected { local_peer })]
}

/// The endpoint refuses.
pub fn refused() -> Vec<Dial> {
    vec![dial("10.244.1.8:5432", DialOutcome::Failed { errno: 111, immediate: false, queue: vec![] })]
}

/// The second target of [`World::two_targets`] answers.
pub fn cache_connected() -> Vec<Dial> {
    let connected = || DialOutcome::Connected { local_peer: None };
    let service = Dial { purpose: DialPurpose::ServiceAddress, ..dial("10.96.0.8:6379", connected()) };
    vec![service, dial("10.244.1.10:6379", connected())]
}

pub fn db() -> Value {
    json!({"name": "db", "service": {"name": "db", "namespace": "ledger", "port": 5432}})
}

pub fn cache() -> Value {
    json!({"name": "cache", "service": {"name": "cache", "namespace": "ledger", "port": 6379}})
}

impl World {
    /// The shop, where one web pod has walked and all is well.
    pub fn good() -> Self {
        let mut world = Self::shop();
        world.attach("web-1");
        world.walk("web-1", connected());
        world.settle_and_store();
        // Longer than sidecars may take to come back after a start of the operator.
        world.live(40);
        world
    }

    /// The shop, where the database has refused web-1 until that counted.
    pub fn failed() -> Self {
        let mut world = Self::good();
        world.fail("web-1");
        world
    }

    /// The database refuses a pod until that counts.
    pub fn fail(&mut self, pod: &str) {
        for n in 1..=4 {
            self.walk_repeated(pod, refused(), n);
            self.settle_and_store();
            self.live(10);
        }
    }

    /// A second Service beside the database, and a check of both.
    pub fn two_targets() -> Self {
        let mut world = Self::shop();
        world.pod_in("ledger", "cache-0", "cache", "n2", "10.244.1.10", true, "t", 6379);
        world.service("ledger", "cache", "10.96.0.8", 6379, "cache-0", "n2", "10.244.1.10");
        world.check(&json!({"targets": [db(), cache()]}));
        world
    }

    /// Web pods of one template, injected and running, on addresses of their own.
    pub fn web(&mut self, name: &str, number: u8, template: &str) {
        self.pod_of(name, "web", "n1", &format!("10.244.0.{number}"), true, template);
    }

    /// A pod of a new template that does not run yet.
    pub fn pending(&mut self, name: &str, template: &str) {
        let created = self.created();
        self.apply::<SlimPod>(json!({
            "metadata": {
                "namespace": "shop", "name": name, "uid": format!("uid-{name}"),
                "labels": {"app": "web", "pod-template-hash": template}, "creationTimestamp": created,
            },
            "spec": {
                "containers": [{"name": "app"}],
                "initContainers": [{"name": "peerwalk", "restartPolicy": "Always"}],
            },
            "status": {"phase": "Pending"},
        }));
    }

    pub fn pod_gone(&mut self, name: &str) {
        let key = ObjectKey::new("shop", name);
        self.take(Input::Watch(WatchEvent::Deleted(Kind::Pod, key.clone())));
        self.objects.retain(|make| !matches!(make(), WatchEvent::Applied(object) if object.key == key));
    }

    /// The check is deleted.
    pub fn check_gone(&mut self) {
        let key = ObjectKey::new("shop", "storefront");
        self.take(Input::Watch(WatchEvent::Deleted(Kind::Check, key)));
        self.check = None;
    }

    /// A walk to one of several targets.
    pub fn walk_to(&mut self, pod: &str, target: &str, dials: Vec<Dial>) {
        self.settle_plan();
        let mut walk = self.make_walk(pod, dials);
        walk.target.target = target.into();
        self.sidecar(SidecarEvent::Walk(id("shop", pod), Box::new(walk)));
    }

    /// Time passes while every sidecar that is attached tells that it finds the same, and what is written is
    /// stored. Returns all that was asked for meanwhile.
    pub fn live(&mut self, seconds: u64) -> Vec<Output> {
        self.live_in_steps(seconds, 1)
    }

    /// The same for a long time, looked at every ten seconds.
    pub fn live_long(&mut self, seconds: u64) -> Vec<Output> {
        self.live_in_steps(seconds / 10, 10)
    }

    fn live_in_steps(&mut self, steps: u64, seconds: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        for _ in 0..steps {
            self.pass(seconds);
            let attached: Vec<PodRef> = self
                .engine
                .plans
                .keys()
                .filter(|pod| self.engine.evidence.pod(pod).is_some_and(|told| told.attached.is_some()))
                .cloned()
                .collect();
            for pod in attached {
                self.heartbeat_in(&pod.namespace, &pod.name);
            }
            self.tick();
            let more = self.settle();
            if let Some(status) = status_of(&more) {
                self.store(&status);
            }
            outputs.extend(more);
        }
        outputs
    }

    /// Changes the stored check behind the operator's back; the watch tells of it.
    pub fn edit(&mut self, edit: impl FnOnce(&mut Value)) {
        edit(self.check.as_mut().unwrap());
        self.send_check();
    }

    /// The spec of the stored check.
    pub fn spec(&self) -> Value {
        self.check.as_ref().unwrap()["spec"].clone()
    }

    /// The status of the last write.
    pub fn last(&self) -> &ConnectivityCheckStatus {
        &self.sent.as_ref().expect("something was written").status
    }
}

/// Status and reason of Ready.
pub fn ready(status: &ConnectivityCheckStatus) -> (&str, &str) {
    let ready = status.condition(peerwalk_api::condition::READY).expect("Ready is always there");
    (ready.status.as_str(), &ready.reason)
}

/// Whether Stalled is True.
pub fn stalled(status: &ConnectivityCheckStatus) -> bool {
    let stalled = status.condition(peerwalk_api::condition::STALLED).expect("Stalled is always there");
    stalled.status.as_str() == "True"
}
