//! `[[rule]]`.

use std::ops::Range;
use std::time::Duration;

use super::check;
use crate::config::app::Component;
use crate::config::check::CheckKind;
use crate::config::quantity::{duration, show_duration};
use crate::config::quote::quoted;
use crate::config::reader::{Item, Placed, Report, Table, all, nearest, or};
use crate::config::rule::{
    Rule, RuleAction, Severity, Soak, SymptomProbe, Timeline, WatchSettings, When,
};
use crate::model::ComponentId;

/// A rule and where its action stands.
pub(super) struct ReadRule {
    pub(super) rule: Rule,
    action_at: Range<usize>,
    /// Where `auto = true` stands.
    auto_at: Option<Range<usize>>,
}

/// The words of `action` and what begins those that name a component.
const WORDS: [&str; 3] = ["code", "full", "fix-forward"];
const FLAGS: &str = "flags:";

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// All samples of a metric together take no longer.
const MOST_SAMPLING: Duration = Duration::from_secs(10 * 60);

/// `services`: the names of all services.
pub(super) fn rules(root: &Table<'_>, services: &[&str]) -> Option<Vec<ReadRule>> {
    let Some(item) = root.get("rule") else { return Some(Vec::new()) };
    let tables = item.tables()?;
    all(tables.iter().map(|table| rule(table, services)).collect::<Vec<_>>())
}

fn rule(table: &Table<'_>, services: &[&str]) -> Option<ReadRule> {
    let symptom = table.need("symptom").and_then(|item| item.line().map(str::to_owned));
    let probe = table.need("probe").and_then(|item| probe(&item, services));
    let severities =
        [("P0", Severity::P0), ("P1", Severity::P1), ("P2", Severity::P2), ("P3", Severity::P3)];
    let severity = table.need("severity").and_then(|item| item.word(&severities));
    let action = table
        .need("action")
        .and_then(|item| Some(Placed { value: action(&item)?, span: item.span() }));
    let timeline = or(table.get("timeline"), || None, |item| timeline(&item).map(Some));
    let why = or(table.get("why"), || None, |item| Some(Some(item.line()?.to_owned())));
    let lasts = or(table.get("for"), || Duration::ZERO, |item| item.duration(SECOND..=DAY));
    let attempts = or(table.get("attempts"), || 1, |item| item.number(1..=1000));
    let every = or(table.get("every"), || None, |item| item.duration(SECOND..=DAY).map(Some));
    let auto = or(table.get("auto"), || false, |item| item.boolean());
    let auto_at = table.get("auto").map(|item| item.span());
    table.finish();
    let Placed { value: action, span: action_at } = action?;
    if auto == Some(true) && !matches!(action, RuleAction::Flags(_) | RuleAction::Code) {
        table.add(format!(
            "auto: only flags and code go back by themselves: a person decides about {action}"
        ));
        return None;
    }
    let rule = Rule {
        symptom: symptom?,
        probe: probe?,
        severity: severity?,
        action,
        timeline: timeline?,
        why: why?,
        lasts: lasts?,
        attempts: u32::try_from(attempts?).unwrap_or(u32::MAX),
        every: every?,
        auto: auto?,
    };
    let auto_at = auto_at.filter(|_| rule.auto);
    Some(ReadRule { rule, action_at, auto_at })
}

/// Reports components that an action names and that nobody declares, or that have no flag.
pub(super) fn check_components<'c>(
    report: &Report<'_>,
    rules: &[ReadRule],
    components: impl Iterator<Item = &'c Component> + Clone,
) {
    for ReadRule { rule, action_at, .. } in rules {
        let RuleAction::Flags(ids) = &rule.action else { continue };
        for id in ids {
            match components.clone().find(|component| component.id == *id) {
                None => {
                    let hint = nearest(id.as_str(), components.clone().map(|c| c.id.as_str()));
                    report.add(action_at, format!("action: there is no [component.{id}]{hint}"));
                }
                Some(component) if component.flag.is_none() => {
                    let message = format!("action: [component.{id}] has no flag to switch off");
                    report.add(action_at, message);
                }
                Some(_) => {}
            }
        }
    }
}

/// Reports rules that may act where nothing could confirm what they see.
pub(super) fn check_witnesses(report: &Report<'_>, rules: &[ReadRule], checks: bool) {
    for auto_at in rules.iter().filter_map(|read| read.auto_at.as_ref()).filter(|_| !checks) {
        let what =
            "auto: there is no [[check]], which must confirm the symptom before anything acts";
        report.add(auto_at, what);
    }
}

/// `[watch]`
pub(super) fn watch(root: &Table<'_>) -> Option<WatchSettings> {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let usual = WatchSettings {
        every: 10 * SECOND,
        within: minutes(60),
        start_grace: minutes(3),
        announce: minutes(1),
        clear: minutes(5),
        cooldown: minutes(30),
        per_day: 2,
    };
    let Some(item) = root.get("watch") else { return Some(usual) };
    let table = item.table("[watch]")?;
    let time = |key: &'static str, least: Duration, usual: Duration| {
        or(table.get(key), || usual, |item| item.duration(least..=30 * DAY))
    };
    let every = time("every", SECOND, usual.every);
    let within = time("within", SECOND, usual.within);
    let start_grace = time("start_grace", Duration::ZERO, usual.start_grace);
    let announce = time("announce", Duration::ZERO, usual.announce);
    let clear = time("clear", SECOND, usual.clear);
    let cooldown = time("cooldown", Duration::ZERO, usual.cooldown);
    let per_day =
        or(table.get("per_day"), || u64::from(usual.per_day), |item| item.number(0..=100));
    table.finish();
    Some(WatchSettings {
        every: every?,
        within: within?,
        start_grace: start_grace?,
        announce: announce?,
        clear: clear?,
        cooldown: cooldown?,
        per_day: u32::try_from(per_day?).unwrap_or(u32::MAX),
    })
}

/// `[soak]`
pub(super) fn soak(root: &Table<'_>) -> Option<Soak> {
    let Some(item) = root.get("soak") else { return Some(Soak::default()) };
    let table = item.table("[soak]")?;
    let range = SECOND..=30 * DAY;
    let after_back = or(table.get("after_back"), || None, |item| item.duration(range).map(Some));
    table.finish();
    Some(Soak { after_back: after_back? })
}

fn probe(item: &Item<'_>, services: &[&str]) -> Option<SymptomProbe> {
    let table = item.table("probe")?;
    let ways = [("holds", When::Holds), ("fails", When::Fails)];
    let when = or(table.get("when"), || When::Holds, |item| item.word(&ways));
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let range = Duration::from_secs(1)..=minutes(7 * 24 * 60);
    let since = or(table.get("since"), || minutes(15), |item| item.duration(range));
    let samples = or(table.get("samples"), || 1, |item| item.number(1..=1000));
    let kind = check::question(&table, None, services, &[]);
    let (when, kind, samples) = (when?, kind?, samples?);
    if let Some(item) = table.get("since").filter(|_| !matches!(kind, CheckKind::Log(_))) {
        item.add("only a log has earlier lines");
    }
    match &kind {
        CheckKind::Http(_) | CheckKind::Tcp(_) if when == When::Holds && !table.has("expect") => {
            table.add(
                "probe: without expect, a healthy app would be the symptom: set expect, or when = \
                 \"fails\"",
            );
            return None;
        }
        CheckKind::Metric(metric) => {
            let all = metric.every.saturating_mul(u32::try_from(samples).unwrap_or(u32::MAX));
            if all > MOST_SAMPLING {
                let most = show_duration(MOST_SAMPLING);
                table.add(format!("probe: {samples} samples take longer than {most}"));
                return None;
            }
        }
        _ => {
            if let Some(item) = table.get("samples") {
                item.add("only a metric has samples");
            }
        }
    }
    let samples = u32::try_from(samples).unwrap_or(u32::MAX);
    Some(SymptomProbe { kind, when, since: since?, samples })
}

fn action(item: &Item<'_>) -> Option<RuleAction> {
    let text = item.text()?;
    if let Some(ids) = text.strip_prefix(FLAGS) {
        let ids = ids.split(',').map(|id| item.id_of::<ComponentId>(id.trim()));
        return ids.collect::<Option<Vec<_>>>().map(RuleAction::Flags);
    }
    match text {
        "code" => Some(RuleAction::Code),
        "full" => Some(RuleAction::Full),
        "fix-forward" => Some(RuleAction::FixForward),
        "flags" => {
            item.add("needs a component: write \"flags:\" and its id, such as \"flags:QW-001\"");
            None
        }
        _ => {
            let hint = nearest(text, WORDS.into_iter().chain(["flags:ID"]));
            item.add(format_args!("{} is not known{hint}", quoted(text)));
            None
        }
    }
}

fn timeline(item: &Item<'_>) -> Option<Timeline> {
    let text = item.line()?.to_owned();
    let within = duration(&text).ok();
    Some(Timeline { text, within })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::parse;
    use super::super::tests::{accepts, messages};
    use super::*;

    const AROUND: &str = "[service.web]\nmanager = \"process\"\ncommand = [\"x\"]\n\
    [flags]\nfile = \".env\"\n\
    [component.QW-001]\npaths = [\"a\"]\nflag = { name = \"UPLOADS\", off = \"false\" }\n\
    [component.docs]\npaths = [\"docs\"]\n";

    fn rule(rest: &str) -> String {
        format!("{AROUND}[[rule]]\n{rest}")
    }

    fn with(probe: &str) -> String {
        rule(&format!(
            "symptom = \"uploads fail\"\nprobe = {probe}\nseverity = \"P0\"\naction = \"code\"\n"
        ))
    }

    fn parsed(text: &str) -> Rule {
        match parse(&format!("[app]\nname = \"shop\"\n{text}"), "gitroll.toml") {
            Ok(mut config) => config.rules.remove(0),
            Err(error) => panic!("{:#?}", error.problems),
        }
    }

    #[track_caller]
    fn wrong(text: &str, wanted: &str) {
        let found = messages(text);
        assert!(
            found.iter().any(|m| m.contains(wanted)),
            "{text}\nwanted {wanted}\nfound {found:#?}"
        );
    }

    #[test]
    fn a_rule_is_read() {
        let text = rule(
            "symptom = \"latency above 500 ms\"\nprobe = { metric = { http = \"http://h/\", pointer = \"/p95\" }, \
         expect = { above = 500 }, samples = 3 }\nseverity = \"P1\"\naction = \"flags:QW-001\"\n\
         timeline = \"30m\"\nwhy = \"users feel it\"\n",
        );
        let read = parsed(&text);
        assert_eq!(read.symptom, "latency above 500 ms");
        assert_eq!(
            (read.severity, read.action.to_string().as_str()),
            (Severity::P1, "flags:QW-001")
        );
        assert_eq!(read.timeline.unwrap().within, Some(Duration::from_secs(1800)));
        assert_eq!(read.why.as_deref(), Some("users feel it"));
        assert!(matches!(read.probe.kind, CheckKind::Metric(_)) && read.probe.samples == 3);
        assert_eq!(read.probe.when, When::Holds);

        let text =
            with("{ log = { service = \"web\" }, expect = { must = \"207\" }, since = \"5m\" }");
        let read = parsed(&format!("{text}timeline = \"immediately\"\n"));
        assert_eq!(
            (read.probe.since.as_secs(), read.timeline.clone().unwrap().within),
            (300, None)
        );
        assert_eq!(read.timeline.unwrap().text, "immediately");
        let usual = parsed(&with("{ log = { file = \"/x\" }, expect = { must = \"207\" } }"));
        assert_eq!((usual.probe.since.as_secs(), usual.timeline), (900, None));
        for action in ["code", "full", "fix-forward"] {
            let text = with("{ command = [\"x\"] }").replace("\"code\"", &format!("{action:?}"));
            assert_eq!(parsed(&text).action.to_string(), action);
        }
    }

    #[test]
    fn an_app_that_is_well_is_no_symptom() {
        for probe in ["http = \"http://h/\"", "tcp = \"h:1\""] {
            wrong(&with(&format!("{{ {probe} }}")), "a healthy app would be the symptom");
            accepts(&with(&format!("{{ {probe}, when = \"fails\" }}")));
        }
        accepts(&with("{ http = \"http://h/\", expect = { status = 207 } }"));
        accepts(&with("{ file = \"core\" }"));
        accepts(&with("{ command = [\"./corrupt.sh\"], expect = { exit = 3 } }"));
    }

    #[test]
    fn a_rule_over_time_may_act_by_itself_on_flags_and_code_where_a_check_confirms_it() {
        const CHECK: &str = "[[check]]\nname = \"api\"\nhttp = \"http://h/\"\n";
        let fails = with("{ http = \"http://h/\", when = \"fails\" }");
        let usual = parsed(&fails);
        assert_eq!((usual.lasts, usual.attempts), (Duration::ZERO, 1));
        assert_eq!((usual.every, usual.auto), (None, false));
        let timed = format!("{fails}for = \"5m\"\nattempts = 3\nevery = \"30s\"\nauto = true\n");
        let read = parsed(&format!("{timed}{CHECK}"));
        assert_eq!((read.lasts.as_secs(), read.attempts), (300, 3));
        assert_eq!((read.every.unwrap().as_secs(), read.auto), (30, true));
        wrong(&timed, "auto: there is no [[check]]");
        for action in ["full", "fix-forward"] {
            let text = timed.replace("\"code\"", &format!("{action:?}"));
            wrong(&format!("{text}{CHECK}"), "auto: only flags and code go back by themselves");
        }
        wrong(&format!("{fails}for = \"0s\"\n"), "for");
        wrong(&format!("{fails}attempts = 0\n"), "attempts");
        let text = format!(
            "{fails}[watch]\nevery = \"1s\"\nannounce = \"0s\"\nper_day = 0\n[soak]\nafter_back = \"15m\"\n"
        );
        let config = parse(&format!("[app]\nname = \"shop\"\n{text}"), "gitroll.toml").unwrap();
        let watch = &config.watch;
        assert_eq!((watch.every.as_secs(), watch.announce, watch.per_day), (1, Duration::ZERO, 0));
        assert_eq!((watch.within.as_secs(), watch.start_grace.as_secs()), (3600, 180));
        assert_eq!(config.soak.after_back.unwrap().as_secs(), 900);
        wrong(&format!("{fails}[watch]\nanounce = \"1m\"\n"), "did you mean \"announce\"?");
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for key in ["symptom", "probe", "severity", "action"] {
            wrong(&rule("x = 1\n"), &format!("[[rule]] needs {key:?}"));
        }
        let action = |action: &str| {
            with("{ command = [\"x\"] }").replace("\"code\"", &format!("{action:?}"))
        };
        wrong(&action("flags:QW-01"), "there is no [component.QW-01] (did you mean \"QW-001\"?)");
        wrong(&action("flags:QW-001,QW-01"), "there is no [component.QW-01]");
        wrong(&action("flags:QW-001,"), "is not a valid component id");
        wrong(&action("flags:docs"), "[component.docs] has no flag to switch off");
        wrong(&action("flags"), "such as \"flags:QW-001\"");
        wrong(&action("flags:"), "is not a valid component id");
        wrong(&action("cod"), "did you mean \"code\"?");
        wrong(&with("{ command = [\"x\"] }").replace("P0", "P4"), "\"P4\" is not known");
        wrong(&with("{ comand = [\"x\"] }"), "probe needs one of");
        wrong(&with("{ tcp = \"h:1\", file = \"x\" }"), "probe has both \"tcp\" and \"file\"");
        wrong(&with("{ command = [\"x\"], passes = 3 }"), "unknown key \"passes\" in probe");
        wrong(&with("{ command = [\"x\"], when = \"fail\" }"), "did you mean \"fails\"?");
        wrong(&with("{ command = [\"x\"], since = \"5m\" }"), "only a log has earlier lines");
        wrong(&with("{ command = [\"x\"], samples = 3 }"), "only a metric has samples");
        wrong(
            &with("{ log = { service = \"wb\" }, expect = { must = \"x\" } }"),
            "did you mean \"web\"?",
        );
        let metric = "metric = { http = \"http://h/\", pointer = \"/p\" }, expect = { above = 1 }";
        wrong(
            &with(&format!("{{ {metric}, samples = 20, every = \"1m\" }}")),
            "20 samples take longer than 10m",
        );
        wrong(&with(&format!("{{ {metric}, since = \"5m\" }}")), "only a log");
        wrong(
            &format!("{}why = \"a\\nb\"\n", with("{ command = [\"x\"] }")),
            "why: must be one line",
        );
        wrong(&format!("{AROUND}[rule]\nsymptom = \"x\"\n"), "write [[rule]] with double brackets");
    }
}
