//! The log: lines for people or JSON, on standard error. Nothing that is logged holds a prompt, an
//! answer or a key.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::{LogFormat, LogLevel};

/// What may be in the log. The library for tools would tell what is called with what.
fn is_ours(target: &str) -> bool {
    !target.starts_with("rmcp")
}

/// Starts the log of this process; the first call counts.
pub fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr);
    let ours = filter_fn(|event| is_ours(event.target()));
    let _ = match format {
        LogFormat::Human => tracing::subscriber::set_global_default(
            subscriber
                .with_target(false)
                .with_ansi(false)
                .finish()
                .with(ours),
        ),
        LogFormat::Json => tracing::subscriber::set_global_default(
            subscriber.json().flatten_event(true).finish().with(ours),
        ),
    };
}
