//! A real Kubernetes cluster on one machine, in namespaces of its own.
//!
//! etcd, the control plane, kubelets, containerd, CNI, kube-proxy, CoreDNS and a NetworkPolicy enforcer run as
//! the programs they are: Kubernetes is built from its own Go modules (`kube/`), CoreDNS likewise (`coredns/`),
//! the rest comes with Debian. All of it lives in network, mount and process namespaces with no route outside,
//! so nothing on the machine changes and [`Home::down`] leaves nothing; except that on cgroup v2 the controllers that
//! kubelets need stay enabled at the root.
//!
//! This crate decides and reports; `scripts/` does what has to happen inside the namespaces. A cluster survives
//! the process that started it and ends by itself after [`Options::max_life`].
//!
//! | address | what |
//! |---|---|
//! | `127.0.0.1:6443` | API server, inside the cluster's network namespace |
//! | `10.90.0.1`, `10.90.0.2` | nodes `n1` and `n2`; the control plane is on `n1` |
//! | `10.244.0.0/24`, `10.244.1.0/24` | pods of `n1` and `n2` |
//! | `10.96.0.0/16`, `10.96.0.10` | Services, cluster DNS |
//! | `198.51.100.10` | `outside.example`, a host outside the cluster: HTTP on 8080, UDP echo on 8081 |

mod binaries;
mod cache;
mod cluster;
mod down;
mod helm;
mod home;
mod host;
mod image;
mod launch;
mod options;
mod place;
mod progress;
mod status;

pub use binaries::check_go;
pub use cluster::Cluster;
pub use helm::helm;
pub use home::{Home, State};
pub use host::{
    check_rights, install_missing, missing_for_alerts, missing_for_helm, missing_for_images, missing_packages,
};
pub use image::{Image, build_image};
pub use launch::prepare;
pub use options::{Deny, Options};
pub use place::Place;
pub use progress::{LoggedStep, Progress, Quiet, Terminal};
pub use status::{NodeStatus, Status};
