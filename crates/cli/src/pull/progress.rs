//! What a person sees while bytes come: a bar on standard error with bytes, speed and time left,
//! and single lines above it. No terminal, no bar; `--quiet`, nothing.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use terang_server::FetchWatch;

use crate::messages::Msg;

const REDRAWS_PER_SECOND: u8 = 10;

/// The bar and the lines above it.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    quiet: bool,
    /// Told the same, where somebody looks on from elsewhere.
    watch: Option<Arc<FetchWatch>>,
}

impl Progress {
    /// A bar that is not shown yet. `quiet` keeps it and the lines away.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            quiet,
            watch: None,
        }
    }

    /// Nothing to be seen here; `watch` is told.
    pub(crate) fn told_to(watch: Arc<FetchWatch>) -> Self {
        Self {
            watch: Some(watch),
            ..Self::new(true)
        }
    }

    /// Shows the bar: `total` bytes, `done` of them here already.
    pub(super) fn start(&self, total: u64, done: u64, label: &str) {
        if let Some(watch) = &self.watch {
            return watch.begin(total, done);
        }
        self.show();
        self.bar.set_style(style(
            "{msg}  {wide_bar:.cyan/dim}  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta}",
        ));
        self.bar.set_length(total);
        self.bar.set_message(label.to_owned());
        self.bar.set_position(done);
        // Bytes of an earlier run must not count as this run's speed.
        self.bar.reset_eta();
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// Shows a bar that counts to `total`.
    pub(crate) fn start_count(&self, total: u64, label: &Msg) {
        self.show();
        self.bar
            .set_style(style("{msg}  {wide_bar:.cyan/dim}  {pos}/{len}"));
        self.bar.set_length(total);
        self.bar.set_message(label.to_string());
        self.bar.set_position(0);
    }

    fn show(&self) {
        if !self.quiet {
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND));
        }
    }

    /// `done` bytes are here; the bar never goes back.
    pub(crate) fn reach(&self, done: u64) {
        if let Some(watch) = &self.watch {
            watch.reach(done);
        } else if done > self.bar.position() {
            self.bar.set_position(done);
        }
    }

    /// Names what is going on now.
    pub(crate) fn label(&self, label: String) {
        self.bar.set_message(label);
    }

    /// A line above the bar.
    pub(crate) fn line(&self, message: &Msg) {
        if self.quiet {
            return;
        }
        self.bar
            .suspend(|| crate::output::note(&message.to_string()));
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
        self.bar.reset();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}
