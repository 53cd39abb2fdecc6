//! One walk: resolve, route, connect, tls, request, and the evidence each leaves.
