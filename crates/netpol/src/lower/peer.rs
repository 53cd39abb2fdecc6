//! Items of `from` and `to`.

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer};

use super::{Errors, Problem, block, selector};
use crate::policy::RulePeer;
use crate::selector::Selector;

pub(super) fn peer(errors: &mut Errors, path: &str, given: &NetworkPolicyPeer) -> Option<RulePeer> {
    let has_selector = given.pod_selector.is_some() || given.namespace_selector.is_some();
    match &given.ip_block {
        Some(_) if has_selector => {
            errors.add(path, Problem::PeerAmbiguous);
            None
        }
        Some(block) => ip_block(errors, &format!("{path}.ipBlock"), block),
        None if has_selector => {
            let namespaces = given
                .namespace_selector
                .as_ref()
                .map(|given| selector::selector(errors, &format!("{path}.namespaceSelector"), given));
            let pods = given.pod_selector.as_ref().map_or_else(Selector::everything, |given| {
                selector::selector(errors, &format!("{path}.podSelector"), given)
            });
            Some(RulePeer::Pods { namespaces, pods })
        }
        None => {
            errors.add(path, Problem::PeerEmpty);
            None
        }
    }
}

fn ip_block(errors: &mut Errors, path: &str, given: &IPBlock) -> Option<RulePeer> {
    let Some(cidr) = block::parse(&given.cidr) else {
        errors.add(format!("{path}.cidr"), Problem::Cidr(given.cidr.clone()));
        return None;
    };
    let mut except = Vec::new();
    for (index, text) in given.except.iter().flatten().enumerate() {
        let problem = match block::parse(text) {
            None => Problem::Cidr(text.clone()),
            Some(part) if cidr.contains(&part) && part != cidr => {
                except.push(part);
                continue;
            }
            Some(_) => Problem::ExceptOutside { except: text.clone(), cidr: given.cidr.clone() },
        };
        errors.add(format!("{path}.except[{index}]"), problem);
    }
    Some(RulePeer::IpBlock { cidr, except })
}
