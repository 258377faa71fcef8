//! An admin API: a real server that keeps flags, and many ways for it to be strange.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gitroll::config::{FlagApi, FlagSource, FlagSourceKind, Method, SecretSource};
use gitroll::flag::{self, Value};
use serde_json::{Value as Json, json};

use super::world::{World, name, said, source};

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Good,
    Slow,
    Endless,
    Redirects,
    Fails,
    /// 200, and nothing changes.
    Lies,
    /// Changes are seen a little later.
    Late,
    /// Each change is seen three seconds later.
    Tardy,
    /// Takes changes and answers the first of them too late.
    Deaf,
    /// Errors that hold what was sent.
    Echoes,
    Rubbish,
}

struct Server {
    port: u16,
    flags: Arc<Mutex<Json>>,
    requests: Arc<Mutex<Vec<String>>>,
    /// A port that a redirect leads to.
    elsewhere: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn start(flags: Json, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            flags: Arc::new(Mutex::new(flags)),
            requests: Arc::default(),
            elsewhere: Arc::default(),
            stop: Arc::default(),
        };
        let (flags, requests) = (Arc::clone(&server.flags), Arc::clone(&server.requests));
        let (stop, elsewhere) = (Arc::clone(&server.stop), Arc::clone(&server.elsewhere));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let request = request(&mut stream);
                requests.lock().unwrap().push(request.clone());
                let to = elsewhere.load(Ordering::Relaxed);
                let _ = answer(&mut stream, &request, manner, &flags, to, &stop);
            }
        });
        server
    }

    fn source(&self, more: impl FnOnce(&mut FlagApi)) -> FlagSource {
        let url = format!("http://127.0.0.1:{}/flags", self.port);
        let mut api = FlagApi {
            read: url.clone(),
            url,
            method: Method::Post,
            body: r#"{"{name}": {value}}"#.to_owned(),
            headers: BTreeMap::from([("X-Team".to_owned(), "shop".to_owned())]),
            pointer: "/{name}".to_owned(),
            token: None,
            request_timeout: Duration::from_millis(800),
        };
        more(&mut api);
        source(FlagSourceKind::Http(api))
    }

    fn flags(&self) -> Json {
        self.flags.lock().unwrap().clone()
    }

    fn said(&self) -> String {
        self.requests.lock().unwrap().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().split_once("content-length: ").map_or(0, |(_, rest)| {
                    rest.split("\r\n").next().unwrap().parse::<usize>().unwrap()
                });
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn answer(
    stream: &mut TcpStream,
    request: &str,
    manner: Manner,
    flags: &Arc<Mutex<Json>>,
    elsewhere: u16,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut say = |status: &str, more: &str, body: &str| {
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\n{more}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let reads = request.starts_with("GET ");
    match manner {
        Manner::Slow => {
            for _ in 0..300 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
        Manner::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(&[b'x'; 65536])?;
            }
            Ok(())
        }
        Manner::Rubbish => say("200 OK", "", "<html>"),
        Manner::Redirects => {
            say("302 Found", &format!("location: http://127.0.0.1:{elsewhere}/flags\r\n"), "")
        }
        Manner::Fails if !reads => say("500 Oops", "", "\u{1b}[31mdatabase is down\n"),
        Manner::Echoes if !reads => say("403 Forbidden", "", &format!("refused: {request}")),
        _ if reads => say("200 OK", "", &flags.lock().unwrap().to_string()),
        _ => {
            let change: Json = serde_json::from_str(body).unwrap_or_default();
            let flags = Arc::clone(flags);
            let first = body.contains("false");
            let wait = match manner {
                Manner::Late => 500,
                Manner::Tardy => 3000,
                Manner::Deaf if first => 2500,
                _ => 0,
            };
            if manner != Manner::Lies {
                let take = move || {
                    let mut flags = flags.lock().unwrap();
                    for (name, value) in change.as_object().into_iter().flatten() {
                        flags[name] = value.clone();
                    }
                };
                if wait == 0 {
                    take();
                } else {
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(wait));
                        take();
                    });
                }
            }
            if manner == Manner::Deaf && first {
                std::thread::sleep(Duration::from_millis(1500));
            }
            say("204 No Content", "", "")
        }
    }
}

#[test]
fn a_flag_is_switched_seen_and_put_back() {
    for manner in [Manner::Good, Manner::Late] {
        let world = World::new();
        let server = Server::start(json!({"A": true, "x/y": 0.5, "other": {"A": 1}}), manner);
        let source = server.source(|_| {});
        assert_eq!(world.value(&source).unwrap(), Value::Known(json!(true)));
        let wanted = [("A", Value::Known(json!(false))), ("x/y", Value::Known(json!(0.01)))];
        world.change(&source, &wanted).unwrap();
        assert_eq!(server.flags(), json!({"A": false, "x/y": 0.01, "other": {"A": 1}}));
        world.change(&source, &wanted).unwrap();
        assert_eq!(server.said().matches("POST ").count(), 2, "{}", server.said());
        assert!(server.said().to_lowercase().contains("x-team: shop"));
        for _ in 0..2 {
            world.restore(&source).unwrap();
            assert_eq!(server.flags(), json!({"A": true, "x/y": 0.5, "other": {"A": 1}}));
        }
        assert!(
            said(world.value(&server.source(|api| api.pointer = "/other".to_owned())))
                .contains("not a single value")
        );
        assert!(flag::list(&world.bench.host(), &source).unwrap().is_none());
    }
}

#[test]
fn names_are_filled_in_as_each_place_needs_it() {
    let world = World::new();
    let server = Server::start(json!({"x/y:z": "on"}), Manner::Good);
    let source = server.source(|api| {
        api.url.push_str("/{name}");
        api.method = Method::Put;
        api.headers.insert("content-type".to_owned(), "application/merge-patch+json".to_owned());
    });
    world.change(&source, &[("x/y:z", Value::text("say \"off\" {name}"))]).unwrap();
    assert_eq!(server.flags(), json!({"x/y:z": "say \"off\" {name}"}));
    let said = server.said();
    assert!(said.contains("PUT /flags/x%2Fy%3Az HTTP/1.1"), "{said}");
    // Also where it is asked twice before it shows the new value.
    let requests = said.matches(" HTTP/1.1").count();
    assert!(requests >= 3, "{said}");
    assert_eq!(said.to_lowercase().matches("content-type:").count(), requests, "{said}");
}

#[test]
fn a_flag_that_somebody_else_set_meanwhile_is_left() {
    let world = World::new();
    let server = Server::start(json!({"A": 1, "B": 1}), Manner::Good);
    let source = server.source(|_| {});
    world.change(&source, &[("A", Value::Known(json!(2))), ("B", Value::Known(json!(2)))]).unwrap();
    server.flags.lock().unwrap()["A"] = json!(3);
    let notes = world.restore(&source).unwrap();
    assert!(notes.len() == 1 && notes[0].contains("flag A"), "{notes:?}");
    assert_eq!(server.flags(), json!({"A": 3, "B": 1}));
}

#[test]
fn a_flag_the_api_does_not_know_is_not_made() {
    let world = World::new();
    let server = Server::start(json!({}), Manner::Good);
    let source = server.source(|_| {});
    assert_eq!(world.value(&source).unwrap(), Value::Absent);
    assert!(said(world.set(&source, true)).contains("create it first"));
    assert_eq!(server.flags(), json!({}));
}

#[test]
fn an_api_that_is_strange_is_an_error_in_time() {
    let table = [
        (Manner::Slow, "no answer within 800 ms"),
        (Manner::Endless, "larger than 1 MiB"),
        (Manner::Rubbish, "not JSON"),
        (Manner::Redirects, "answered 302, which is not followed"),
        (Manner::Fails, "answered 500: \\u{1b}[31mdatabase is down"),
        (Manner::Lies, "still reads as a different value"),
    ];
    for (manner, why) in table {
        let world = World::new();
        let server = Server::start(json!({"A": true}), manner);
        let innocent = Server::start(json!({"A": true}), Manner::Good);
        server.elsewhere.store(innocent.port, Ordering::Relaxed);
        let began = Instant::now();
        let error = said(world.set(&server.source(|_| {}), false));
        assert!(error.contains(why), "{error}");
        assert!(began.elapsed() < Duration::from_secs(6), "{error}");
        assert_eq!(innocent.said(), "");
        drop(server);
    }
    let world = World::new();
    let server = Server::start(json!({"A": true}), Manner::Fails);
    let source = server.source(|_| {});
    said(world.set(&source, false));
    // It has answered, and what it has shows: nothing comes any more.
    assert_eq!(world.restore(&source).unwrap(), [""; 0]);
    let world = World::new();
    let server = Server::start(json!({"A": true}), Manner::Echoes);
    let source = server.source(|_| {});
    said(world.set(&source, false));
    // It said itself that it takes nothing.
    assert_eq!(world.restore(&source).unwrap(), [""; 0]);
}

#[test]
fn a_change_that_comes_after_it_was_given_up_is_put_back() {
    for (manner, millis) in [(Manner::Tardy, 3000), (Manner::Deaf, 2500)] {
        let world = World::new();
        let server = Server::start(json!({"A": true}), manner);
        let source = server.source(|_| {});
        said(world.set(&source, false));
        assert_eq!(server.flags(), json!({"A": true}), "it came too early for this test");
        assert_eq!(world.restore(&source).unwrap(), [""; 0]);
        std::thread::sleep(Duration::from_millis(millis));
        assert_eq!(server.flags(), json!({"A": true}));
    }
    // What never comes is said: nobody knows whether it will.
    let world = World::new();
    let server = Server::start(json!({"A": true}), Manner::Lies);
    let source = server.source(|_| {});
    said(world.set(&source, false));
    let notes = world.restore(&source).unwrap();
    assert!(notes.len() == 1 && notes[0].contains("never seen"), "{notes:?}");
    assert_eq!(server.said().matches("POST ").count(), 2);
}

#[test]
fn the_token_is_sent_and_shown_nowhere() {
    let world = World::new();
    let file = world.root().join("token");
    std::fs::write(&file, " canary-7f3a9\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let token = Some(SecretSource::File(file.clone()));
    let server = Server::start(json!({"A": true}), Manner::Good);
    let source = server.source(|api| api.token = token.clone());
    world.set(&source, false).unwrap();
    let sent = server.said().to_lowercase();
    assert_eq!(sent.matches("authorization: bearer canary-7f3a9\r\n").count(), 3, "{sent}");
    for kept in std::fs::read_dir(&world.undo).unwrap() {
        assert!(!std::fs::read_to_string(kept.unwrap().path()).unwrap().contains("canary"));
    }
    let echoes = Server::start(json!({"A": true, "API_KEY": "canary-old"}), Manner::Echoes);
    let source = echoes.source(|api| api.token = token.clone());
    let error = said(world.set(&source, false));
    assert!(error.contains("answered 403: refused: POST /flags"), "{error}");
    said(world.change(&source, &[("API_KEY", Value::text("canary-new"))]));
    // `said` looks for the canary in each of these.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(said(world.value(&source)).contains("others can read it"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, "canary\nsecond").unwrap();
    assert!(said(world.value(&source)).contains("not one line"));
    std::fs::write(&file, vec![b'c'; 70_000]).unwrap();
    assert!(said(world.value(&source)).contains("larger than 64 KiB"));
    std::fs::remove_file(&file).unwrap();
    assert!(said(world.value(&source)).contains("token"));
    let unset = server
        .source(|api| api.token = Some(SecretSource::Env("GITROLL_NO_SUCH_TOKEN".to_owned())));
    assert!(said(world.value(&unset)).contains("GITROLL_NO_SUCH_TOKEN is not set"));
}

#[test]
fn a_typed_text_becomes_what_the_source_holds() {
    let world = World::new();
    let server = Server::start(json!({"A": true}), Manner::Good);
    let source = server.source(|_| {});
    let found = world.value(&source).unwrap();
    let typed = |text: &str| flag::typed(&source, &name("A"), &found, text);
    assert_eq!(typed("false").unwrap(), Value::Known(json!(false)));
    assert!(said(typed("off")).contains("flag A"));
    let dotenv = super::world::in_tree(".env");
    assert_eq!(flag::typed(&dotenv, &name("A"), &found, "1").unwrap(), Value::text("1"));
}
