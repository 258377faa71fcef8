//! What of the caller's environment builds may see: how to reach a network and registries, and nothing else. The list
//! is in `docs/gitroll-toml.md`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::model::looks_secret;

const PASSED: [&str; 39] = [
    // Proxies.
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    // Certificates.
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    // Registries.
    "BUN_CONFIG_REGISTRY",
    "YARN_NPM_REGISTRY_SERVER",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "GOPROXY",
    "GOPRIVATE",
    "GONOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    // What they are logged in to with.
    "SSH_AUTH_SOCK",
    "NPM_TOKEN",
    "NPM_AUTH_TOKEN",
    "NODE_AUTH_TOKEN",
    "BUN_CONFIG_TOKEN",
    "YARN_NPM_AUTH_TOKEN",
    "COMPOSER_AUTH",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "GITLAB_TOKEN",
    "CI_JOB_TOKEN",
];

const PASSED_BY_PREFIX: [&str; 5] =
    ["BUNDLE_", "CARGO_REGISTRIES_", "POETRY_HTTP_BASIC_", "POETRY_PYPI_TOKEN_", "UV_INDEX_"];

const NPM: &str = "npm_config_";

/// Settings of npm that say where it acts, not how. `npm run` sets some for what it starts: an install in the stage
/// would go elsewhere.
const PLACES_OF_NPM: [&str; 14] = [
    "dir",
    "dry_run",
    "global",
    "global_prefix",
    "include_workspace_root",
    "init_module",
    "local_prefix",
    "location",
    "node_gyp",
    "npm_version",
    "prefix",
    "user_agent",
    "workspace",
    "workspaces",
];

/// Settings of npm under which an install makes something else.
const CONTENT_OF_NPM: [&str; 21] = [
    "also",
    "arch",
    "build_from_source",
    "cpu",
    "dev",
    "ignore_scripts",
    "include",
    "install_links",
    "install_strategy",
    "legacy_peer_deps",
    "libc",
    "node_linker",
    "omit",
    "only",
    "optional",
    "os",
    "platform",
    "production",
    "runtime",
    "shamefully_hoist",
    "target",
];

/// Variables that a session, a terminal or this program's own tools have for themselves.
const OF_THE_SESSION: [&str; 48] = [
    "_",
    "CI",
    "COLORTERM",
    "COLUMNS",
    "DEBIAN_FRONTEND",
    "DISPLAY",
    "EDITOR",
    "FORCE_COLOR",
    "HISTCONTROL",
    "HISTFILE",
    "HISTFILESIZE",
    "HISTSIZE",
    "HOME",
    "HOSTNAME",
    "INFOPATH",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LANG",
    "LANGUAGE",
    "LESS",
    "LINES",
    "LOGNAME",
    "LS_COLORS",
    "MAIL",
    "MANAGERPID",
    "MANPATH",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "MOTD_SHOWN",
    "NO_COLOR",
    "NOTIFY_SOCKET",
    "OLDPWD",
    "PAGER",
    "PATH",
    "PROMPT_COMMAND",
    "PS1",
    "PWD",
    "SHELL",
    "SHLVL",
    "STY",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "VISUAL",
    "WAYLAND_DISPLAY",
    "WINDOWID",
    "XAUTHORITY",
];

const OF_THE_SESSION_BY_PREFIX: [&str; 16] = [
    "BASH_", "DBUS_", "GITROLL_", "GIT_", "GPG_", "LC_", "LESS", "NVM_", "PM2_", "SSH_", "SUDO_",
    "SYSTEMD_", "TERM_", "TMUX", "XDG_", "npm_",
];

/// The variables of this process that builds see, and those named in `more`.
pub fn for_builds(more: &[String]) -> BTreeMap<OsString, OsString> {
    std::env::vars_os().filter(|(name, _)| passed(name, more)).collect()
}

/// The names of the variables of this process that builds do not see and that no session has for itself, sorted.
pub fn kept_from_builds(more: &[String]) -> Vec<String> {
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let mut names: Vec<String> = set
        .filter(|(name, _)| !passed(name, more))
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| !of_the_session(name))
        .collect();
    names.sort();
    names
}

/// The variables of builds under which the same commands make something else.
pub fn that_make_a_difference() -> BTreeMap<String, String> {
    let all = std::env::vars_os().filter_map(|(name, value)| {
        let name = of_npm(name.to_str()?)?;
        let value = value.into_string().ok().filter(|value| !value.is_empty())?;
        CONTENT_OF_NPM.contains(&name.as_str()).then_some((name, value))
    });
    all.collect()
}

/// Whether such a variable holds what someone logs in with.
pub fn holds_a_secret(name: &str) -> bool {
    looks_secret(name)
        || name.contains("_auth")
        || name.contains("_AUTH")
        || name.starts_with("BUNDLE_")
}

fn passed(name: &OsStr, more: &[String]) -> bool {
    let Some(text) = name.to_str() else { return false };
    PASSED.contains(&text)
        || PASSED_BY_PREFIX.iter().any(|prefix| text.starts_with(prefix))
        || more.iter().any(|more| more.as_bytes() == name.as_bytes())
        || of_npm(text).is_some_and(|setting| !PLACES_OF_NPM.contains(&setting.as_str()))
}

/// The setting of npm that a variable is for: npm reads `NPM_CONFIG_LOCAL-PREFIX` as `local-prefix`, too.
fn of_npm(name: &str) -> Option<String> {
    let prefix = name.get(..NPM.len())?;
    prefix
        .eq_ignore_ascii_case(NPM)
        .then(|| name[NPM.len()..].to_ascii_lowercase().replace('-', "_"))
}

fn of_the_session(name: &str) -> bool {
    OF_THE_SESSION.contains(&name)
        || OF_THE_SESSION_BY_PREFIX.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_see_the_way_to_registries_and_nothing_that_says_where_to_act() {
        for (name, wanted) in [
            ("HTTPS_PROXY", true),
            ("NODE_EXTRA_CA_CERTS", true),
            ("npm_config_registry", true),
            ("NPM_CONFIG_CAFILE", true),
            ("npm_config_//registry.example.org/:_authToken", true),
            ("npm_config_local_prefix", false),
            ("NPM_CONFIG_PREFIX", false),
            ("npm_config_global", false),
            ("npm_package_name", false),
            ("npm_lifecycle_event", false),
            ("GIT_DIR", false),
            ("GIT_INDEX_FILE", false),
            ("NODE_OPTIONS", false),
            ("SENTRY_AUTH_TOKEN", false),
            ("ACME_TOKEN", true),
        ] {
            assert_eq!(passed(OsStr::new(name), &["ACME_TOKEN".to_owned()]), wanted, "{name}");
        }
        assert!(of_the_session("LC_ALL") && !of_the_session("VITE_API_URL"));
        assert!(holds_a_secret("npm_config_//registry.example.org/:_authToken"));
    }
}
