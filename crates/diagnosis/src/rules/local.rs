//! The prober's own trouble voids the walk.

use peerwalk_model::verdict::Topic;
use peerwalk_model::{Because, Reason, Stage, Verdict};

use crate::address::Answer;
use crate::view::View;

pub(super) fn prober_out_of_resources(view: &View) -> Option<Verdict> {
    if let Some(trouble) = &view.walk.local {
        return Some(void(format!("the prober ran out of {} (errno {})", trouble.what, trouble.errno)));
    }
    if view.addresses.iter().any(|address| address.answer.was_tried()) {
        return None;
    }
    view.addresses.iter().find_map(|address| match address.answer {
        Answer::Resources(errno) => Some(void(format!(
            "the kernel refused the prober a socket to {} (errno {errno})",
            address.remote
        ))),
        _ => None,
    })
}

fn void(text: String) -> Verdict {
    Verdict::unknown(Reason::LocalResources, Stage::Connect, vec![Because::new(Topic::Local, text)])
}
