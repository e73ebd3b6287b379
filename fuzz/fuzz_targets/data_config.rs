//! A configuration of training data.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use terang_data::config::Config;

fuzz_target!(|text: &str| {
    let _ = Config::parse(Path::new("c.toml"), text);
});
