//! How much of the proxy variables is looked at: evidence repeats them, and has to fit into one message.

use peerwalk_probe::ContainerEnv;
use peerwalk_wire::limits;

/// Bytes of all values together. Real ones have a few hundred for each container.
const VALUES_BYTES: usize = 32 * 1024;
/// Bytes of one proxy: evidence adds a port to a value without one.
const PROXY_BYTES: usize = limits::STRING_BYTES - ":65535".len();

/// The containers with what fits of their variables. A variable is kept whole or not at all, since half a list
/// of exceptions says something else; its container is then one whose variables cannot all be seen.
pub(super) fn within(mut containers: Vec<ContainerEnv>) -> Vec<ContainerEnv> {
    containers.truncate(limits::CONTAINERS);
    let mut left = VALUES_BYTES;
    for container in &mut containers {
        let before = container.variables.len();
        container.variables.retain(|(name, value)| {
            let most = if super::is_exception_list(name) { limits::EXCEPTIONS_BYTES } else { PROXY_BYTES };
            let fits = value.len() <= most.min(left);
            if fits {
                left -= value.len();
            }
            fits
        });
        container.not_visible |= container.variables.len() < before;
    }
    containers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(variables: &[(&str, usize)]) -> ContainerEnv {
        let variable = |(name, bytes): &(&str, usize)| ((*name).to_owned(), "x".repeat(*bytes));
        ContainerEnv { variables: variables.iter().map(variable).collect(), ..ContainerEnv::default() }
    }

    #[test]
    fn what_does_not_fit_is_not_seen_and_said_so() {
        let many = [("NO_PROXY", 16 * 1024)];
        let left = within(vec![
            container(&[("HTTP_PROXY", 1018), ("NO_PROXY", 12_000)]),
            container(&[("HTTP_PROXY", 1019), ("NO_PROXY", 20)]),
            container(&[("no_proxy", 16 * 1024 + 1)]),
            container(&many),
            container(&many),
            container(&[("https_proxy", 30)]),
        ]);
        let found: Vec<_> = left
            .iter()
            .map(|container| {
                let names: Vec<_> = container.variables.iter().map(|(name, _)| name.as_str()).collect();
                (names, container.not_visible)
            })
            .collect();
        assert_eq!(
            found,
            [
                (vec!["HTTP_PROXY", "NO_PROXY"], false),
                (vec!["NO_PROXY"], true),
                (vec![], true),
                (vec!["NO_PROXY"], false),
                (vec![], true),
                (vec!["https_proxy"], false),
            ]
        );
    }

    #[test]
    fn more_containers_than_a_message_holds_are_left_out() {
        assert_eq!(within(vec![ContainerEnv::default(); 100]).len(), limits::CONTAINERS);
    }
}
