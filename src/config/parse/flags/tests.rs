use crate::config::{Apply, DocumentFormat, FilePlace, FlagSourceKind, Signal, parse};

#[test]
fn flags_lie_in_several_sources() {
    let text = r#"
[app]
name = "shop"
[service.web]
manager = "pm2"
[[check]]
name = "api"
http = "http://127.0.0.1:1/x"
[component.QW-001]
paths = ["a/**"]
flag = { name = "A", off = "false", on = "true", source = "api", verify = "environ" }
checks = ["api"]
after = "slower"
symptoms = ["HTTP 207"]
[flags]
file = ".env"
apply = "environment"
services = ["web"]
[flags.source.conf]
file = "/etc/memory/config.json"
pointer = "/featureFlags"
apply = { signal = "HUP" }
[flags.source.api]
http = "http://127.0.0.1:8080/flags/{name}"
token = { env = "ADMIN_TOKEN" }
[flags.source.own]
get = ["./flag", "get", "{name}"]
set = ["./flag", "set", "{name}", "{value}"]
"#;
    let config = parse(text, "gitroll.toml").unwrap();
    let flags = config.flags.unwrap();
    let names: Vec<&str> = flags.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["file", "conf", "api", "own"]);
    let kinds: Vec<bool> = flags
        .sources
        .iter()
        .map(|source| {
            matches!(
                (source.name.as_str(), &source.kind, source.apply),
                ("file", FlagSourceKind::Dotenv(FilePlace::Tree(_)), Apply::Environment)
                    | (
                        "conf",
                        FlagSourceKind::Document { format: DocumentFormat::Json, .. },
                        Apply::Signal(Signal::Hup)
                    )
                    | ("api", FlagSourceKind::Http(_), Apply::None)
                    | ("own", FlagSourceKind::Command { .. }, Apply::None)
            )
        })
        .collect();
    assert_eq!(kinds, [true; 4]);
    assert_eq!(config.components[0].symptoms, ["HTTP 207"]);
}

#[test]
fn what_is_wrong_with_flags_is_said_with_its_place() {
    let head = "[app]\nname = \"shop\"\n";
    let component = "[component.A]\npaths = [\"a\"]\nflag = { name = \"A\", off = \"0\"";
    let table = [
        ("[flags]\n", "needs one of file, http, or get and set"),
        ("[flags]\nfile = \".env\"\nhttp = \"http://x/\"\n", "needs one of"),
        ("[flags]\nfile = \".env\"\npointer = \"/x\"\n", "a dotenv file has no pointers"),
        ("[flags]\nfile = \"/etc/../x\"\n", "named in full"),
        ("[flags]\nfile = \"../x\"\n", "path must be"),
        ("[flags]\nfile = \"f.json\"\napply = \"environment\"\n", "only what a dotenv file"),
        ("[flags]\nfile = \".env\"\napply = { signal = \"KILL\" }\n", "is not known"),
        ("[flags]\nfile = \".env\"\nservices = [\"web\"]\n", "there is no [service.web]"),
        ("[flags]\nhttp = \"http://u:p@x/\"\n", "must not carry a user"),
        ("[flags]\nhttp = \"http://{name}.x/\"\n", "behind the host only"),
        ("[flags]\nhttp = \"http://x/\"\nbody = \"{}\"\n", "must hold {value}"),
        ("[flags]\nhttp = \"http://x/\"\nheaders = { Authorization = \"x\" }\n", "token ="),
        ("[flags]\nhttp = \"http://x/\"\ntoken = \"s3cret\"\n", "must be a table"),
        ("[flags.source.file]\nfile = \".env\"\n[flags]\nfile = \".env\"\n", "choose another"),
        ("[flags]\nfile = \".env\"\nverify = \"enviro\"\n", "environ"),
        ("[component.A]\npaths = [\"a\"]\nchecks = [\"api\"]\n", "there is no [[check]] named"),
        (
            &format!(
                "{component}, source = \"apu\" }}\n[flags.source.api]\nhttp = \"http://x/\"\n"
            ),
            "did you mean \"api\"",
        ),
        (
            &format!(
                "{component} }}\n[flags]\nfile = \".env\"\n[flags.source.api]\nhttp = \"http://x/\"\n"
            ),
            "source says where it is kept: one of file, api",
        ),
    ];
    for (text, wanted) in table {
        let error = parse(&format!("{head}{text}"), "gitroll.toml").unwrap_err();
        let said: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|line| line.contains(wanted)), "{text}: {said:#?}");
    }
}
