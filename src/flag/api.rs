//! Flags behind an admin API. Its token goes into the header of a request and nowhere else.

use serde_json::Value as Json;

use super::fill::fill;
use super::{FlagError, Value};
use crate::check::{HttpReply, HttpRequest, ask, shown};
use crate::config::{FlagApi, Method};
use crate::model::{FlagName, Redactor};

/// The largest answer that is read.
const MOST_BYTES: u64 = 1024 * 1024;

/// What the API says that a flag is set to; absent where its answer has nothing at the pointer.
///
/// # Errors
/// The token, the connection, a status other than 2xx, an answer that is not JSON or not a single value.
pub(super) fn value(api: &FlagApi, name: &FlagName) -> Result<Value, FlagError> {
    let call = ApiCall::new(api, "GET", &api.read, name)?;
    let reply = call.send(None, &Redactor::default())?;
    let json: Json =
        serde_json::from_slice(&reply.body).map_err(|_| call.failed("its answer is not JSON"))?;
    let pointer = fill(&api.pointer, &name.as_str().replace('~', "~0").replace('/', "~1"), "");
    match json.pointer(&pointer) {
        None => Ok(Value::Absent),
        Some(Json::Array(_) | Json::Object(_)) => {
            Err(call.failed(&format!("{pointer} in its answer is not a single value")))
        }
        Some(value) => Ok(Value::Known(value.clone())),
    }
}

/// Sends a change. What the API made of it is to be asked.
///
/// # Errors
/// The token, the connection, a status other than 2xx.
pub(super) fn set(api: &FlagApi, name: &FlagName, value: &Value) -> Result<(), FlagError> {
    let Value::Known(json) = value else {
        return Err(FlagError::flag(name, "this API cannot remove a flag"));
    };
    let method = match api.method {
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
    };
    let inside = Json::from(name.as_str()).to_string();
    let body = fill(&api.body, inside.trim_matches('"'), &json.to_string());
    let redactor = Redactor::new([(name.as_str(), value.plain().unwrap_or_default())]);
    ApiCall::new(api, method, &api.url, name)?.send(Some(body), &redactor).map(drop)
}

/// One request, ready but for its body.
struct ApiCall<'a> {
    api: &'a FlagApi,
    method: &'static str,
    url: String,
    token: Option<String>,
}

impl<'a> ApiCall<'a> {
    fn new(
        api: &'a FlagApi,
        method: &'static str,
        url: &str,
        name: &FlagName,
    ) -> Result<Self, FlagError> {
        let token =
            api.token.as_ref().map(|token| token.read().map_err(FlagError::Token)).transpose()?;
        Ok(Self { api, method, url: fill(url, &percent_encoded(name.as_str()), ""), token })
    }

    fn send(&self, body: Option<String>, redactor: &Redactor) -> Result<HttpReply, FlagError> {
        let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
        if body.is_some() {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        headers.retain(|(usual, _)| {
            !self.api.headers.keys().any(|name| name.eq_ignore_ascii_case(usual))
        });
        headers.extend(self.api.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let request = HttpRequest {
            method: self.method,
            url: &self.url,
            headers,
            bearer: self.token.as_deref(),
            body,
            limit: self.api.request_timeout,
            max_bytes: MOST_BYTES,
        };
        let redactor = redactor
            .clone()
            .and(Redactor::new(self.token.iter().map(|token| ("TOKEN", token.as_str()))));
        let reply = ask(&request).map_err(|problem| self.failed(&redactor.text(&problem)))?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let mut problem = format!("answered {}", reply.status);
        if (300..400).contains(&reply.status) {
            problem.push_str(", which is not followed");
        }
        let said = redactor.output(&reply.body);
        if !said.trim().is_empty() {
            problem = format!("{problem}: {}", shown(said.trim()));
        }
        // Who says this is done with it, for better or worse: what became of it shows now. Only of these nobody
        // knows: something behind who answered may have taken it, and be at it still.
        let unknown = [408, 499, 502, 503, 504].contains(&reply.status);
        Err(match self.failed(&problem) {
            FlagError::Api { question, problem, .. } => {
                FlagError::Api { question, problem, settled: !unknown }
            }
            other => other,
        })
    }

    fn failed(&self, problem: &str) -> FlagError {
        let question = format!("{} {}", self.method, Redactor::default().text(&self.url));
        FlagError::Api { question, problem: problem.to_owned(), settled: false }
    }
}

/// A name as a part of a URL's path or query: everything but letters, digits and `-._~` encoded.
fn percent_encoded(name: &str) -> String {
    let byte = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    name.bytes().map(byte).collect()
}
