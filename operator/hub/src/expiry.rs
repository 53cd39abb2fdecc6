//! When a token says that it expires. Read without verifying, and only to shorten what is remembered: whoever
//! lies here gains nothing.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use peerwalk_model::Timestamp;

/// The `exp` claim of a JWT (RFC 7519, section 4.1.4); `None` when there is none that can be read.
pub(crate) fn expiry(token: &str) -> Option<Timestamp> {
    let mut parts = token.split('.');
    let payload = parts.nth(1)?;
    let (Some(_signature), None) = (parts.next(), parts.next()) else { return None };
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let seconds = claims.get("exp")?.as_i64()?;
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// A token with these claims, JSON.
#[cfg(test)]
pub(crate) fn jwt(claims: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_is_read_where_there_is_one() {
        let at = |seconds: i64| Some(Timestamp::from_millis(seconds * 1000));
        for (claims, expected) in [
            (r#"{"aud":["peerwalk.dev"],"exp":1700000000,"iat":1699996400}"#, at(1_700_000_000)),
            (r#"{"exp":0}"#, at(0)),
            (r#"{"exp":9223372036854775807}"#, Some(Timestamp::from_millis(i64::MAX))),
            (r#"{"aud":["peerwalk.dev"]}"#, None),
            (r#"{"exp":"1700000000"}"#, None),
            (r#"["exp"]"#, None),
            ("{", None),
        ] {
            assert_eq!(expiry(&jwt(claims)), expected, "{claims}");
        }
    }

    #[test]
    fn what_is_no_jwt_says_nothing() {
        let good = jwt(r#"{"exp":1}"#);
        for token in ["", "token", "a.b.c", &format!("{good}.more"), &good.replace('.', ""), "..", "é.é.é"]
        {
            assert_eq!(expiry(token), None, "{token}");
        }
    }
}
