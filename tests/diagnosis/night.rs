//! What a newcomer met at night: versions that were tried in vain, flags that do not help, settings, half a build.

use super::*;

/// `back` that ends well, past `1.2.0`, which fails as well.
fn past_a_version_that_fails(s: &Scenario<'_>) {
    release(s, "1.1.0");
    release(s, "1.2.0");
    release(s, "1.3.0");
    fails(s, "1.2.0", "the price list is empty");
    fails(s, "1.3.0", "no such column: guest");
    s.host.gitroll(&["back", "--yes", "--reason", "orders answer 500"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn a_version_that_was_tried_in_vain_is_passed_over_until_somebody_names_it() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    past_a_version_that_fails(&s);
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("because: orders answer 500").stdout_lacks("mark bad");
    // It is no way back from a later one either.
    release(&s, "1.4.0");
    fails(&s, "1.1.0", "the cart is empty");
    let targets = host.gitroll(&["targets"]);
    targets.exit(0).stdout_has("failed when it was tried (#");
    fails(&s, "1.4.0", "no such column: guest");
    host.gitroll(&["back", "--plan"]).exit(0).stderr_has("to       v1.1.0");
    let back = host.gitroll(&["back", "--yes"]);
    back.exit(0).stderr_has("the cart is empty").never_says("the price list is empty");
    s.serves("1.0.0");
    // What the last rollback left is returned to by its undo, and that is what is named first.
    let refused = host.gitroll(&["back", "--to", "v1.4.0", "--yes"]);
    refused.exit(10);
    assert_eq!(named(&refused)[0], "gitroll back --undo", "{}", refused.transcript());
    let plan = host.gitroll(&["back", "--to", "v1.2.0", "--plan"]);
    plan.exit(0).stderr_has("failed when it was tried").stderr_has("it was named explicitly");
    // What was mended and observed serving counts again.
    fs::remove_file(host.path("fails-1.2.0")).expect("it is there");
    host.gitroll(&["back", "--to", "v1.2.0", "--yes"]).exit(0);
    s.serves("1.2.0");
    host.gitroll(&["back", "--to", "v1.0.0-stable", "--yes", "--no-verdict"]).exit(0);
    let targets = host.gitroll(&["targets", "--json"]).exit(0).json().to_string();
    assert_eq!(targets.matches("failed-when-tried").count(), 1, "{targets}");
}

#[test]
fn a_candidate_with_the_same_broken_part_is_passed_over_for_one_that_has_another() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.app.write("search/index.js", BAD_SEARCH);
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        release(&s, version);
    }
    fs::write(host.path("search-fails"), "").expect("it is writable");
    let back = host.gitroll(&["back", "--yes"]);
    back.exit(0).says("passes over v1.1.0: it has the same SRCH as v1.2.0");
    s.serves("1.0.0");
}

#[test]
fn a_flag_that_was_switched_back_in_vain_is_not_named_again() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    release(&s, "1.1.0");
    host.gitroll(&["flags", "on", "FAST", "--yes"]).exit(0);
    fails(&s, "1.1.0", "the cart is empty");
    let next = next_of(&diagnosis(&s, "status"));
    assert_eq!(next, ["gitroll back --level flags"]);
    let tried = type_in(&s, &next[0]);
    tried.fails();
    assert_eq!(named(&tried)[0], "gitroll back", "{}", tried.transcript());
    let told = host.gitroll(&["status"]);
    told.exit(0).stdout_has("switching FAST did not help, #").stdout_lacks("--level flags");
    type_in(&s, "gitroll back").exit(0);
    s.serves("1.0.0");
}

#[test]
fn settings_that_changed_are_put_back_from_the_newest_point_before_that() {
    let host = TestEnvironment::new();
    let s = serving_with(&host, "[settings.env]\npaths = [\".env\"]\n");
    host.gitroll(&["point", "create"]).exit(0);
    std::thread::sleep(Duration::from_millis(1100));
    s.app.write(".env", "SENDER=shop-of-ours\nFAST=off\n");
    host.gitroll(&["service", "restart", "web"]).exit(1);
    let found = diagnosis(&s, "status");
    let next = next_of(&found);
    let back = "gitroll settings back env --to p1";
    assert_eq!(next[..2], [back, "gitroll settings diff env --to p1"], "{found:#}");
    host.gitroll(&["status"]).exit(0).stdout_has("(RELAY)");
    host.gitroll(&["settings", "back", "env", "--to", "p1", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_deploy_of_what_was_checked_out_by_hand_says_that_it_was() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    release(&s, "1.1.0");
    s.app.commit_version("1.2.0", Behaviour::Good);
    host.gitroll(&["deploy", "--plan"]).exit(0).never_says("moved by hand from");
    s.app.git(&["checkout", "-q", "--detach", "v1.0.0-stable"]);
    let plan = host.gitroll(&["deploy", "--plan"]);
    plan.exit(0).says("HEAD was moved by hand from v1.1.0").says("so this deploys v1.0.0-stable");
    host.gitroll(&["deploy", "v1.0.0-stable", "--plan"]).exit(0).never_says("moved by hand from");
}

#[test]
fn a_build_that_died_half_way_is_named_and_put_back_without_a_build() {
    let host = TestEnvironment::new();
    let script = "mkdir -p node_modules/left node_modules/cart && echo > node_modules/left/index.js \
                  && echo > node_modules/cart/index.js";
    let build = format!("[[build]]\nname = \"deps\"\nrun = [[\"sh\", \"-c\", \"{script}\"]]\n");
    let s = serving_with(&host, &format!("{build}outputs = [\"node_modules\"]\n"));
    s.app.write("search/index.js", &format!("require('cart');\n{GOOD_SEARCH}"));
    s.app.write(".gitignore", ".env\nnode_modules\n");
    release(&s, "1.1.0");
    fs::remove_dir_all(s.app.dir.join("node_modules/cart")).expect("it is there");
    host.gitroll(&["service", "restart", "web"]);
    let found = diagnosis(&s, "status");
    assert!(found["why"].to_string().contains("node_modules is not as it was built"), "{found:#}");
    let next = next_of(&found);
    assert!(next[0].starts_with("gitroll deploy "), "{next:?}");
    type_in(&s, &next[0]).exit(0);
    s.serves("1.1.0");
}
