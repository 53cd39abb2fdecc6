//! What the prober knows of the pod: its addresses, and the proxy variables of the application's containers.

mod bounds;

use peerwalk_model::proxy::without_user;
use peerwalk_probe::{ContainerEnv, Environment};
use serde::Deserialize;
use tracing::warn;

use crate::args::RunArgs;

/// One container, as the webhook describes it in `PEERWALK_PROXY_ENV`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    container: String,
    #[serde(default)]
    variables: Vec<Variable>,
    #[serde(default)]
    not_visible: Vec<String>,
}

/// One variable: its value, or the name of a variable of our own container that holds it.
#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    env: Option<String>,
}

/// The prober's environment. Proxy variables that cannot be read are reported and left out: the direct way
/// can be walked without them.
pub(crate) fn environment(args: &RunArgs, variable: impl Fn(&str) -> Option<String>) -> Environment {
    let containers = match serde_json::from_str::<Vec<Container>>(&args.proxy_env) {
        Ok(containers) => containers.into_iter().map(|found| container(found, &variable)).collect(),
        Err(error) => {
            // The position only: values may hold credentials.
            let (line, column) = (error.line(), error.column());
            warn!(line, column, "PEERWALK_PROXY_ENV cannot be read; proxy variables are not looked at");
            Vec::new()
        }
    };
    let containers = bounds::within(containers);
    Environment { containers, addresses: args.pod_ips.0.clone(), ..Environment::default() }
}

fn container(found: Container, variable: &impl Fn(&str) -> Option<String>) -> ContainerEnv {
    let value = |found: Variable| {
        // A reference that is empty leaves the variable unset, in the application's container as in ours.
        let value = found.value.or_else(|| variable(&found.env?))?;
        let value = if is_exception_list(&found.name) { value } else { without_user(&value) };
        Some((found.name, value))
    };
    ContainerEnv {
        name: found.container,
        variables: found.variables.into_iter().filter_map(value).collect(),
        not_visible: !found.not_visible.is_empty(),
        complete: false,
    }
}

fn is_exception_list(name: &str) -> bool {
    name.eq_ignore_ascii_case("NO_PROXY")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn read(proxy_env: &str) -> Environment {
        let cli = Cli::parse_from([
            "run",
            "--hub=hub:9443",
            "--hub-root=pem",
            "--pod-namespace=shop",
            "--pod-name=web",
            "--pod-uid=1",
            "--pod-ips=10.0.0.1",
            &format!("--proxy-env={proxy_env}"),
        ]);
        environment(&cli.run, |name| {
            (name == "PEERWALK_PROXY_ENV_0").then(|| "http://user:secret@proxy:3128".to_owned())
        })
    }

    #[test]
    fn values_and_references_are_read_without_user_information() {
        let found = read(
            r#"[{"container":"web","variables":[
                {"name":"HTTP_PROXY","value":"http://a:b@proxy:3128/"},
                {"name":"https_proxy","env":"PEERWALK_PROXY_ENV_0"},
                {"name":"ALL_PROXY","env":"PEERWALK_PROXY_ENV_1"},
                {"name":"NO_PROXY","value":"a@b,.svc"}],"notVisible":["envFrom"]},
               {"container":"api","variables":[]}]"#,
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let web = ContainerEnv {
            name: "web".to_owned(),
            variables: vec![
                pair("HTTP_PROXY", "http://***@proxy:3128/"),
                pair("https_proxy", "http://***@proxy:3128"),
                pair("NO_PROXY", "a@b,.svc"),
            ],
            not_visible: true,
            complete: false,
        };
        let api = ContainerEnv { name: "api".to_owned(), ..ContainerEnv::default() };
        assert_eq!(found.containers, [web, api]);
        assert_eq!(found.addresses, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert!(read("{").containers.is_empty(), "broken JSON stops nothing");
    }
}
