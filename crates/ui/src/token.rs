//! What one must know to look at a page that is not at a loopback address: a random word, printed when the page starts.
//!
//! It comes once, in the address that is opened; then a cookie has it, which no script can read and which no other site's
//! page can have sent. Scripts say `Authorization: Bearer TOKEN`.

use std::io;

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rustix::rand::{GetRandomFlags, getrandom};

/// The word, and the name of its cookie: cookies do not know ports, so the name says which page's it is.
#[derive(Clone, Debug)]
pub struct Token {
    secret: String,
    cookie: String,
}

/// How a request stands to the token.
pub enum Shown {
    /// It has it.
    Known,
    /// It has it in its address: it is given a cookie, and sent to the address without it.
    InAddress(Response),
    /// It has not.
    Missing,
}

impl Token {
    /// A new one, for a page at this port.
    pub fn new(port: u16) -> io::Result<Self> {
        let mut random = [0; 16];
        // So few bytes come at once.
        getrandom(&mut random, GetRandomFlags::empty())?;
        let secret = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { secret, cookie: format!("tandem-{port}") })
    }

    /// What is added to the address that is opened.
    pub fn query(&self) -> String {
        format!("?token={}", self.secret)
    }

    /// Looks for it in a request.
    pub fn shown(&self, uri: &Uri, headers: &HeaderMap) -> Shown {
        let texts = |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        let bearer = texts(header::AUTHORIZATION).filter_map(|value| value.strip_prefix("Bearer "));
        let cookies = texts(header::COOKIE).flat_map(|value| value.split(';')).filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        });
        if bearer.chain(cookies).any(|word| self.is(word)) {
            return Shown::Known;
        }
        let mut pairs = uri.query().unwrap_or_default().split('&');
        if !pairs.any(|pair| pair.strip_prefix("token=").is_some_and(|word| self.is(word))) {
            return Shown::Missing;
        }
        let rest: Vec<&str> =
            uri.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("token=")).collect();
        // A path that begins with two slashes would be another site's.
        let path = format!("/{}", uri.path().trim_start_matches('/'));
        let place = if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) };
        let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie, self.secret);
        match (HeaderValue::from_str(&place), HeaderValue::from_str(&cookie)) {
            (Ok(place), Ok(cookie)) => Shown::InAddress(
                (StatusCode::SEE_OTHER, [(header::LOCATION, place), (header::SET_COOKIE, cookie)]).into_response(),
            ),
            _ => Shown::Missing,
        }
    }

    /// Takes as long wherever the words differ.
    fn is(&self, word: &str) -> bool {
        let (ours, theirs) = (self.secret.as_bytes(), word.as_bytes());
        ours.len() == theirs.len() && ours.iter().zip(theirs).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}
