//! Requests in, token events out.
pub mod api;
