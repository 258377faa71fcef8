//! One question over HTTP: capped in time and size, over a connection of its own, never sent elsewhere.

use std::io;
use std::net::IpAddr;

use reqwest::header::{CONNECTION, LOCATION};
use reqwest::{Client, Response, Url};

use crate::config::HttpCheck;

use super::format::{seconds, shown, size};
use super::judgement::{HttpAnswer, Judgement, judge};
use super::template::Subject;

/// A check made ready to ask its question many times.
#[derive(Debug, Clone)]
pub(super) struct HttpAsker {
    check: HttpCheck,
    /// Or why it can never be asked.
    ready: Result<(Client, Url), String>,
}

impl HttpAsker {
    pub(super) fn new(check: &HttpCheck) -> Self {
        let ready = parse(&check.url).and_then(|url| Ok((client(url.scheme() == "https")?, url)));
        Self { check: check.clone(), ready }
    }

    /// Asks once. Takes at most the check's `request_timeout`.
    pub(super) async fn ask(&self, subject: &Subject) -> Judgement {
        match self.fetch().await {
            Ok(answer) => judge(&self.check, &answer, subject),
            Err(why) if self.ready.is_err() => Judgement::unaskable(why),
            Err(why) => Judgement::silent(why),
        }
    }

    /// The answer, whatever its status; else why there is none.
    pub(super) async fn fetch(&self) -> Result<HttpAnswer, String> {
        let (client, url) = self.ready.as_ref().map_err(Clone::clone)?;
        let limit = self.check.request_timeout;
        let answer = tokio::time::timeout(limit, self.answer(client, url.clone())).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {}", seconds(limit))))
    }

    async fn answer(&self, client: &Client, mut url: Url) -> Result<HttpAnswer, String> {
        let mut left = self.check.redirects;
        loop {
            // A kept connection may lead to a worker that no longer accepts new ones.
            let request = client.get(url.clone()).header(CONNECTION, "close");
            let response = request.send().await.map_err(|e| in_words(&e, &url))?;
            let status = response.status();
            if status.as_u16() == self.check.status || !status.is_redirection() {
                return self.read(response, &url).await;
            }
            let Some(location) = response.headers().get(LOCATION) else {
                return self.read(response, &url).await;
            };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let refused = || format!("redirected to {} (not followed)", shown(&location));
            let next = url.join(&location).ok().filter(|next| same_place(&url, next));
            url = next.filter(|_| left > 0).ok_or_else(refused)?;
            left -= 1;
        }
    }

    async fn read(&self, mut response: Response, url: &Url) -> Result<HttpAnswer, String> {
        let mut answer = HttpAnswer {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: Vec::new(),
        };
        if answer.status != self.check.status {
            return Ok(answer);
        }
        let most = self.check.max_bytes;
        let too_large = || format!("answer larger than {}", size(most));
        if response.content_length().is_some_and(|length| length > most) {
            return Err(too_large());
        }
        while let Some(chunk) = response.chunk().await.map_err(|e| in_words(&e, url))? {
            if answer.body.len() as u64 + chunk.len() as u64 > most {
                return Err(too_large());
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

/// The port of a URL on this very host; `None` where it leads elsewhere.
pub(super) fn loopback_port(url: &str) -> Option<u16> {
    let url = parse(url).ok()?;
    let here = is_here(url.host_str()?);
    url.port_or_known_default().filter(|_| here)
}

/// Whether a name or an address is this very host.
pub(super) fn is_here(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

pub(super) fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("cannot ask {}: {e}", shown(text)))?;
    if matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|h| !h.is_empty()) {
        Ok(url)
    } else {
        Err(format!("cannot ask {}: neither http nor https", shown(text)))
    }
}

fn same_place(from: &Url, to: &Url) -> bool {
    from.scheme() == to.scheme()
        && from.host_str() == to.host_str()
        && from.port_or_known_default() == to.port_or_known_default()
        && to.username().is_empty()
        && to.password().is_none()
}

/// A client that goes straight to the address, keeps no connection and follows nothing.
pub(super) fn client(tls: bool) -> Result<Client, String> {
    // Fails only when one is installed already, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(0)
        .user_agent("gitroll");
    // Plain http must work on a host that has no certificate store at all.
    let builder = if tls { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(|e| format!("cannot ask over https: {}", shown(&deepest(&e))))
}

pub(super) fn in_words(error: &reqwest::Error, url: &Url) -> String {
    if let Some(io) = io_error(error) {
        match io.kind() {
            io::ErrorKind::ConnectionRefused => return format!("no listener on {}", place(url)),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => return "closed without an answer".to_owned(),
            _ => {}
        }
    }
    if let Some(tls) = tls_error(error) {
        return format!("no safe connection: {}", shown(&tls.to_string()));
    }
    let deepest = deepest(error);
    if deepest.contains("closed before message completed") || deepest.contains("end of file") {
        return "closed without an answer".to_owned();
    }
    let what = if error.is_connect() { "no connection" } else { "no HTTP answer" };
    format!("{what}: {}", shown(&deepest))
}

fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    if loopback_port(url.as_str()).is_some() {
        format!(":{port}")
    } else {
        format!("{}:{port}", shown(url.host_str().unwrap_or_default()))
    }
}

fn io_error(error: &reqwest::Error) -> Option<&io::Error> {
    chain(error).filter_map(|error| error.downcast_ref()).last()
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// An error and what caused it. What an I/O error wraps is part of it: its own `source` leaves that out.
fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

fn deepest(error: &reqwest::Error) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_urls_of_this_host_have_a_socket_to_look_at() {
        let table = [
            ("http://127.0.0.1:3000/x", Some(3000)),
            ("http://127.8.8.8/", Some(80)),
            ("http://localhost:3000", Some(3000)),
            ("http://api.localhost:3000", Some(3000)),
            ("http://[::1]:3000/", Some(3000)),
            ("http://[::ffff:127.0.0.1]:3000/", Some(3000)),
            ("http://0.0.0.0:3000/", Some(3000)),
            ("https://localhost/", Some(443)),
            ("http://10.0.0.1:3000/", None),
            ("http://localhost.example.com/", None),
            ("http://shop.example.com/", None),
            ("ftp://127.0.0.1/", None),
            ("nonsense", None),
        ];
        for (url, wanted) in table {
            assert_eq!(loopback_port(url), wanted, "{url}");
        }
    }

    #[test]
    fn a_redirect_stays_only_on_the_same_scheme_host_and_port() {
        let from = Url::parse("http://127.0.0.1:3000/a").expect("a URL");
        let table = [
            ("/b", true),
            ("http://127.0.0.1:3000/b", true),
            ("http://127.0.0.1:3001/b", false),
            ("https://127.0.0.1:3000/b", false),
            ("//169.254.169.254/latest", false),
            ("http://localhost:3000/b", false),
            ("http://u:p@127.0.0.1:3000/b", false),
            ("file:///etc/passwd", false),
        ];
        for (to, wanted) in table {
            let next = from.join(to).expect("a URL");
            assert_eq!(same_place(&from, &next), wanted, "{to}");
        }
    }

    #[test]
    fn what_is_no_web_address_is_refused_in_words() {
        for url in ["ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1:3000", ""] {
            let asker = HttpAsker::new(&HttpCheck {
                url: url.to_owned(),
                status: 200,
                headers: Default::default(),
                body: None,
                json: Default::default(),
                redirects: 0,
                request_timeout: Duration::from_secs(1),
                max_bytes: 1,
            });
            assert!(asker.ready.is_err_and(|why| why.starts_with("cannot ask")), "{url}");
        }
    }
}
