//! Personal data in a text, replaced by what they are: `<email>`, `<phone>`, `<card>`, `<identity>`, `<iban>`,
//! `<handle>`. One pass that stops at the few bytes that any of them begins with or turns on. Numbers are taken
//! for what their check digits or their form proves, so that a year, a price or a measurement stays.

use crate::config::Scrub;
use std::ops::Range;

/// Kinds of personal data, in the order of [`Found`].
pub(crate) const KINDS: [&str; 6] = ["email", "phone", "card", "identity", "iban", "handle"];
const EMAIL: usize = 0;
const PHONE: usize = 1;
const CARD: usize = 2;
const IDENTITY: usize = 3;
const IBAN: usize = 4;
const HANDLE: usize = 5;

/// How many of each kind were replaced.
pub(crate) type Found = [u64; 6];

/// `text` without personal data; `None` where there were none.
pub(crate) fn scrub(text: &str, wanted: Scrub, found: &mut Found) -> Option<String> {
    let on = [
        wanted.email,
        wanted.phone,
        wanted.card,
        wanted.identity,
        wanted.iban,
        wanted.handle,
    ];
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        let hit = match bytes[at] {
            b'@' => address(bytes, at, copied),
            b'0'..=b'9' | b'+' | b'(' => number(bytes, at),
            b'A'..=b'Z' => iban(bytes, at),
            _ => None,
        };
        let Some((kind, range)) = hit.filter(|(kind, _)| on[*kind]) else {
            // The rest of a number is no number of its own.
            at += match bytes[at] {
                b'0'..=b'9' => bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count(),
                _ => 1,
            };
            continue;
        };
        let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
        out.push_str(&text[copied..range.start]);
        out.push('<');
        out.push_str(KINDS[kind]);
        out.push('>');
        found[kind] += 1;
        copied = range.end;
        at = range.end;
    }
    let mut out = out?;
    out.push_str(&text[copied..]);
    Some(out)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// The byte before `at`, a blank at the beginning.
fn before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(b' ', |i| bytes[i])
}

/// An address of mail around `@`, or a name of an account after it.
fn address(bytes: &[u8], at: usize, from: usize) -> Option<(usize, Range<usize>)> {
    const LOCAL_MAX: usize = 64;
    const HOST_MAX: usize = 253;
    let is_local = |b: &&u8| b.is_ascii_alphanumeric() || b"._%+-".contains(b);
    let local = bytes[from..at]
        .iter()
        .rev()
        .take(LOCAL_MAX)
        .take_while(is_local)
        .count();
    let is_host = |b: &&u8| b.is_ascii_alphanumeric() || b".-".contains(b);
    let mut host = bytes[at + 1..]
        .iter()
        .take(HOST_MAX)
        .take_while(is_host)
        .count();
    while host > 0 && !bytes[at + host].is_ascii_alphanumeric() {
        host -= 1;
    }
    let name = &bytes[at + 1..at + 1 + host];
    let ending = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
    let is_domain = name.contains(&b'.') && ending.len() >= 2 && ending[0].is_ascii_alphabetic();
    if local > 0 && is_domain {
        return Some((EMAIL, at - local..at + 1 + host));
    }
    // `@name`, and Mastodon's `@name@host`.
    if local > 0 || is_word(before(bytes, at)) || before(bytes, at) == b'/' {
        return None;
    }
    let is_name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
    let name = bytes[at + 1..].iter().take(30).take_while(is_name).count();
    if name < 2
        || !bytes[at + 1..at + 1 + name]
            .iter()
            .any(u8::is_ascii_alphabetic)
    {
        return None;
    }
    let mut end = at + 1 + name;
    if bytes.get(end) == Some(&b'@') {
        let host = bytes[end + 1..]
            .iter()
            .take(HOST_MAX)
            .take_while(is_host)
            .count();
        if bytes[end + 1..end + 1 + host].contains(&b'.') {
            end += 1 + host;
            while !bytes[end - 1].is_ascii_alphanumeric() {
                end -= 1;
            }
        }
    }
    Some((HANDLE, at..end))
}

/// Digits with what may stand between those of one number.
struct Digits {
    /// The digits, as numbers.
    values: [u8; 24],
    count: usize,
    end: usize,
    /// Lengths of the groups that blanks and dashes make.
    groups: [usize; 8],
    group_count: usize,
    /// A dash stands between groups.
    dashes: bool,
}

/// The number at `at`: of a telephone, a card or an identity document.
fn number(bytes: &[u8], at: usize) -> Option<(usize, Range<usize>)> {
    let prior = before(bytes, at);
    if is_word(prior) || matches!(prior, b'.' | b',' | b'-' | b'/' | b'_' | b'=' | b'#' | b'$') {
        return None;
    }
    let first = bytes[at];
    let begin = match first {
        b'+' | b'(' => at + 1,
        _ => at,
    };
    let number = digits(bytes, begin, first == b'(');
    let next = bytes.get(number.end).copied().unwrap_or(b' ');
    let after = bytes.get(number.end + 1).copied().unwrap_or(b' ');
    // A decimal point, a path or a word that goes on: no number of a person.
    if is_word(next) || (matches!(next, b'.' | b',' | b'-' | b'/') && after.is_ascii_digit()) {
        return None;
    }
    let digits = &number.values[..number.count];
    let groups = &number.groups[..number.group_count];
    let range = at..number.end;
    if first == b'+' {
        let is_phone = (8..=15).contains(&digits.len()) && digits[0] != 0;
        return is_phone.then_some((PHONE, range));
    }
    if first == b'(' {
        let is_phone = (9..=12).contains(&digits.len()) && groups.len() >= 2;
        return is_phone.then_some((PHONE, range));
    }
    if digits.len() == 9 && groups == [3, 2, 4] && number.dashes && is_ssn(digits) {
        return Some((IDENTITY, range));
    }
    // A number may be both; the largest networks of cards have 4 and 5 first, where hardly any province is.
    let is_likely_card = matches!(digits.first(), Some(4 | 5)) && luhn(digits);
    if digits.len() == 16 && groups.len() == 1 && is_nik(digits) && !is_likely_card {
        return Some((IDENTITY, range));
    }
    let even_groups = groups.len() == 1 || groups.iter().all(|n| (4..=6).contains(n) || *n == 3);
    if (13..=19).contains(&digits.len()) && even_groups && luhn(digits) && digits[0] != 0 {
        return Some((CARD, range));
    }
    // National numbers: 08… in Indonesia and its like, 555-123-4567 in America.
    let is_national = digits[..].starts_with(&[0]) && digits.get(1).is_some_and(|d| *d != 0);
    let is_mobile = is_national && (10..=13).contains(&digits.len());
    let is_american = digits.len() == 10 && groups == [3, 3, 4] && digits[0] >= 2;
    (is_mobile || is_american).then_some((PHONE, range))
}

fn digits(bytes: &[u8], begin: usize, in_brackets: bool) -> Digits {
    let mut number = Digits {
        values: [0; 24],
        count: 0,
        end: begin,
        groups: [0; 8],
        group_count: 0,
        dashes: false,
    };
    let (mut at, mut is_open) = (begin, in_brackets);
    loop {
        let group = bytes[at..]
            .iter()
            .take(25)
            .take_while(|b| b.is_ascii_digit())
            .count();
        if group == 0 || number.count + group > number.values.len() {
            return number;
        }
        if number.group_count == number.groups.len() {
            return number;
        }
        for byte in &bytes[at..at + group] {
            number.values[number.count] = byte - b'0';
            number.count += 1;
        }
        number.groups[number.group_count] = group;
        number.group_count += 1;
        at += group;
        number.end = at;
        if is_open && bytes.get(at) == Some(&b')') {
            is_open = false;
            at += 1;
            if bytes.get(at) == Some(&b' ') {
                at += 1;
            }
            continue;
        }
        match bytes.get(at) {
            Some(b'-') => number.dashes = true,
            Some(b' ' | b'.') => {}
            _ => return number,
        }
        if !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            return number;
        }
        at += 1;
    }
}

/// Luhn's check digit, and not one digit over and over.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &digit)| match (i % 2, u32::from(digit) * 2) {
            (0, _) => u32::from(digit),
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}

/// Indonesia's NIK: province, regency, district, then day (40 more for women), month and year of birth.
fn is_nik(digits: &[u8]) -> bool {
    let two = |at: usize| digits[at] * 10 + digits[at + 1];
    let (province, day, month) = (two(0), two(6), two(8));
    (11..=97).contains(&province)
        && ((1..=31).contains(&day) || (41..=71).contains(&day))
        && (1..=12).contains(&month)
        && two(2) > 0
        && two(4) > 0
}

/// A social security number of the United States that can have been given.
fn is_ssn(digits: &[u8]) -> bool {
    let area = u32::from(digits[0]) * 100 + u32::from(digits[1]) * 10 + u32::from(digits[2]);
    area != 0 && area != 666 && area < 900 && digits[3..5] != [0, 0] && digits[5..] != [0, 0, 0, 0]
}

/// An IBAN with its check digits, written together or in groups of four.
fn iban(bytes: &[u8], at: usize) -> Option<(usize, Range<usize>)> {
    let head = bytes.get(at..at + 4)?;
    let fits = head[1].is_ascii_uppercase() && head[2].is_ascii_digit() && head[3].is_ascii_digit();
    if !fits || is_word(before(bytes, at)) {
        return None;
    }
    let mut signs = [0u8; 34];
    let (mut count, mut end, mut place) = (0, at, at);
    while count < signs.len() && place < bytes.len() {
        let byte = bytes[place];
        if byte.is_ascii_uppercase() || byte.is_ascii_digit() {
            signs[count] = byte;
            count += 1;
            place += 1;
            end = place;
        } else if byte == b' ' && count.is_multiple_of(4) {
            place += 1;
        } else {
            break;
        }
    }
    // Words in capitals may follow: the longest beginning that fits is it.
    while count >= 15 {
        let is_end = !bytes.get(end).copied().is_some_and(is_word);
        if is_end && mod_97(&signs[..count]) == 1 {
            return Some((IBAN, at..end));
        }
        count -= 1;
        end -= 1;
        while bytes[end - 1] == b' ' {
            end -= 1;
        }
    }
    None
}

fn mod_97(signs: &[u8]) -> u32 {
    let (head, tail) = signs.split_at(4);
    tail.iter().chain(head).fold(0, |rest, &sign| {
        if sign.is_ascii_digit() {
            (rest * 10 + u32::from(sign - b'0')) % 97
        } else {
            (rest * 100 + u32::from(sign - b'A') + 10) % 97
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(text: &str) -> String {
        let mut found = Found::default();
        scrub(text, Scrub::default(), &mut found).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn personal_data_are_replaced() {
        for (text, expected) in [
            (
                "write to ani.budi+x@mail.example.co.id.",
                "write to <email>.",
            ),
            ("a@b.co, c@d.org", "<email>, <email>"),
            (
                "ask @ani_budi or @ani@social.example.org!",
                "ask <handle> or <handle>!",
            ),
            ("call +62 812-3456-7890 now", "call <phone> now"),
            ("hubungi 081234567890", "hubungi <phone>"),
            ("0812-3456-7890", "<phone>"),
            ("(555) 123-4567", "<phone>"),
            ("555-123-4567", "<phone>"),
            ("card 4111 1111 1111 1111 ok", "card <card> ok"),
            ("card 4111111111111111.", "card <card>."),
            ("NIK 3174054708900001", "NIK <identity>"),
            ("ssn 123-45-6789", "ssn <identity>"),
            ("pay DE89 3704 0044 0532 0130 00 today", "pay <iban> today"),
            ("GB82WEST12345698765432", "<iban>"),
            ("é@ani é", "é@ani é"),
        ] {
            assert_eq!(scrubbed(text), expected, "{text}");
        }
    }

    #[test]
    fn other_numbers_stay() {
        for text in [
            "in 1945 and 2026",
            "3.14159265358979",
            "1,000,000,000",
            "4111 1111 1111 1112",
            "2026-11-30 05:47",
            "10.0.0.1",
            "x = 0812345",
            "a1234567890b",
            "user@localhost",
            "3174059908900001",
            "000-12-3456",
            "DE00370400440532013000",
            "v1.2.3-4",
            "0000000000000000",
            "pages 100-200",
            "@ 5",
            "3 + 4 = 7",
            "(1) first",
            "12345678901234567890123456789",
            "f(081)",
            "https://example.org/@name",
            "0.5",
            "1 2 3 4 5 6 7 8 9 10 11",
        ] {
            assert_eq!(scrubbed(text), text);
        }
    }

    #[test]
    fn each_kind_can_be_left() {
        let off = Scrub {
            email: false,
            ..Scrub::default()
        };
        let mut found = Found::default();
        let text = scrub("a@b.co 0812-3456-7890", off, &mut found).unwrap();
        assert_eq!(
            (text.as_str(), found),
            ("a@b.co <phone>", [0, 1, 0, 0, 0, 0])
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_fatal(text in "[\\PC@+(0-9A-Z. -]{0,60}") {
            let once = scrubbed(&text);
            proptest::prop_assert_eq!(once == text, scrub(&text, Scrub::default(), &mut Found::default()).is_none());
        }
    }
}
