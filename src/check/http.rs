//! HTTP: the one client, a check over it, a request to an API. Capped in time and size, over a connection of its own,
//! never sent elsewhere.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, Url};
use tokio::runtime::{Builder, Runtime};

use crate::config::HttpCheck;

use super::judgement::{HttpAnswer, Judgement, Unanswered, judge, seconds, shown, size};
use super::served_file::ServedFile;
use super::template::Subject;

/// How much is read of an answer with another status than the wanted one, and for how long.
const TOLD: usize = 4 * 1024;
const TELLING: Duration = Duration::from_millis(500);

/// A check made ready to ask its question many times.
#[derive(Debug, Clone)]
pub(super) struct HttpAsker {
    check: HttpCheck,
    /// What the body must be.
    file: Option<ServedFile>,
    /// A client for each address that is asked. Or why it can never be asked.
    ready: Result<(Vec<Client>, Url), String>,
}

impl HttpAsker {
    pub(super) fn new(check: &HttpCheck, file: Option<ServedFile>) -> Self {
        let ready = parse(&check.url).and_then(|url| Ok((clients(&url)?, url)));
        Self { check: check.clone(), file, ready }
    }

    /// Asks once. Takes at most the check's `request_timeout`.
    pub(super) async fn ask(&self, subject: &Subject) -> Judgement {
        match self.fetch_all().await {
            Ok(answers) => {
                let judged = answers.iter().map(|answer| {
                    let judged = judge(&self.check, answer, subject);
                    match &self.file {
                        Some(file) => file.judge(&answer.body, judged),
                        None => judged,
                    }
                });
                Judgement::of_all(judged.collect())
            }
            Err(why) if self.ready.is_err() => Judgement::unaskable(why.to_string()),
            Err(why) => Judgement::unanswered(why),
        }
    }

    /// The answer, whatever its status; else why there is none.
    pub(super) async fn fetch(&self) -> Result<HttpAnswer, Unanswered> {
        self.fetch_all().await.map(|answers| answers.into_iter().next().unwrap_or_default())
    }

    /// The answers of all who listen: a name of this host has two addresses.
    async fn fetch_all(&self) -> Result<Vec<HttpAnswer>, Unanswered> {
        let ready = self.ready.as_ref();
        let (clients, url) = ready.map_err(|why| Unanswered::Refused(why.clone()))?;
        let limit = self.check.request_timeout;
        let all = async {
            let (mut answers, mut nobody) = (Vec::new(), None);
            for client in clients {
                match self.answer(client, url.clone()).await {
                    Ok(answer) => answers.push(answer),
                    Err(none @ Unanswered::NoListener(_)) => nobody = Some(none),
                    Err(other) => return Err(other),
                }
            }
            match nobody {
                Some(none) if answers.is_empty() => Err(none),
                _ => Ok(answers),
            }
        };
        let answers = tokio::time::timeout(limit, all).await;
        answers.unwrap_or_else(|_| Err(no_answer_within(limit)))
    }

    async fn answer(&self, client: &Client, mut url: Url) -> Result<HttpAnswer, Unanswered> {
        let mut left = self.check.redirects;
        loop {
            // A kept connection may lead to a worker that no longer accepts new ones.
            let request = client.get(url.clone()).header(CONNECTION, "close");
            let response = request.send().await.map_err(|e| unanswered(&e, &url))?;
            let status = response.status();
            if status.as_u16() == self.check.status || !status.is_redirection() {
                return self.read(response, &url).await;
            }
            let Some(location) = response.headers().get(LOCATION) else {
                return self.read(response, &url).await;
            };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let refused = || {
                Unanswered::Refused(format!("redirected to {} (not followed)", shown(&location)))
            };
            let next = url.join(&location).ok().filter(|next| same_place(&url, next));
            url = next.filter(|_| left > 0).ok_or_else(refused)?;
            left -= 1;
        }
    }

    async fn read(&self, mut response: Response, url: &Url) -> Result<HttpAnswer, Unanswered> {
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
            // Why it is not the answer that was wanted may stand at its beginning.
            let body = &mut answer.body;
            let reading = async {
                while body.len() < TOLD
                    && let Ok(Some(chunk)) = response.chunk().await
                {
                    body.extend_from_slice(&chunk);
                }
            };
            // The status is the answer: for the rest nobody waits.
            let _ = tokio::time::timeout(TELLING, reading).await;
            if body.len() >= TOLD {
                // Where it is cut, so may be a secret in it.
                let whole = body.iter().take(TOLD).rposition(|b| *b == b'\n').unwrap_or(TOLD / 2);
                body.truncate(whole);
            }
            return Ok(answer);
        }
        let most = self.check.max_bytes;
        let too_large = || Unanswered::Refused(format!("answer larger than {}", size(most)));
        if response.content_length().is_some_and(|length| length > most) {
            return Err(too_large());
        }
        while let Some(chunk) = response.chunk().await.map_err(|e| unanswered(&e, url))? {
            if answer.body.len() as u64 + chunk.len() as u64 > most {
                return Err(too_large());
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

/// A URL without what may be secret in it: user, password and query.
pub(super) fn without_secrets(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    // Fails only for a URL that can have neither.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_query(None);
    url.to_string()
}

/// The port of a URL on this very host; `None` if it leads elsewhere.
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
        Err(_) => is_name_of_this_host(host),
    }
}

/// Whether a name stands for both loopback addresses.
pub(super) fn is_name_of_this_host(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether an error of connecting says that nobody is at the address: also where this host has no such addresses.
pub(super) fn is_nobody(error: &io::Error) -> bool {
    /// `EAFNOSUPPORT`
    const NO_SUCH_FAMILY: i32 = 97;
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable)
        || error.raw_os_error() == Some(NO_SUCH_FAMILY)
}

/// The web address that a text is.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("cannot request {}: {e}", shown(text)))?;
    if matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|h| !h.is_empty()) {
        Ok(url)
    } else {
        Err(format!("cannot request {}: neither http nor https", shown(text)))
    }
}

fn same_place(from: &Url, to: &Url) -> bool {
    from.scheme() == to.scheme()
        && from.host_str() == to.host_str()
        && from.port_or_known_default() == to.port_or_known_default()
        && to.username().is_empty()
        && to.password().is_none()
}

/// One for each address of a name of this host, at both of which someone may listen; else one.
fn clients(url: &Url) -> Result<Vec<Client>, String> {
    let tls = url.scheme() == "https";
    match url.host_str().filter(|host| is_name_of_this_host(host)) {
        Some(host) => LOOPBACK.iter().map(|at| client_to(tls, Some((host, *at)))).collect(),
        None => Ok(vec![client(tls)?]),
    }
}

/// Where this host is asked by its name.
pub(super) const LOOPBACK: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// A client that goes straight to the address, keeps no connection and follows nothing.
pub(super) fn client(tls: bool) -> Result<Client, String> {
    client_to(tls, None)
}

/// As [`client`], asking a name at an address of our choice.
fn client_to(tls: bool, at: Option<(&str, IpAddr)>) -> Result<Client, String> {
    // Fails only when one is installed already, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(0)
        .user_agent("gitroll");
    let builder = match at {
        // The port is that of the URL.
        Some((name, address)) => builder.resolve(name, SocketAddr::new(address, 0)),
        None => builder,
    };
    // Plain http must work on a host that has no certificate store at all.
    let builder = if tls { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(|e| format!("cannot use https: {}", shown(&deepest(&e))))
}

fn no_answer_within(limit: Duration) -> Unanswered {
    Unanswered::NothingSaid(format!("no answer within {}", seconds(limit)))
}

/// Why a question got no answer. What hyper says of a connection that was closed it says in words only.
fn unanswered(error: &reqwest::Error, url: &Url) -> Unanswered {
    let closed = || Unanswered::Refused("connection closed without an answer".to_owned());
    if let Some(io) = io_error(error) {
        if is_nobody(io) {
            return Unanswered::NoListener(format!("no listener on {}", place(url)));
        }
        match io.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => return closed(),
            _ => {}
        }
    }
    if let Some(tls) = tls_error(error) {
        return Unanswered::NothingSaid(format!(
            "no secure connection: {}",
            shown(&tls.to_string())
        ));
    }
    let deepest = deepest(error);
    if is_hypers_word_for_closed(&deepest) {
        return closed();
    }
    let what = if error.is_connect() { "no connection" } else { "not an HTTP answer" };
    Unanswered::NothingSaid(format!("{what}: {}", shown(&deepest)))
}

/// Whether hyper says that the other side closed the connection before it had answered.
fn is_hypers_word_for_closed(text: &str) -> bool {
    text.contains("closed before message completed") || text.contains("end of file")
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

/// What everything that waits for sockets runs on.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

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
    let runtime = runtime().map_err(|error| format!("cannot send the request: {error}"))?;
    let answer = runtime.block_on(async {
        let answered = tokio::time::timeout(request.limit, answer_to(request)).await;
        answered.unwrap_or_else(|_| Err(no_answer_within(request.limit).to_string()))
    });
    // A name that is still being looked up must not keep us.
    runtime.shutdown_background();
    answer
}

async fn answer_to(request: &HttpRequest<'_>) -> Result<HttpReply, String> {
    let url = parse(request.url)?;
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|e| e.to_string())?;
    let client = client(url.scheme() == "https")?;
    let mut asked = client.request(method, url.clone()).headers(headers_of(request)?);
    if let Some(body) = &request.body {
        asked = asked.body(body.clone());
    }
    let mut response = asked.send().await.map_err(|error| unanswered(&error, &url).to_string())?;
    let too_large = || format!("answer larger than {}", size(request.max_bytes));
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| unanswered(&error, &url).to_string())?
    {
        if body.len() as u64 + chunk.len() as u64 > request.max_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpReply { status: response.status().as_u16(), body })
}

fn headers_of(request: &HttpRequest<'_>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &request.headers {
        let read = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        let (Ok(name), Ok(value)) = read else {
            return Err(format!("{name:?} is not a valid header"));
        };
        headers.insert(name, value);
    }
    if let Some(bearer) = request.bearer {
        let value = HeaderValue::from_str(&format!("Bearer {bearer}"));
        let mut value = value
            .map_err(|_| "the token contains characters that a header cannot carry".to_owned())?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
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
    fn no_secret_of_a_url_is_shown() {
        let shown = without_secrets("http://ana:s3cret@127.0.0.1:3000/health?token=s3cret");
        assert_eq!(shown, "http://127.0.0.1:3000/health");
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
            let check = HttpCheck {
                url: url.to_owned(),
                status: 200,
                headers: Default::default(),
                body: None,
                json: Default::default(),
                file: None,
                own: true,
                redirects: 0,
                request_timeout: Duration::from_secs(1),
                max_bytes: 1,
            };
            let asker = HttpAsker::new(&check, None);
            assert!(asker.ready.is_err_and(|why| why.starts_with("cannot request")), "{url}");
        }
    }

    #[test]
    fn hypers_words_for_a_closed_connection_are_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let closing = std::thread::spawn(move || {
            use std::io::Read as _;
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
        });
        let url = format!("http://{address}/");
        let request = HttpRequest {
            method: "GET",
            url: &url,
            headers: Vec::new(),
            bearer: None,
            body: None,
            limit: Duration::from_secs(5),
            max_bytes: 1,
        };
        let answer = ask(&request).map(|reply| reply.status);
        closing.join().expect("it closes");
        assert_eq!(answer, Err("connection closed without an answer".to_owned()));
    }
}
