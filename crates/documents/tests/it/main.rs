//! Documents as people have them, and such as are made to do harm.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod docx;
#[cfg(unix)]
mod isolated;
mod pdf;
mod picture;
