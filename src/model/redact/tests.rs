use super::*;

#[test]
fn a_secret_value_is_replaced_wherever_it_turns_up() {
    let redactor = Redactor::of_dotenv(b"API_TOKEN=canary-7f3a\nGREETING=good morning\n");
    assert_eq!(redactor.text("a=canary-7f3a;b=canary-7f3a"), "a=[redacted];b=[redacted]");
    assert_eq!(redactor.text("says good morning"), "says [redacted]");
    assert_eq!(redactor.text("nothing to hide"), "nothing to hide");
}

#[test]
fn harmless_values_stay_readable_unless_their_key_looks_secret() {
    let redactor = Redactor::new([
        ("NODE_ENV", "production"),
        ("PORT", "3000123"),
        ("DEBUG", "false"),
        ("NAME", "shop"),
        ("DB_PASSWORD", "shop"),
        ("PIN_TOKEN", "1234567"),
        ("X_KEY", "ab"),
    ]);
    let text = "production on 3000123, debug false, ab, shopping";
    assert_eq!(redactor.text(text), text);
    assert_eq!(redactor.text("shop 1234567"), "[redacted] [redacted]");
}

#[test]
fn where_something_listens_is_no_secret_and_what_a_path_may_hold_is_one() {
    let shown = [
        "127.0.0.1:4202",
        "[::1]:6379",
        "localhost:5432",
        "relay.shop.internal:25",
        "http://10.0.0.7:8080/",
        "redis://cache.internal:6379",
    ];
    for value in shown {
        assert_eq!(Redactor::new([("RELAY", value)]).text(value), value);
        assert_eq!(Redactor::new([("RELAY_TOKEN", value)]).text(value), REDACTED, "{value}");
    }
    let hidden =
        ["https://hooks.example/services/T0/B0/x", "deploy:48213", "good.morning", "a.b:c"];
    for value in hidden.iter().filter(|value| value.len() > 5) {
        assert_eq!(Redactor::new([("RELAY", value)]).text(value), REDACTED, "{value}");
    }
}

#[test]
fn the_password_in_a_url_is_a_secret_alone_decoded_and_in_unknown_urls() {
    let redactor = Redactor::new([("DATABASE_URL", "postgres://ana:p%40ss:w0rd@db/shop")]);
    assert_eq!(redactor.text("password p@ss:w0rd refused"), "password [redacted] refused");
    assert_eq!(redactor.text("auth p%40ss:w0rd"), "auth [redacted]");
    assert_eq!(
        Redactor::default().text("get https://ci:t0ken@host/x failed"),
        "get https://ci:[redacted]@host/x failed"
    );
    assert_eq!(Redactor::default().text("http://[::1]:3000/a@b"), "http://[::1]:3000/a@b");
}

#[test]
fn a_value_of_several_lines_is_replaced_whole_and_line_by_line() {
    let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----";
    for dotenv in [format!("PRIVATE=\"{pem}\"\nNEXT=after-it"), {
        format!("PRIVATE=\"{}\"\nNEXT=after-it", pem.replace('\n', "\\n"))
    }] {
        let redactor = Redactor::of_dotenv(dotenv.as_bytes());
        assert_eq!(redactor.text(&format!("<{pem}>")), "<[redacted]>");
        assert_eq!(redactor.text("bad line kqhkiG9w0BAQ"), "bad line [redacted]");
        assert_eq!(redactor.text(&pem.replace('\n', "\\n")), "[redacted]");
        assert_eq!(redactor.text("after-it"), "[redacted]");
        assert_eq!(redactor.lines(&["a", "MIIEvQIBADANBg", "b"]), ["a", "[redacted]", "b"]);
    }
}

#[test]
fn overlapping_secrets_leave_nothing_of_either() {
    let redactor = Redactor::new([("A", "abcdefgh"), ("B", "efghijkl"), ("C", "abcdef")]);
    assert_eq!(redactor.text("xabcdefghijklx"), "x[redacted]x");
}

#[test]
fn json_and_url_spellings_of_a_secret_are_found_too() {
    let redactor = Redactor::new([("A_SECRET", "say \"hello\" & go")]);
    assert_eq!(redactor.text(r#"{"v":"say \"hello\" & go"}"#), r#"{"v":"[redacted]"}"#);
    assert_eq!(redactor.text("?q=say%20%22hello%22%20%26%20go"), "?q=[redacted]");
}

#[test]
fn a_file_with_bytes_that_are_no_utf_8_hides_its_secrets_all_the_same() {
    let bytes = b"# gr\xfc\xdfe\nAPI_TOKEN=canary-7f3a\nDB_PASSWORD=stra\xdfe-44\n";
    let redactor = Redactor::of_dotenv(bytes);
    assert_eq!(redactor.text("a=canary-7f3a"), "a=[redacted]");
    assert_eq!(redactor.output(b"as it stands: stra\xdfe-44"), "as it stands: [redacted]");
    assert_eq!(redactor.text("read as Latin-1: stra\u{df}e-44"), "read as Latin-1: [redacted]");
}

#[test]
fn a_line_that_no_strict_reader_takes_for_an_assignment_may_hold_a_secret() {
    let bytes = b"//npm.example/:_authToken=canary-1\nA_SECRET='it''s canary-2'\n";
    let redactor = Redactor::of_dotenv(bytes);
    assert_eq!(redactor.text("canary-1"), "[redacted]");
    assert_eq!(redactor.text("<it''s canary-2>"), "<[redacted]>");
}

#[test]
fn debugging_a_redactor_shows_no_secret() {
    let redactor = Redactor::new([("TOKEN", "canary-value")]);
    assert!(!format!("{redactor:?}").contains("canary"));
}
