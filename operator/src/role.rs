//! The hub follows the lease: it takes sidecars while this replica leads and every pod has its plan, and sends them to
//! the leader otherwise.

use std::net::SocketAddr;

use peerwalk_controller::Leading;
use peerwalk_hub::{HubHandle, Role};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Keeps the hub's role until `stop`. `planned` is the term in which every pod has its plan.
pub async fn follow(
    hub: HubHandle,
    mut leading: watch::Receiver<Leading>,
    mut planned: watch::Receiver<Option<u64>>,
    stop: CancellationToken,
) {
    let mut last = None;
    loop {
        let role = role(&leading.borrow_and_update(), *planned.borrow_and_update());
        if last.as_ref() != Some(&role) {
            hub.set_role(role.clone());
            last = Some(role);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            // Who told ends only with the operator; what was told last stands.
            Ok(()) = leading.changed() => {}
            Ok(()) = planned.changed() => {}
            else => return stop.cancelled().await,
        }
    }
}

fn role(leading: &Leading, planned: Option<u64>) -> Role {
    match leading {
        Leading::Leader { term, .. } if planned == Some(*term) => Role::Leader,
        Leading::Leader { .. } => Role::Standby { redirect: None },
        Leading::Standby { leader } => {
            let hub = leader.as_ref().and_then(|leader| leader.hub);
            Role::Standby { redirect: hub.as_ref().map(SocketAddr::to_string) }
        }
    }
}

#[cfg(test)]
mod tests {
    use peerwalk_controller::Leader;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn sidecars_come_when_the_plans_are_there() {
        let leads = |term| Leading::Leader { term, until: Instant::now() };
        let standby = |hub: Option<&str>| Leading::Standby {
            leader: Some(Leader { name: "peerwalk-1".into(), hub: hub.map(|hub| hub.parse().unwrap()) }),
        };
        let nowhere = || Role::Standby { redirect: None };
        let table = [
            ("leads, plans are missing", leads(2), None, nowhere()),
            ("leads, plans are of another term", leads(2), Some(1), nowhere()),
            ("leads, all is planned", leads(2), Some(2), Role::Leader),
            ("nobody is known to lead", Leading::default(), Some(2), nowhere()),
            ("who leads does not say where it is", standby(None), None, nowhere()),
            (
                "another leads",
                standby(Some("[fd00::7]:9443")),
                Some(2),
                Role::Standby { redirect: Some("[fd00::7]:9443".to_owned()) },
            ),
        ];
        for (case, leading, planned, expected) in table {
            assert_eq!(role(&leading, planned), expected, "{case}");
        }
    }
}
