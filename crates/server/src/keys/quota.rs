//! How often and how much one key may ask.
//!
//! Requests and tokens a minute are buckets that fill evenly. An answer's tokens are known when it
//! ends, so a bucket of tokens may go below zero; then nothing is let in until it has filled up.

use std::time::{Duration, Instant};

use super::KeyLimits;

const DAY: Duration = Duration::from_hours(24);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_minute: f64,
    level: f64,
    filled: Instant,
}

impl Bucket {
    fn new(per_minute: u64, now: Instant) -> Self {
        Self {
            per_minute: per_minute as f64,
            level: per_minute as f64,
            filled: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed_s = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + self.per_minute * passed_s / 60.0).min(self.per_minute);
        self.filled = now;
    }

    /// Seconds until the level is above `least`.
    fn wait_s(&self, least: f64) -> u64 {
        ((least - self.level).max(0.0) * 60.0 / self.per_minute).ceil() as u64
    }
}

/// Why a request is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: String,
    pub(super) retry_after_s: u64,
}

/// What one key has left.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    tokens_per_day: Option<u64>,
    /// When the day under way began: with the first use after the last day ended.
    day_begun: Option<Instant>,
    today: u64,
}

impl Quota {
    pub(super) fn new(limits: KeyLimits, now: Instant) -> Self {
        Self {
            requests: limits.requests_per_minute.map(|n| Bucket::new(n, now)),
            tokens: limits.tokens_per_minute.map(|n| Bucket::new(n, now)),
            tokens_per_day: limits.tokens_per_day,
            day_begun: None,
            today: 0,
        }
    }

    /// The same use under new limits.
    pub(super) fn with_limits(&self, limits: KeyLimits, now: Instant) -> Self {
        let carry = |old: Option<Bucket>, per_minute: Option<u64>| {
            per_minute.map(|n| {
                let mut bucket = Bucket::new(n, now);
                if let Some(old) = old {
                    bucket.level = old.level.min(n as f64);
                    bucket.filled = old.filled;
                }
                bucket
            })
        };
        Self {
            requests: carry(self.requests, limits.requests_per_minute),
            tokens: carry(self.tokens, limits.tokens_per_minute),
            tokens_per_day: limits.tokens_per_day,
            ..self.clone()
        }
    }

    /// Lets a request in, or says when to try again.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Refused> {
        self.end_day(now);
        if let Some(most) = self.tokens_per_day.filter(|&most| self.today >= most) {
            let passed = self.day_begun.map(|at| now.saturating_duration_since(at));
            let left = DAY.saturating_sub(passed.unwrap_or_default());
            return Err(Refused {
                reason: format!("this key's {most} tokens a day are used up"),
                retry_after_s: left.as_secs().max(1),
            });
        }
        if let Some(tokens) = &mut self.tokens {
            tokens.fill(now);
            if tokens.level <= 0.0 {
                return Err(Refused {
                    reason: format!(
                        "this key's {} tokens a minute are used up",
                        tokens.per_minute
                    ),
                    retry_after_s: tokens.wait_s(1.0).max(1),
                });
            }
        }
        if let Some(requests) = &mut self.requests {
            requests.fill(now);
            if requests.level < 1.0 {
                return Err(Refused {
                    reason: format!(
                        "this key's {} requests a minute are used up",
                        requests.per_minute
                    ),
                    retry_after_s: requests.wait_s(1.0).max(1),
                });
            }
            requests.level -= 1.0;
        }
        Ok(())
    }

    /// Counts the tokens of an answer.
    pub(super) fn charge(&mut self, now: Instant, tokens: u64) {
        self.charge_day(now, tokens);
        if let Some(bucket) = &mut self.tokens {
            bucket.fill(now);
            bucket.level -= tokens as f64;
        }
    }

    /// Counts the tokens against the day alone.
    pub(super) fn charge_day(&mut self, now: Instant, tokens: u64) {
        self.end_day(now);
        self.day_begun.get_or_insert(now);
        self.today = self.today.saturating_add(tokens);
    }

    /// Counts an answer of an earlier run of the server, which was let in then.
    pub(super) fn restore(&mut self, at: Instant, tokens: u64) {
        if let Some(requests) = &mut self.requests {
            requests.fill(at);
            requests.level = (requests.level - 1.0).max(0.0);
        }
        self.charge(at, tokens);
    }

    fn end_day(&mut self, now: Instant) {
        let begun = self.day_begun;
        if begun.is_some_and(|at| now.saturating_duration_since(at) >= DAY) {
            self.day_begun = None;
            self.today = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests: Option<u64>, tokens: Option<u64>, day: Option<u64>) -> KeyLimits {
        KeyLimits {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            tokens_per_day: day,
        }
    }

    #[test]
    fn requests_come_back_evenly() {
        let now = Instant::now();
        let mut quota = Quota::new(limits(Some(2), None, None), now);
        assert!(quota.admit(now).is_ok() && quota.admit(now).is_ok());
        assert_eq!(quota.admit(now).unwrap_err().retry_after_s, 30);
        assert!(quota.admit(now + Duration::from_secs(29)).is_err());
        assert!(quota.admit(now + Duration::from_secs(30)).is_ok());
        assert!(quota.admit(now + Duration::from_secs(31)).is_err());
        // A long rest gives no more than a minute's worth.
        let later = now + Duration::from_hours(1);
        assert!(quota.admit(later).is_ok() && quota.admit(later).is_ok());
        assert!(quota.admit(later).is_err());
    }

    #[test]
    fn tokens_are_paid_afterwards() {
        let now = Instant::now();
        let mut quota = Quota::new(limits(None, Some(60), None), now);
        assert!(quota.admit(now).is_ok());
        quota.charge(now, 120);
        assert_eq!(quota.admit(now).unwrap_err().retry_after_s, 61);
        assert!(quota.admit(now + Duration::from_secs(61)).is_ok());
    }

    #[test]
    fn a_day_ends() {
        let now = Instant::now();
        let mut quota = Quota::new(limits(None, None, Some(10)), now);
        quota.charge(now, 10);
        assert!(quota.admit(now).is_err());
        assert!(quota.admit(now + DAY).is_ok());
    }

    #[test]
    fn what_an_earlier_run_counted_is_counted_again() {
        let begun = Instant::now();
        let now = begun + DAY + DAY;
        let before = |seconds| begun + (DAY + DAY).saturating_sub(Duration::from_secs(seconds));
        let mut quota = Quota::new(limits(Some(2), Some(60), Some(100)), now);
        // A day ago and more: over.
        quota.restore(before(90_000), 99);
        quota.restore(before(40), 70);
        quota.restore(before(20), 20);
        // 60 - 70 + 20 - 20 + 20 tokens, and 2 - 2 + 4 / 3 requests.
        assert_eq!(quota.today, 90);
        assert!(quota.admit(now).is_ok());
        // 20, give or take a rounding of thirds.
        let refused = quota.admit(now).unwrap_err();
        assert!((20..=21).contains(&refused.retry_after_s));
        quota.charge(now, 10);
        let refused = quota.admit(now).unwrap_err();
        assert_eq!(refused.retry_after_s, DAY.as_secs() - 40);
    }

    #[test]
    fn new_limits_forget_nothing() {
        let now = Instant::now();
        let mut quota = Quota::new(limits(Some(1), None, None), now);
        assert!(quota.admit(now).is_ok());
        assert!(
            quota
                .with_limits(limits(Some(1), None, None), now)
                .admit(now)
                .is_err()
        );
        assert!(
            quota
                .with_limits(limits(None, None, None), now)
                .admit(now)
                .is_ok()
        );
    }
}
