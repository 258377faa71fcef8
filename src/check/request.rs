//! One request to an API, for whoever wants its answer and no judgement: capped in time and size, over a
//! connection of its own, never sent elsewhere.

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderName, HeaderValue};

use super::format::{seconds, size};
use super::http::{client, in_words, parse};
use super::prove::runtime;

/// What is asked.
pub struct HttpRequest<'a> {
    /// `GET`
    pub method: &'a str,
    /// `http` or `https`.
    pub url: &'a str,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The secret of `Authorization: Bearer …`.
    pub bearer: Option<&'a str>,
    /// What is sent.
    pub body: Option<String>,
    /// From connecting to the last byte of the answer.
    pub limit: Duration,
    /// A longer answer is an error.
    pub max_bytes: u64,
}

/// Shows where it goes: its headers and its body may hold secrets.
impl fmt::Debug for HttpRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({} {})", self.method, self.url)
    }
}

/// What was answered, whatever its status: a redirect is an answer.
#[derive(Clone)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// All of it.
    pub body: Vec<u8>,
}

/// Asks once, past any proxy, and follows nothing.
///
/// # Errors
/// In words: no listener, no answer within the limit, an answer that is too large.
pub fn ask(request: &HttpRequest<'_>) -> Result<HttpReply, String> {
    let runtime = runtime().map_err(|error| format!("cannot ask: {error}"))?;
    let answer = runtime.block_on(async {
        let answered = tokio::time::timeout(request.limit, answer(request)).await;
        answered.unwrap_or_else(|_| Err(format!("no answer within {}", seconds(request.limit))))
    });
    // A name that is still being looked up must not keep us.
    runtime.shutdown_background();
    answer
}

async fn answer(request: &HttpRequest<'_>) -> Result<HttpReply, String> {
    let url = parse(request.url)?;
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|e| e.to_string())?;
    let client = client(url.scheme() == "https")?;
    let mut asked = client.request(method, url.clone()).headers(headers(request)?);
    if let Some(body) = &request.body {
        asked = asked.body(body.clone());
    }
    let mut response = asked.send().await.map_err(|error| in_words(&error, &url))?;
    let too_large = || format!("answer larger than {}", size(request.max_bytes));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| in_words(&error, &url))? {
        if body.len() as u64 + chunk.len() as u64 > request.max_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpReply { status: response.status().as_u16(), body })
}

fn headers(request: &HttpRequest<'_>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &request.headers {
        let read = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        let (Ok(name), Ok(value)) = read else { return Err(format!("{name:?} is no header")) };
        headers.insert(name, value);
    }
    if let Some(bearer) = request.bearer {
        let value = HeaderValue::from_str(&format!("Bearer {bearer}"));
        let mut value = value.map_err(|_| "the token fits into no header".to_owned())?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}
