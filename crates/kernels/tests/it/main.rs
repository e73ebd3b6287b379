//! Every vector kernel equals its scalar definition bit for bit, for any shape and thread count.
#![allow(clippy::unwrap_used, reason = "tests")]

mod attention;
mod matmul;
mod rows;
mod weights;
