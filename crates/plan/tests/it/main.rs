//! The crate from outside: numbers worked by hand, properties over random inputs, and bad input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod by_hand;
mod input;
mod properties;
