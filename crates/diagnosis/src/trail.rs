//! The way of the packets to an address, by those who answer dials that may only go a few hops. It supports what the
//! target's own dials show, and shows by itself only that packets come by a router twice.

use std::net::IpAddr;

use peerwalk_model::evidence::Hop;

use crate::address::{Address, Answer};
use crate::place::place;
use crate::view::View;

/// Packets that may go so few hops by a limit of their own may be over on a way that is no circle. Linux sets 64.
const FEW: u8 = 32;

/// What is known of the way to one address.
#[derive(Clone, Debug)]
pub(crate) struct Trail<'v, 'a> {
    view: &'v View<'a>,
    address: &'v Address<'a>,
    /// Those that routers answered, in order.
    routers: Vec<(u8, IpAddr)>,
    /// The first that the address itself answered.
    reached: Option<u8>,
    /// The most hops that were tried.
    furthest: u8,
    /// The pod's own limit.
    own: Option<u8>,
}

impl<'v, 'a> Trail<'v, 'a> {
    pub fn of(view: &'v View<'a>, address: &'v Address<'a>) -> Self {
        let connect = view.walk.connect.as_ref();
        let all = connect.iter().flat_map(|connect| &connect.hops);
        let mut hops: Vec<&Hop> = all.filter(|hop| hop.remote == address.remote).collect();
        hops.sort_by_key(|hop| hop.ttl);
        let target = address.remote.ip().to_canonical();
        let router = |hop: &&Hop| {
            let from = hop.from?.to_canonical();
            // Through a Service's address, every router has its name.
            (from != target).then_some((hop.ttl, from))
        };
        Self {
            view,
            address,
            routers: hops.iter().filter_map(router).collect(),
            reached: hops.iter().find(|hop| hop.reached).map(|hop| hop.ttl),
            furthest: hops.last().map_or(0, |hop| hop.ttl),
            own: connect.and_then(|connect| connect.hop_limits.of(address.remote.ip())),
        }
    }

    /// Whether packets come by more than one router: a single one may end them all by itself.
    pub fn is_passed_on(&self) -> bool {
        let mut names = self.routers.iter().map(|(_, from)| from);
        let first = names.next();
        names.any(|name| Some(name) != first)
    }

    /// A router that the packets come by twice, with another one in between: where it was met first, and again.
    pub fn circle(&self) -> Option<(IpAddr, u8, u8)> {
        self.routers.iter().find_map(|(first, from)| {
            let between = self.routers.iter().filter(|(hop, other)| hop > first && other != from);
            let between = between.map(|(hop, _)| *hop).min()?;
            let again = self.routers.iter().find(|(hop, other)| *hop > between && other == from)?;
            Some((*from, *first, again.0))
        })
    }

    /// Why a packet's end on the way may be no circle; `None` where nothing speaks for that.
    pub fn is_no_circle(&self) -> Option<String> {
        if let Some(text) = self.answered() {
            return Some(format!(
                "{text}: something on the way, or a route of the pod, may give others fewer than they need"
            ));
        }
        let (_, first) = self.routers.first()?;
        // A router does not forward to itself: one that answers two numbers of hops in a row may answer every one.
        let in_a_row = self.routers.windows(2).any(|two| two[0].0 + 1 == two[1].0);
        let same = in_a_row && self.routers.iter().all(|(_, from)| from == first);
        same.then(|| {
            format!(
                "{first} answers however many hops the packets to {} may go: it may set their limit itself",
                self.address.remote
            )
        })
    }

    /// Whether the pod's own packets may go so few hops that they may be over on a way that is no circle.
    pub fn is_short(&self) -> bool {
        self.own.is_some_and(|own| own <= FEW)
    }

    /// Whether the address answers packets that may go more hops than the pod's own.
    pub fn is_too_short(&self) -> bool {
        self.is_short() && self.reached.is_some()
    }

    /// That the address answered a dial that may only go a few hops, in words.
    pub fn answered(&self) -> Option<String> {
        let reached = self.reached?;
        let remote = self.address.remote;
        Some(format!("a connection to {remote} whose packets may go {} was answered", hops(reached)))
    }

    /// The pod's own limit where it is small, in words.
    pub fn short(&self) -> Option<String> {
        let own = self.own.filter(|own| *own <= FEW)?;
        let setting = match self.address.remote.ip().to_canonical() {
            IpAddr::V4(_) => "net.ipv4.ip_default_ttl",
            IpAddr::V6(_) => "net.ipv6.conf.*.hop_limit",
        };
        Some(format!("the source pod's own packets may go only {} ({setting})", hops(own)))
    }

    /// What is told of it, where the address gave no answer or somebody's word that the packets' time is over.
    pub fn told(&self) -> Vec<String> {
        let (remote, answer) = (self.address.remote, self.address.answer);
        if !matches!(answer, Answer::Silent | Answer::RoutingLoop(_)) {
            return Vec::new();
        }
        let mut told: Vec<String> = self.short().into_iter().collect();
        if let Some((router, first, again)) = self.circle() {
            let router = self.name(router);
            told.push(format!(
                "packets to {remote} come by {router} at hop {first}, and again at hop {again}"
            ));
        } else if let Some(text) = self.answered() {
            told.push(text);
        } else if let (Some((hop, router)), Answer::Silent) = (self.routers.last(), answer) {
            let router = self.name(*router);
            let beyond =
                if self.furthest > *hop { ", and nothing answers beyond it" } else { ", if not further" };
            told.push(format!("packets to {remote} get as far as hop {hop}, {router}{beyond}"));
        }
        told
    }

    /// A router, with the node that it is where that is one of the pods'.
    fn name(&self, router: IpAddr) -> String {
        let place = place(self.view.facts, self.address, Some(router));
        if place.egress || place.ingress { format!("{router} ({})", place.text) } else { router.to_string() }
    }
}

fn hops(number: u8) -> String {
    if number == 1 { "1 hop".to_owned() } else { format!("{number} hops") }
}

#[cfg(test)]
mod tests;
