//! Who comes back in an emergency is asked why only afterwards.

use crate::support::*;

fn with_a_release(host: &TestEnvironment) -> Scenario<'_> {
    let config = AppConfig::default().without_builds().settle(1, "200ms");
    let s = Scenario::serving(host, Fixture::Plain, &config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s
}

#[test]
fn the_reason_is_asked_when_it_is_over_and_recorded() {
    let host = TestEnvironment::new();
    let s = with_a_release(&host);
    let mut terminal = host.gitroll_on_terminal(&["back", "--emergency"]);
    // Nothing is asked before: it serves already.
    terminal.expect("Why was the rollback needed?");
    assert_eq!(s.app.version_served().as_deref(), Some("1.0.0"));
    terminal.answer("uploads time out");
    assert_eq!(terminal.finish().0, 0);
    host.gitroll(&["log", "-n", "2"]).exit(0).stdout_has("uploads time out");
}

#[test]
fn nobody_has_to_say_why() {
    let host = TestEnvironment::new();
    with_a_release(&host);
    let mut terminal = host.gitroll_on_terminal(&["back", "--emergency"]);
    terminal.expect("Why was the rollback needed?").answer("");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("gitroll annotate --reason"), "{screen}");
}
