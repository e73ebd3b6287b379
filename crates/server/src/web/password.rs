//! Passwords: which are good enough, and their digests (argon2id with the crate's defaults, which are
//! OWASP's: 19 MiB, two passes).

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use super::Web;
use crate::error::{ApiError, ApiResult};

const CHARS_MIN: usize = 10;
const CHARS_MAX: usize = 256;

/// Passwords that are tried first, and beginnings of long ones made from them.
const COMMON: [&str; 24] = [
    "password",
    "passw0rd",
    "qwerty",
    "qwertz",
    "azerty",
    "letmein",
    "welcome",
    "iloveyou",
    "football",
    "baseball",
    "superman",
    "sunshine",
    "princess",
    "admin",
    "administrator",
    "1q2w3e4r",
    "1qaz2wsx",
    "asdfgh",
    "zxcvbn",
    "abc123",
    "changeme",
    "secret",
    "terang",
    "indonesia",
];

/// Refuses what is guessed at once: short ones, common ones with a number behind, repeated or
/// counted characters, and the person's own name or address.
pub(super) fn check(password: &str, field: &str, name: &str, email: &str) -> ApiResult<()> {
    let chars = password.chars().count();
    if !(CHARS_MIN..=CHARS_MAX).contains(&chars) {
        return Err(ApiError::invalid(
            field,
            format!("allowed are {CHARS_MIN} to {CHARS_MAX} characters"),
        ));
    }
    let weak = |why: &str| Err(ApiError::invalid(field, why));
    let small = password.to_lowercase();
    let core = small.trim_matches(|c: char| !c.is_alphabetic());
    if COMMON.contains(&core) || COMMON.contains(&small.as_str()) {
        return weak("this is among the passwords that are tried first; take another");
    }
    let mut distinct: Vec<char> = small.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let steps: Vec<i64> = small
        .chars()
        .zip(small.chars().skip(1))
        .map(|(one, next)| i64::from(u32::from(next)) - i64::from(u32::from(one)))
        .collect();
    // A step of nine is from 9 to 0 or back.
    if distinct.len() < 5 || steps.iter().all(|step| matches!(step.abs(), 1 | 9)) {
        return weak("its characters repeat or count; take another");
    }
    let local = email.split('@').next().unwrap_or_default();
    for own in [email, local, name] {
        let own = own.trim().to_lowercase();
        if own.chars().count() >= 4 && (core == own || small == own) {
            return weak("it is your own name or address; take another");
        }
    }
    Ok(())
}

/// The digest of a password.
pub(super) async fn hash(web: &Web, password: String) -> ApiResult<String> {
    run(web, move || {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| ())?;
        let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).map_err(|_| ())
    })
    .await?
    .map_err(|()| ApiError::internal("the password could not be kept"))
}

/// Whether a password is the one of a digest. Without a digest it takes as long and is not, so that
/// the time does not tell which accounts there are.
pub(super) async fn verify(web: &Web, password: String, digest: Option<String>) -> ApiResult<bool> {
    // Of no password: the salt and the sum are zeros.
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                          $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    run(web, move || {
        let known = digest.is_some();
        let digest = digest.unwrap_or_else(|| NOBODY.to_owned());
        let Ok(digest) = PasswordHash::new(&digest) else {
            return false;
        };
        let right = Argon2::default().verify_password(password.as_bytes(), &digest);
        right.is_ok() && known
    })
    .await
}

/// Runs the slow part on a thread that may block, few at a time.
async fn run<T: Send + 'static>(
    web: &Web,
    work: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    let failed = |()| ApiError::internal("the password could not be checked");
    let _place = web.hashing.acquire().await.map_err(|_| failed(()))?;
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| failed(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_at_once_is_refused() {
        let check =
            |password: &str| check(password, "password", "Annabelle", "ann.lee@example.org");
        for bad in [
            "",
            "short",
            "password123",
            "Passw0rd!!!",
            "aaaaaaaaaaaa",
            "abcdefghijkl",
            "1234567890",
            "9876543210",
            "ann.lee@example.org",
            "Annabelle1",
            "qwerty12345",
            "ababababab",
            &"x".repeat(300),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for good in [
            "correct horse battery",
            "kopi susu gula aren",
            "Tr0ub4dor&3x",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_digest_holds_for_its_password() {
        let digest = Argon2::default().hash_password_with_salt(b"kopi susu", &[7; 16]);
        let digest = digest.unwrap().to_string();
        assert!(
            digest.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{digest}"
        );
        let digest = PasswordHash::new(&digest).unwrap();
        let argon = Argon2::default();
        assert!(argon.verify_password(b"kopi susu", &digest).is_ok());
        assert!(argon.verify_password(b"kopi susu ", &digest).is_err());
    }
}
