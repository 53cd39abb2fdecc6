//! A case as a cluster sees it: the real hub, the real sidecars in the pods' namespaces, and the real engine, which is
//! told of objects as an API server would tell. What is graded is the status of the check.

mod hub;
mod objects;
mod sidecar;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use peerwalk_api::ConnectivityCheckStatus;
use peerwalk_controller::cluster::ObjectKey;
use peerwalk_controller::cluster::decode::Kind;
use peerwalk_controller::cluster::sidecar::Image;
use peerwalk_controller::metrics::{Metrics, WriteResult};
use peerwalk_controller::publish::Written;
use peerwalk_controller::watch::{PolicyKinds, WatchEvent};
use peerwalk_controller::{Allow, Details, Engine, Form, Input, Output, Settings, SidecarEvent};
use peerwalk_hub::HubEvent;
use peerwalk_model::{PodRef, Timestamp};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::case::{Case, Dns, Does, Expect, Listening, Setting, Step};
use crate::grade::{Grade, Played, Said, grade};
use crate::lab::{At, Lab};
use crate::run::break_it;
use crate::servers::Server;
use hub::{Serving, now};
use sidecar::Sidecar;

/// Of the engine, as the operator has it.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked whether time is up.
const LOOK: Duration = Duration::from_millis(100);
/// For so long an answer has to stay what it is.
const HOLD: Duration = Duration::from_millis(1500);
/// Shorter than in production, so that a case of a pod that cannot attach is no long one.
const ATTACH_WITHIN: Duration = Duration::from_secs(8);
const SILENCE: Duration = Duration::from_secs(15);

/// Plays a case, with sidecars of that binary. Files go into the folder.
pub(crate) fn play(lab: &Lab, setting: Setting, case: &Case, binary: &Path, folder: &Path) -> Result<Played> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        let _dns = name_server(lab, setting)?;
        let hub = Serving::start(lab, SocketAddr::new(setting.fill("{hub}").parse()?, hub::PORT))?;
        let mut world = World::new(case, setting, hub)?;
        world.settle()?;
        let mut sidecars = Vec::new();
        for at in At::PODS.map(|(at, _)| at).into_iter().filter(|at| !case.cluster.bare.contains(at)) {
            sidecars.push(Sidecar::start(lab, setting, at, &world.hub.root, binary, folder)?);
        }
        let mut played = world.play(&case.expect, BTreeSet::new()).await?;
        let mut before = codes(&case.expect);
        for (number, step) in case.then.iter().enumerate() {
            if played.grade != Grade::Right {
                break;
            }
            world.change(lab, step, number + 1)?;
            played = world.play(&step.expect, before).await?;
            before = codes(&step.expect);
        }
        if played.grade != Grade::Right {
            played.complaints.extend(sidecars.iter().map(Sidecar::log).filter(|log| !log.is_empty()));
        }
        anyhow::Ok(played)
    });
    // Streams are cut with it.
    runtime.shutdown_background();
    played
}

/// The codes that may be claimed.
fn codes(expect: &Expect) -> BTreeSet<String> {
    expect.reason.all().iter().chain(&expect.meanwhile).cloned().collect()
}

/// Cluster DNS, as far as the check asks for names.
fn name_server(lab: &Lab, setting: Setting) -> Result<Server> {
    let names = [("server.ledger.svc.cluster.local".to_owned(), vec![setting.fill("{service}")])];
    let zone = Dns { names: names.into(), ..Dns::default() };
    let listening = Listening { at: At::Node, address: None, port: 53, does: Does::Dns(zone) };
    Server::start(lab, &listening, Some(SocketAddr::new(setting.fill("{dns}").parse()?, 53)))
}

/// The operator without its API server.
struct World {
    /// As it is by now.
    case: Case,
    setting: Setting,
    engine: Engine,
    hub: Serving,
    /// As the API server has it.
    check: Value,
    status: ConnectivityCheckStatus,
    version: u64,
}

impl World {
    /// An engine that has been told of everything.
    fn new(case: &Case, setting: Setting, hub: Serving) -> Result<Self> {
        let settings = Settings {
            cluster_domain: "cluster.local".to_owned(),
            allow: Allow::default(),
            details: Details::Full,
            hub: ObjectKey::new("peerwalk-system", "peerwalk-hub"),
            hub_address: SocketAddr::new(setting.fill("{hubService}").parse()?, hub::PORT),
            sidecar_image: Image::default(),
            attach_within: ATTACH_WITHIN,
            silence: SILENCE,
        };
        let mut engine = Engine::new(settings, Metrics::default(), now());
        engine.lead(Some(1), now());
        let mut world = Self {
            case: case.clone(),
            setting,
            engine,
            hub,
            check: objects::check(case, setting),
            status: ConnectivityCheckStatus::default(),
            version: 1,
        };
        let mut named: Vec<(Kind, BTreeSet<ObjectKey>)> =
            Kind::REQUIRED.into_iter().map(|kind| (kind, BTreeSet::new())).collect();
        for object in objects::objects(case, setting)?.into_iter().chain([world.check.clone()]) {
            let object = objects::decoded(object)?;
            let kind = object.value.kind();
            for (_, keys) in named.iter_mut().filter(|(of, _)| *of == kind) {
                keys.insert(object.key.clone());
            }
            world.take(Input::Watch(WatchEvent::Applied(object)))?;
        }
        for (kind, keys) in named {
            world.take(Input::Watch(WatchEvent::Listed(kind, keys)))?;
        }
        world.take(Input::Watch(WatchEvent::PolicyKinds(PolicyKinds::default())))?;
        Ok(world)
    }

    /// Breaks what a step breaks, and tells of what it changes.
    fn change(&mut self, lab: &Lab, step: &Step, number: usize) -> Result<()> {
        if step.repaired {
            lab.repair()?;
        }
        for (fault, within) in step.faults.iter().zip(0..) {
            break_it(lab, self.setting, number * 100 + within, fault)?;
        }
        if let Some(endpoints) = &step.endpoints {
            self.case.cluster.endpoints.clone_from(endpoints);
            for object in objects::service(&self.case, self.setting) {
                self.take(Input::Watch(WatchEvent::Applied(objects::decoded(object)?)))?;
            }
        }
        for policy in &step.policies {
            let policy = objects::kinded(self.setting.fill_value(policy.clone()));
            self.take(Input::Watch(WatchEvent::Applied(objects::decoded(policy)?)))?;
        }
        for key in &step.removed {
            let (namespace, name) = key.split_once('/').context("removed: expected namespace/name")?;
            let key = ObjectKey::new(namespace, name);
            self.take(Input::Watch(WatchEvent::Deleted(Kind::NetworkPolicy, key)))?;
        }
        self.settle()
    }

    /// Waits for what is expected and returns what was said, also when it does not come. `before` are codes that were
    /// right until now: they may be said once more.
    async fn play(&mut self, expect: &Expect, before: BTreeSet<String>) -> Result<Played> {
        let begun = Instant::now();
        let deadline = Duration::from_secs_f64(expect.within) + HOLD;
        let mut right = codes(expect);
        right.extend(before);
        let (mut ticks, mut looks) = (interval(TICK), interval(LOOK));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fits: Option<Duration> = None;
        loop {
            tokio::select! {
                event = self.hub.events.recv() => {
                    let (event, at) = told(event.context("the hub has ended")?);
                    self.take(Input::Sidecar(event, at))?;
                    while let Ok(event) = self.hub.events.try_recv() {
                        let (event, at) = told(event);
                        self.take(Input::Sidecar(event, at))?;
                    }
                }
                _ = ticks.tick() => self.take(Input::Tick)?,
                _ = looks.tick() => {}
            }
            self.settle()?;
            let rows = self.said(fits.unwrap_or(begun.elapsed()));
            if let Some(said) =
                rows.iter().find(|said| said.is_confident() && !right.contains(said.word("reason")))
            {
                let mut played = grade(expect, self.setting, said);
                played.grade = Grade::Wrong;
                played.complaints.push(format!("{} was never right", said.word("reason")));
                return Ok(played);
            }
            let graded = rows.iter().map(|said| grade(expect, self.setting, said));
            let played = graded.max_by_key(|played| played.grade).context("a check without targets")?;
            fits = fits.filter(|_| played.grade == Grade::Right);
            match fits {
                Some(since) if begun.elapsed() >= since + HOLD => break Ok(played),
                None if played.grade == Grade::Right => fits = Some(begun.elapsed()),
                None if begun.elapsed() > deadline => break Ok(played),
                _ => {}
            }
        }
    }

    /// What the status says of each target.
    fn said(&self, elapsed: Duration) -> Vec<Said> {
        let status = serde_json::to_value(&self.status).unwrap_or_default();
        let explained =
            self.engine.explain(&ObjectKey::new("shop", "lab"), Form::Text, now()).unwrap_or_default();
        let said = |row: &Value| Said {
            words: json!({
                "result": row["observed"].as_str().unwrap_or("Unknown"), "outcome": row["outcome"],
                "reason": row["reason"], "stage": row["stage"], "confidence": row["confidence"],
                "policy": row["policy"]["name"],
            }),
            because: format!("{status}\n{explained}"),
            shown: format!("{row}\n{explained}"),
            evidence: status.clone(),
            elapsed,
        };
        match status["targets"].as_array().filter(|rows| !rows.is_empty()) {
            Some(rows) => rows.iter().map(said).collect(),
            None => vec![said(&Value::Null)],
        }
    }

    fn take(&mut self, input: Input) -> Result<()> {
        let outputs = self.engine.take(input, now());
        self.carry_out(outputs)
    }

    fn settle(&mut self) -> Result<()> {
        let outputs = self.engine.settle(now());
        self.carry_out(outputs)
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> Result<()> {
        for output in outputs {
            match output {
                Output::SetPlan(pod, plan) => self.hub.handle.set_plan(&pod, plan)?,
                Output::RemovePod(pod) => self.hub.handle.remove_pod(&pod),
                Output::WalkNow(pod, targets) => {
                    // The hub keeps it for a pod that is not attached.
                    self.hub.handle.walk_now(&pod, targets);
                }
                Output::SendAll(pod) => self.hub.handle.send_all(&pod),
                Output::Watch(pod, window) => {
                    self.hub.handle.watch(&pod, window);
                }
                Output::Look(pod, id, tuples) => {
                    self.hub.handle.look(&pod, id, tuples);
                }
                Output::Status(check, write) => {
                    self.version += 1;
                    self.status = write.status.clone();
                    self.check["status"] = serde_json::to_value(&write.status)?;
                    self.check["metadata"]["resourceVersion"] = json!(self.version.to_string());
                    let stored = Written { check, write, result: WriteResult::Stored };
                    self.take(Input::Written(stored))?;
                    let check = objects::decoded(self.check.clone())?;
                    self.take(Input::Watch(WatchEvent::Applied(check)))?;
                }
                // Nobody reads events here or injects, no check of a case names roots, and none of the hub's are replaced.
                Output::Event(_)
                | Output::ReadRoots(..)
                | Output::Injection(_)
                | Output::Made { .. }
                | Output::CarriedRoots(_)
                | Output::Planned(_) => {}
            }
        }
        Ok(())
    }
}

/// A hub's event in the engine's words, as the operator puts it.
fn told(event: HubEvent) -> (SidecarEvent, Timestamp) {
    match event {
        HubEvent::Attached { pod, at } => (SidecarEvent::Attached(pod), at),
        HubEvent::Detached { pod, at } => (SidecarEvent::Detached(pod), at),
        HubEvent::Heartbeat { pod, at, heartbeat } => (SidecarEvent::Heartbeat(pod, heartbeat), at),
        HubEvent::Evidence { pod, at, walk } => (SidecarEvent::Walk(pod, walk), at),
        HubEvent::Contested { pod, at } => (SidecarEvent::Contested(pod), at),
        HubEvent::Saw { pod, at, id, saw } => (SidecarEvent::Saw(pod, id, saw), at),
        HubEvent::Transitions { pod, at, transitions } => (SidecarEvent::Transitions(pod, transitions), at),
    }
}

/// Who a pod of the lab is.
fn pod_ref(at: At) -> PodRef {
    PodRef {
        namespace: objects::namespace(at).to_owned(),
        name: at.word().to_owned(),
        uid: format!("uid-{}", at.word()),
    }
}
