//! The date and time that a template may ask for, in UTC.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment in the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    year: i64,
    month: u32,
    day: u32,
    weekday: u32,
    day_of_year: u32,
    second_of_day: u32,
}

impl Civil {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::from_unix_seconds(since.map_or(0, |since| since.as_secs() as i64))
    }

    pub(super) fn from_unix_seconds(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        // Eras of 400 years that begin on 1 March.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * from_march + 2) / 153;
        let day = (from_march - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = (if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        }) as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
        Self {
            year,
            month,
            day,
            weekday: (days + 4).rem_euclid(7) as u32,
            day_of_year: before + day + u32::from(leap && month > 2),
            second_of_day: seconds.rem_euclid(86_400) as u32,
        }
    }

    /// `strftime` with the directives that templates use.
    pub(super) fn format(&self, format: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = format.chars();
        let (hour, minute) = (self.second_of_day / 3_600, self.second_of_day / 60 % 60);
        let (day_name, month_name) = (DAYS[self.weekday as usize], MONTHS[self.month as usize - 1]);
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = chars.next();
            let padded = directive != Some('-');
            if !padded {
                directive = chars.next();
            }
            let mut number = |value: u32, width: usize| {
                let width = if padded { width } else { 1 };
                let _ = write!(out, "{value:0width$}");
            };
            match directive {
                Some('d') => number(self.day, 2),
                Some('m') => number(self.month, 2),
                Some('y') => number(self.year.rem_euclid(100) as u32, 2),
                Some('H') => number(hour, 2),
                Some('I') => number((hour + 11) % 12 + 1, 2),
                Some('M') => number(minute, 2),
                Some('S') => number(self.second_of_day % 60, 2),
                Some('j') => number(self.day_of_year, 3),
                Some('u') => number((self.weekday + 6) % 7 + 1, 1),
                Some('w') => number(self.weekday, 1),
                Some('e') => {
                    let _ = write!(out, "{:2}", self.day);
                }
                Some('Y') => {
                    let _ = write!(out, "{}", self.year);
                }
                Some('F') => {
                    let _ = write!(out, "{}-{:02}-{:02}", self.year, self.month, self.day);
                }
                Some('T') => {
                    let second = self.second_of_day % 60;
                    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}");
                }
                Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
                Some('A') => out.push_str(day_name),
                Some('a') => out.push_str(&day_name[..3]),
                Some('B') => out.push_str(month_name),
                Some('b' | 'h') => out.push_str(&month_name[..3]),
                Some('Z') => out.push_str("UTC"),
                Some('z') => out.push_str("+0000"),
                Some('%') => out.push('%'),
                other => {
                    return Err(format!(
                        "strftime_now does not know %{}",
                        other.unwrap_or(' ')
                    ));
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let format = "%a %A %d %b %B %Y %-d %H:%M:%S %j %y %I %p %F";
        for (seconds, text) in [
            (
                0,
                "Thu Thursday 01 Jan January 1970 1 00:00:00 001 70 12 AM 1970-01-01",
            ),
            (
                951_827_696,
                "Tue Tuesday 29 Feb February 2000 29 12:34:56 060 00 12 PM 2000-02-29",
            ),
            (
                1_735_689_599,
                "Tue Tuesday 31 Dec December 2024 31 23:59:59 366 24 11 PM 2024-12-31",
            ),
            (
                -1,
                "Wed Wednesday 31 Dec December 1969 31 23:59:59 365 69 11 PM 1969-12-31",
            ),
        ] {
            let civil = Civil::from_unix_seconds(seconds);
            assert_eq!(civil.format(format).unwrap(), text);
        }
        assert!(Civil::from_unix_seconds(0).format("%Q").is_err());
    }
}
