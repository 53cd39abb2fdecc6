//! Who asks peers about dials while their sockets are open.

use std::fmt::Debug;

use futures::future::BoxFuture;
use peerwalk_model::evidence::Dial;

/// Somebody who can ask the pods that dials lead to.
pub trait Witness: Debug + Send + Sync {
    /// Asks about these dials. A walk calls it when its connect stage has come to its end, and also at the suspicion
    /// of silence; it goes on, and closes their sockets, when this is done. An implementation is quick.
    fn ask(&self, dials: Vec<Dial>) -> BoxFuture<'_, ()>;
}
