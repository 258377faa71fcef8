use super::*;
use crate::config::{Config, parse};

/// The rules of a file whose component `A` and `B` have flags.
fn config(rules: &str) -> Config {
    let components: String = ["A", "B"]
        .iter()
        .map(|id| format!("[component.{id}]\npaths = [\"{id}\"]\nflag = {{ name = \"F_{id}\", off = \"0\" }}\n"))
        .collect();
    let text = format!("[app]\nname = \"shop\"\n[flags]\nfile = \".env\"\n{components}{rules}");
    parse(&text, "gitroll.toml").unwrap_or_else(|error| panic!("{:#?}", error.problems))
}

/// `severity action` each, the symptom named after both.
fn rules(all: &[&str]) -> Config {
    let rule = |text: &&str| {
        let (severity, action) = text.split_once(' ').unwrap();
        format!(
            "[[rule]]\nsymptom = \"it's {text}\"\nprobe = {{ command = [\"true\"] }}\n\
             severity = \"{severity}\"\naction = \"{action}\"\n"
        )
    };
    config(&all.iter().map(rule).collect::<String>())
}

fn good() -> Standing {
    let commit = "4".repeat(40).parse().unwrap();
    let good = Served { name: "v1.2.0-stable".to_owned(), version: None, commit };
    Standing { good: Some(good), ..Standing::default() }
}

fn chosen(config: &Config, standing: &Standing) -> Advice {
    let showing: Vec<(&Rule, &str)> = config.rules.iter().map(|rule| (rule, "exit 0")).collect();
    choose(&showing, standing).unwrap()
}

#[test]
fn the_worst_decides_and_of_equals_the_shallowest() {
    for (all, level, command) in [
        (&["P1 code", "P0 flags:A"][..], "flags", "gitroll flags off A --reason "),
        (&["P1 flags:A", "P0 code"], "code", "gitroll back --reason "),
        (&["P1 full", "P1 code", "P1 flags:A"], "flags", "gitroll flags off A "),
        (&["P1 full", "P1 code", "P1 fix-forward"], "code", "gitroll back "),
        (&["P2 flags:B", "P2 flags:A", "P2 flags:B"], "flags", "gitroll flags off B A "),
        (&["P3 flags:A", "P2 flags:B"], "flags", "gitroll flags off B "),
    ] {
        let advice = chosen(&rules(all), &good());
        assert_eq!(advice.level, level, "{all:?}");
        let told = advice.command.clone().unwrap();
        assert!(told.starts_with(command), "{all:?}: {told}");
    }
    for (all, level) in
        [(&["P0 full", "P1 flags:A"][..], "full"), (&["P0 fix-forward", "P1 code"], "fix-forward")]
    {
        let advice = chosen(&rules(all), &good());
        assert_eq!((advice.level.as_str(), advice.command), (level, None), "{all:?}");
    }
    let declared = Standing { declared: true, ..good() };
    let advice = chosen(&rules(&["P0 full"]), &declared);
    assert!(advice.command.unwrap().starts_with("gitroll back --level full --reason "));
    assert_eq!(choose(&[], &good()), None);
}

#[test]
fn the_reason_is_one_word_of_a_shell() {
    let advice = chosen(&rules(&["P0 code"]), &good());
    assert_eq!(advice.command.unwrap(), r"gitroll back --reason 'it'\''s P0 code'");
}

#[test]
fn what_is_off_already_is_not_switched_off_again() {
    let config = rules(&["P0 flags:A", "P0 flags:B"]);
    let off = |ids: &[&str]| {
        let off = ids.iter().map(|id| (id.parse().unwrap(), format!("F_{id} is 0")));
        Standing { off: off.collect(), ..good() }
    };
    let advice = chosen(&config, &off(&["A"]));
    assert!(advice.command.unwrap().starts_with("gitroll flags off B --reason"));
    assert!(advice.notes[0].starts_with("A: F_A is 0 already"), "{:?}", advice.notes);

    let advice = chosen(&config, &off(&["A", "B"]));
    assert_eq!((advice.asked.as_str(), advice.level.as_str()), ("flags", "code"));
    assert!(advice.command.unwrap().starts_with("gitroll back --reason"));
    assert!(advice.what.contains("v1.2.0-stable (4444444)"), "{}", advice.what);
    assert!(advice.further[0].command.starts_with("gitroll component A --via files"));

    let nothing = Standing { good: None, ..off(&["A", "B"]) };
    let advice = chosen(&config, &nothing);
    assert_eq!((advice.level.as_str(), &advice.command), ("full", &None));
    assert!(advice.notes.iter().any(|note| note.contains("no version to roll back to")));
    assert!(advice.notes.iter().any(|note| note.contains("declares no [data.NAME]")));
}

#[test]
fn an_open_run_comes_first() {
    let advice = chosen(&rules(&["P0 code"]), &Standing { open_run: true, ..good() });
    assert_eq!(advice.command.as_deref(), Some("gitroll resume"));
    assert!(advice.further[0].command.starts_with("gitroll back"));
    let advice = chosen(&rules(&["P0 full"]), &Standing { open_run: true, ..good() });
    assert_eq!(advice.command.as_deref(), Some("gitroll resume"));
}

#[test]
fn the_shortest_time_counts() {
    let config = config(
        &["\"1h\"", "\"30m\""]
            .map(|timeline| {
                format!(
                    "[[rule]]\nsymptom = \"x\"\nprobe = {{ command = [\"true\"] }}\nseverity = \"P1\"\n\
                     action = \"code\"\ntimeline = {timeline}\n"
                )
            })
            .concat(),
    );
    assert_eq!(chosen(&config, &good()).timeline.as_deref(), Some("30m"));
}
