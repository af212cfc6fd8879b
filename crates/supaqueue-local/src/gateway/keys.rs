//! The API keys of a project, legacy and new, and the authentication of requests.

use axum::http::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The API keys of a stack. Each stack generates its own.
#[derive(Debug, Clone)]
pub struct Keys {
    jwt_secret: String,
    anon: String,
    service_role: String,
    publishable: String,
    secret: String,
}

impl Keys {
    /// Generates random keys.
    pub(crate) fn generate() -> Self {
        let jwt_secret = crate::random_hex(32);
        let key = |role: &str| {
            let now = Timestamp::now().as_second();
            let ten_years = 10 * 365 * 24 * 60 * 60;
            sign(
                &json!({"iss": "supabase", "ref": "local", "role": role, "iat": now, "exp": now + ten_years}),
                &jwt_secret,
            )
        };
        Self {
            anon: key("anon"),
            service_role: key("service_role"),
            publishable: format!("sb_publishable_{}", crate::random_hex(16)),
            secret: format!("sb_secret_{}", crate::random_hex(16)),
            jwt_secret,
        }
    }

    /// The legacy key of role `anon`, a JWT.
    #[must_use]
    pub fn anon(&self) -> &str {
        &self.anon
    }

    /// The legacy key of role `service_role`, a JWT.
    #[must_use]
    pub fn service_role(&self) -> &str {
        &self.service_role
    }

    /// The new key of role `anon`: `sb_publishable_…`.
    #[must_use]
    pub fn publishable(&self) -> &str {
        &self.publishable
    }

    /// The new key of role `service_role`: `sb_secret_…`.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The key that signs JWTs (HS256).
    #[must_use]
    pub fn jwt_secret(&self) -> &str {
        &self.jwt_secret
    }

    /// Signs a JWT with these claims, as the project's auth server would.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        sign(claims, &self.jwt_secret)
    }

    /// Authenticates an API request and returns its claims.
    ///
    /// As on the platform, the gateway requires a key in `apikey`, and a JWT in `authorization`
    /// identifies the user. New keys are not JWTs, so they are refused as bearer tokens unless they
    /// equal `apikey`, which is how supabase-js sends them.
    pub(crate) fn claims_of(&self, headers: &HeaderMap) -> Result<Value, Refusal> {
        let Some(key) = text(headers, "apikey") else {
            return Err(Refusal::NO_KEY);
        };
        let of_key = self.claims_of_key(key).ok_or(Refusal::BAD_KEY)?;
        match bearer(headers) {
            Some(token) if token != key => self.verify(token),
            _ => Ok(of_key),
        }
    }

    /// Authenticates a request to a function that verifies JWTs.
    pub(crate) fn check_jwt(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = bearer(headers).ok_or(Refusal::NO_AUTHORIZATION)?;
        self.verify(token).map(|_| ())
    }

    fn claims_of_key(&self, key: &str) -> Option<Value> {
        if equal(key, &self.secret) {
            return Some(json!({"role": "service_role"}));
        }
        if equal(key, &self.publishable) {
            return Some(json!({"role": "anon"}));
        }
        // A user's JWT is no key, although it is signed with the same secret.
        let is_key = equal(key, &self.anon) || equal(key, &self.service_role);
        self.verify(key).ok().filter(|_| is_key)
    }

    fn verify(&self, token: &str) -> Result<Value, Refusal> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::BAD_JWT)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::BAD_JWT)?;
        let decode = |part| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
        let json =
            |part| decode(part).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let header = json(header).ok_or(Refusal::BAD_JWT)?;
        let signature = decode(signature).ok_or(Refusal::BAD_JWT)?;
        if header["alg"] != "HS256"
            || mac(signed, &self.jwt_secret)
                .verify_slice(&signature)
                .is_err()
        {
            return Err(Refusal::BAD_JWT);
        }
        let claims = json(claims).ok_or(Refusal::BAD_JWT)?;
        match claims["exp"].as_i64() {
            Some(expiry) if expiry <= Timestamp::now().as_second() => Err(Refusal::EXPIRED),
            _ => Ok(claims),
        }
    }
}

/// Why a request gets a 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

impl Refusal {
    const NO_KEY: Self = Self {
        code: "401",
        message: "No API key found in request",
    };
    const BAD_KEY: Self = Self {
        code: "401",
        message: "Invalid API key",
    };
    const NO_AUTHORIZATION: Self = Self {
        code: "401",
        message: "Missing authorization header",
    };
    const BAD_JWT: Self = Self {
        code: "PGRST301",
        message: "Invalid JWT",
    };
    const EXPIRED: Self = Self {
        code: "PGRST303",
        message: "JWT expired",
    };
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, "authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn sign(claims: &Value, secret: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(&json!({"alg": "HS256", "typ": "JWT"})),
        part(claims)
    );
    let signature = mac(&signed, secret).finalize().into_bytes();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn mac(signed: &str, secret: &str) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC accepts keys of any length")]
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC accepts keys of any length");
    mac.update(signed.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    /// The role of a request, or the message of the refusal.
    fn role(keys: &Keys, pairs: &[(&'static str, &str)]) -> String {
        match keys.claims_of(&headers(pairs)) {
            Ok(claims) => claims["role"].as_str().unwrap_or_default().to_owned(),
            Err(refusal) => refusal.message.to_owned(),
        }
    }

    #[test]
    fn each_key_authenticates_as_its_role() {
        let keys = Keys::generate();
        let check = |key: &str, want| assert_eq!(role(&keys, &[("apikey", key)]), want, "{key}");
        check(keys.anon(), "anon");
        check(keys.service_role(), "service_role");
        check(keys.publishable(), "anon");
        check(keys.secret(), "service_role");
        check(Keys::generate().secret(), "Invalid API key");
        check(Keys::generate().service_role(), "Invalid API key");
        check("", "Invalid API key");
    }

    #[test]
    fn a_jwt_in_authorization_identifies_the_user() {
        let keys = Keys::generate();
        let user = format!(
            "Bearer {}",
            keys.sign(&json!({"role": "authenticated", "sub": "1"}))
        );
        assert_eq!(
            role(&keys, &[("apikey", keys.anon()), ("authorization", &user)]),
            "authenticated"
        );
        assert_eq!(
            role(&keys, &[("authorization", &user)]),
            "No API key found in request"
        );
    }

    #[test]
    fn new_keys_are_refused_as_bearer_tokens() {
        let keys = Keys::generate();
        let secret = format!("Bearer {}", keys.secret());
        assert_eq!(
            role(
                &keys,
                &[("apikey", keys.anon()), ("authorization", &secret)]
            ),
            "Invalid JWT"
        );
        assert_eq!(
            keys.check_jwt(&headers(&[("authorization", &secret)])),
            Err(Refusal::BAD_JWT)
        );
    }

    #[test]
    fn an_expired_unsigned_or_modified_jwt_is_refused() {
        let keys = Keys::generate();
        let check = |token: &str, want| {
            let bearer = format!("Bearer {token}");
            assert_eq!(
                keys.check_jwt(&headers(&[("authorization", &bearer)])),
                want,
                "{token}"
            );
        };
        check(keys.anon(), Ok(()));
        check(
            &keys.sign(&json!({"role": "anon", "exp": 1})),
            Err(Refusal::EXPIRED),
        );
        let unsigned = format!(
            "{}.{}.",
            BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
            BASE64_URL_SAFE_NO_PAD.encode(r#"{"role":"service_role"}"#)
        );
        check(&unsigned, Err(Refusal::BAD_JWT));
        let mut parts: Vec<&str> = keys.anon().split('.').collect();
        parts[1] = keys.service_role().split('.').nth(1).unwrap();
        check(&parts.join("."), Err(Refusal::BAD_JWT));
        check("", Err(Refusal::BAD_JWT));
    }

    #[test]
    fn signatures_match_those_of_openssl() {
        // Computed with `openssl dgst -sha256 -hmac secret`.
        assert_eq!(
            sign(&json!({"role": "anon"}), "secret"),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiJ9.DKYv_tlj-Zl2f11sOqhgGcicZm8lmFZzMeoXDzDVbAk"
        );
    }
}
