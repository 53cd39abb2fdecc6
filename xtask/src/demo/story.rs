//! What breaks in the shop, how it is repaired, and which verdict each has to bring.

use super::watch::Expected;

/// Something that breaks, and its repair. Commands are kubectl's arguments.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    pub(crate) check: &'static str,
    pub(crate) breaks: &'static [&'static str],
    pub(crate) repairs: &'static [&'static str],
    pub(crate) expected: Expected,
}

/// The checks of a shop in which nothing is broken.
pub(crate) const AT_FIRST: [(&str, Expected); 2] = [("storefront", GOOD), ("isolation", DENIED)];

/// What is reached that has to be.
const GOOD: Expected = Expected { ready: "True", reason: Some("AsExpected"), words: &[] };

/// What is denied that has to be, and a policy is known to be why.
const DENIED: Expected =
    Expected { ready: "True", reason: Some("AsExpected"), words: &["PolicyDenied", "confirmed"] };

/// What a check says when everything is in order.
pub(crate) fn in_order(check: &str) -> Expected {
    if check == "isolation" { DENIED } else { GOOD }
}

pub(crate) const STEPS: [Step; 5] = [
    Step {
        title: "A policy locks the catalog",
        check: "storefront",
        breaks: &["apply", "-f", "e2e/demo/catalog-lockdown.yaml"],
        repairs: &["delete", "-f", "e2e/demo/catalog-lockdown.yaml"],
        expected: Expected {
            ready: "False",
            reason: Some("PolicyDenied"),
            words: &["shop/catalog-lockdown"],
        },
    },
    Step {
        title: "The catalog is scaled to zero",
        check: "storefront",
        breaks: &["-n", "shop", "scale", "deployment/catalog", "--replicas=0"],
        repairs: &["-n", "shop", "scale", "deployment/catalog", "--replicas=1"],
        expected: Expected { ready: "False", reason: Some("NoEndpoints"), words: &[] },
    },
    Step {
        title: "The catalog stops listening",
        check: "storefront",
        breaks: &[
            "-n",
            "shop",
            "exec",
            "deployment/catalog",
            "-c",
            "catalog",
            "--",
            "/testbed",
            "http",
            "http://127.0.0.1:9090/close/8080",
        ],
        repairs: &[
            "-n",
            "shop",
            "exec",
            "deployment/catalog",
            "-c",
            "catalog",
            "--",
            "/testbed",
            "http",
            "http://127.0.0.1:9090/open/8080",
        ],
        expected: Expected { ready: "False", reason: Some("NotListening"), words: &[] },
    },
    Step {
        title: "web loses .svc from NO_PROXY",
        check: "storefront",
        breaks: &[
            "-n",
            "shop",
            "set",
            "env",
            "deployment/web",
            "NO_PROXY=.cluster.local",
            "no_proxy=.cluster.local",
        ],
        repairs: &[
            "-n",
            "shop",
            "set",
            "env",
            "deployment/web",
            "NO_PROXY=.svc,.cluster.local",
            "no_proxy=.svc,.cluster.local",
        ],
        expected: Expected {
            ready: "False",
            reason: Some("ProxyMisrouted"),
            // The variable that sends it there, and what to add to the other.
            words: &["http_proxy", "add .svc"],
        },
    },
    Step {
        title: "The ledger loses its default-deny",
        check: "isolation",
        breaks: &["delete", "-f", "e2e/demo/default-deny.yaml"],
        repairs: &["apply", "-f", "e2e/demo/default-deny.yaml"],
        expected: Expected { ready: "False", reason: Some("UnexpectedlyReachable"), words: &[] },
    },
];
