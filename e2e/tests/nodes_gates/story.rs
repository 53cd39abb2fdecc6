//! What gates make of every version of a Deployment and its check, from the moment of a rollout on.

use anyhow::Result;
use serde_json::Value;

use super::rules::{Gate, flux, kstatus, workflow};
use super::script::{closed, health};

/// One moment.
#[derive(Clone, Debug)]
struct Moment {
    argocd: String,
    flux: Gate,
    kstatus: Gate,
    workflow: Gate,
    together: Gate,
    /// What Ready says, for people.
    #[expect(dead_code, reason = "it is printed when a story is not as it should be")]
    ready: Value,
}

/// All moments, in order.
#[derive(Debug)]
pub struct Story(Vec<Moment>);

impl Story {
    /// From the version of the Deployment on that has this generation of its spec, or from the first one of the check
    /// where there is no Deployment.
    pub fn of(versions: &[Value], generation: i64) -> Result<Self> {
        let lua = closed()?;
        let (mut deployment, mut check): (Option<&Value>, Option<&Value>) = (None, None);
        let rolls = versions.iter().any(|version| version["kind"] == "Deployment");
        let mut moments = Vec::new();
        for version in versions {
            let of = if version["kind"] == "Deployment" { &mut deployment } else { &mut check };
            *of = Some(version);
            let begun = |deployment: &Value| {
                deployment["metadata"]["generation"].as_i64().is_some_and(|found| found >= generation)
            };
            let Some(check) = check.filter(|_| deployment.map_or(!rolls, begun)) else { continue };
            let [rollout, gate] = [deployment.map_or(Gate::Passes, kstatus), kstatus(check)];
            let conditions = check["status"]["conditions"].as_array();
            let ready = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Ready"));
            moments.push(Moment {
                argocd: health(&lua, check)?.0,
                flux: flux(check)?,
                kstatus: gate,
                workflow: workflow(check)?,
                // As whoever waits for all objects at once.
                together: match (rollout, gate) {
                    (Gate::Fails, _) | (_, Gate::Fails) => Gate::Fails,
                    (Gate::Passes, Gate::Passes) => Gate::Passes,
                    _ => Gate::Waits,
                },
                ready: ready.cloned().unwrap_or_default(),
            });
        }
        Ok(Self(moments))
    }

    fn told<'a, T: PartialEq>(&'a self, what: impl Fn(&'a Moment) -> T) -> Vec<T> {
        let mut told: Vec<T> = self.0.iter().map(what).collect();
        told.dedup();
        told
    }

    /// What Argo CD's script says of the check.
    pub fn argocd(&self) -> Vec<&str> {
        self.told(|moment| moment.argocd.as_str())
    }

    /// What Flux makes of the check, by expressions.
    pub fn flux(&self) -> Vec<Gate> {
        self.told(|moment| moment.flux)
    }

    /// What kstatus makes of the check.
    pub fn kstatus(&self) -> Vec<Gate> {
        self.told(|moment| moment.kstatus)
    }

    /// What Argo Workflows makes of the check.
    pub fn workflow(&self) -> Vec<Gate> {
        self.told(|moment| moment.workflow)
    }

    /// What kstatus makes of the Deployment and the check, as Helm and Flux wait for both.
    pub fn together(&self) -> Vec<Gate> {
        self.told(|moment| moment.together)
    }
}
