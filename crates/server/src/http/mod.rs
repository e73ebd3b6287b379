//! HTTP itself: connections and their limits, who may ask, bodies in and streams out.

pub(crate) mod body;
mod connection;
mod gate;
pub(crate) mod listen;
mod router;
pub(crate) mod sse;
