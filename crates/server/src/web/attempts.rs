//! How often somebody may try to log in. What is counted is never the account alone, or whoever
//! fails on purpose could keep its owner out: it is the account together with where the attempt comes
//! from, and a browser that has logged in to the account before is a place of its own, whatever
//! address it comes from.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Attempts at one account from one place before waiting begins.
const FREE: u32 = 5;
/// Waiting doubles from one second up to this.
const WAIT_MAX: Duration = Duration::from_mins(15);
/// Attempts from one address at any accounts, before each waits for the next.
const ADDRESS_FREE: u32 = 60;
const ADDRESS_WAIT: Duration = Duration::from_secs(5);
/// Failures are forgotten after so long without one.
const FORGET: Duration = Duration::from_mins(30);
/// Places that are remembered. Beyond it those whose last failure is longest ago go.
const PLACES_MAX: usize = 50_000;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Failed attempts to log in.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    places: Mutex<HashMap<String, Failures>>,
}

/// From where somebody tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) address: &'a str,
    /// The mark of a browser that has logged in to this account before.
    pub(super) device: Option<&'a str>,
    pub(super) email: &'a str,
}

impl Place<'_> {
    fn account(&self) -> String {
        match self.device {
            Some(device) => format!("device {device}"),
            None => format!("{} {}", self.address, self.email),
        }
    }

    fn address(&self) -> Option<String> {
        // A known browser does not wait for strangers who share its address.
        self.device
            .is_none()
            .then(|| format!("address {}", self.address))
    }
}

impl Attempts {
    /// Counts an attempt before it is made, so that many at once count too. `Err`: the time to wait.
    pub(super) fn begin(&self, place: Place<'_>) -> Result<(), Duration> {
        self.begin_at(place, Instant::now())
    }

    fn begin_at(&self, place: Place<'_>, now: Instant) -> Result<(), Duration> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let account = place.account();
        let address = place.address();
        let mut wait = places.get(&account).map_or(Duration::ZERO, |failures| {
            let beyond = failures.count.saturating_sub(FREE - 1);
            let step = match beyond {
                0 => Duration::ZERO,
                beyond => Duration::from_secs(1 << (beyond - 1).min(10)).min(WAIT_MAX),
            };
            left(failures.last + step, now)
        });
        if let Some(failures) = address.as_ref().and_then(|address| places.get(address))
            && failures.count >= ADDRESS_FREE
        {
            wait = wait.max(left(failures.last + ADDRESS_WAIT, now));
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        if places.len() >= PLACES_MAX {
            places.retain(|_, failures| now.duration_since(failures.last) < FORGET);
            if places.len() >= PLACES_MAX {
                let oldest = places.iter().min_by_key(|(_, failures)| failures.last);
                if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                    places.remove(&oldest);
                }
            }
        }
        for place in [Some(account), address].into_iter().flatten() {
            let failures = places.entry(place).or_insert(Failures {
                count: 0,
                last: now,
            });
            if now.duration_since(failures.last) >= FORGET {
                failures.count = 0;
            }
            failures.count += 1;
            failures.last = now;
        }
        Ok(())
    }

    /// The attempt was right: nothing is held against the place.
    pub(super) fn succeeded(&self, place: Place<'_>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.remove(&place.account());
        if let Some(address) = place.address()
            && let Some(failures) = places.get_mut(&address)
        {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

fn left(until: Instant, now: Instant) -> Duration {
    until.saturating_duration_since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>(address: &'a str, email: &'a str) -> Place<'a> {
        Place {
            address,
            device: None,
            email,
        }
    }

    #[test]
    fn waiting_grows_for_who_fails_and_for_nobody_else() {
        let (attempts, mut now) = (Attempts::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(attempts.begin_at(place("1.1.1.1", "ann"), now), Ok(()));
        }
        let mut longest = Duration::ZERO;
        for _ in 0..15 {
            let Err(wait) = attempts.begin_at(place("1.1.1.1", "ann"), now) else {
                panic!("not held up");
            };
            assert!(wait >= longest && wait <= WAIT_MAX, "{wait:?} {longest:?}");
            longest = wait;
            now += wait;
            assert_eq!(attempts.begin_at(place("1.1.1.1", "ann"), now), Ok(()));
        }
        assert_eq!(longest, WAIT_MAX);
        // The owner from elsewhere, from a browser of theirs at the same address, and others there.
        assert_eq!(attempts.begin_at(place("2.2.2.2", "ann"), now), Ok(()));
        assert_eq!(attempts.begin_at(place("1.1.1.1", "ben"), now), Ok(()));
        let known = Place {
            device: Some("d"),
            ..place("1.1.1.1", "ann")
        };
        assert_eq!(attempts.begin_at(known, now), Ok(()));
    }

    #[test]
    fn one_address_cannot_go_through_all_accounts() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..ADDRESS_FREE {
            let email = format!("user{number}");
            assert_eq!(attempts.begin_at(place("1.1.1.1", &email), now), Ok(()));
        }
        assert!(attempts.begin_at(place("1.1.1.1", "another"), now).is_err());
        assert!(attempts.begin_at(place("2.2.2.2", "another"), now).is_ok());
        let known = Place {
            device: Some("d"),
            ..place("1.1.1.1", "ann")
        };
        assert_eq!(attempts.begin_at(known, now), Ok(()));
        assert!(
            attempts
                .begin_at(place("1.1.1.1", "another"), now + ADDRESS_WAIT)
                .is_ok()
        );
    }

    #[test]
    fn success_forgets() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(attempts.begin_at(place("1.1.1.1", "ann"), now), Ok(()));
            attempts.succeeded(place("1.1.1.1", "ann"));
        }
    }
}
