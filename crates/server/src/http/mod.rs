//! HTTP itself: connections and their limits, who may ask, bodies in and streams out.

pub(crate) mod body;
mod connection;
mod gate;
mod heads;
pub(crate) mod listen;
mod router;
pub(crate) mod sse;
