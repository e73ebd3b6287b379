//! Numbers and bandwidths in the words of a request, and the errors where they are none.

use crate::error::PlanError;

pub(super) fn value(
    field: &str,
    value: &dyn std::fmt::Display,
    allowed: impl Into<String>,
) -> PlanError {
    PlanError::Value {
        field: field.to_owned(),
        value: value.to_string(),
        allowed: allowed.into(),
    }
}

/// A count such as `10000`, `10k`, `300B`, `1.5T` or `1e12`.
pub fn parse_count(field: &str, text: &str) -> Result<f64, PlanError> {
    let plain = text.trim().replace([',', '_'], "");
    let (digits, factor) = match plain.chars().last() {
        Some('k' | 'K') => (&plain[..plain.len() - 1], 1e3),
        Some('m' | 'M') => (&plain[..plain.len() - 1], 1e6),
        Some('b' | 'B' | 'g' | 'G') => (&plain[..plain.len() - 1], 1e9),
        Some('t' | 'T') => (&plain[..plain.len() - 1], 1e12),
        _ => (plain.as_str(), 1.0),
    };
    match digits.trim().parse::<f64>() {
        Ok(n) if n.is_finite() && n > 0.0 && n * factor < 1e18 => Ok(n * factor),
        Ok(_) => Err(value(field, &text, "must be over 0 and under 1e18")),
        Err(_) => Err(value(
            field,
            &text,
            "must be a number, with k, M, B or T after it if need be",
        )),
    }
}

/// A bandwidth with its unit, in Gb/s: `400Gb` are gigabits, `50GB` gigabytes a second.
pub fn parse_bandwidth(field: &str, text: &str) -> Result<f64, PlanError> {
    let plain = text
        .trim()
        .trim_end_matches("/s")
        .trim_end_matches("ps")
        .trim();
    let (digits, factor) = if let Some(d) = plain.strip_suffix("Gb").or(plain.strip_suffix("Gbit"))
    {
        (d, 1.0)
    } else if let Some(d) = plain.strip_suffix("GB") {
        (d, 8.0)
    } else if let Some(d) = plain.strip_suffix("Tb") {
        (d, 1000.0)
    } else {
        return Err(value(
            field,
            &text,
            "give it a unit: 400Gb are gigabits a second, 50GB are gigabytes a second",
        ));
    };
    let gbps = digits
        .trim()
        .parse::<f64>()
        .map_err(|_| value(field, &text, "must be a number and a unit"))?
        * factor;
    if (1.0..=60_000.0).contains(&gbps) {
        return Ok(gbps);
    }
    let hint = if factor == 8.0 && (1.0..=60_000.0).contains(&(gbps / 8.0)) {
        format!(
            "is {gbps:.0} Gb/s a node, more than any has: did you mean {}Gb?",
            digits.trim()
        )
    } else {
        "must be 1Gb to 60000Gb a node".to_owned()
    };
    Err(value(field, &text, hint))
}

pub(super) fn within(
    field: &str,
    given: Option<f64>,
    usual: f64,
    low: f64,
    high: f64,
) -> Result<f64, PlanError> {
    let v = given.unwrap_or(usual);
    if v.is_finite() && (low..=high).contains(&v) {
        Ok(v)
    } else {
        Err(value(field, &v, format!("must be {low} to {high}")))
    }
}
