//! What `sudo -l` says of a command: whether it runs without a password. Pure, but for names of the same file.

use std::path::Path;

/// Whether the last rule of a list that is about this command asks for no password. That a rule allows it is not
/// asked here: `sudo -l COMMAND` succeeds for one that wants a password as well.
///
/// What cannot be told is taken for a rule that wants one.
pub(super) fn needs_no_password(list: &str, program: &Path, words: &[&str]) -> bool {
    let mut free = false;
    let never = list
        .lines()
        .take_while(|line| !rule(line))
        .any(|line| line.split(',').any(|setting| setting.trim() == "!authenticate"));
    for line in list.lines().filter(|line| rule(line)) {
        let Some((users, commands)) = line.trim_start()[1..].split_once(')') else { continue };
        let mut users = users.split(':').next().unwrap_or_default().split(',').map(str::trim);
        let as_root = users.any(|user| matches!(user, "root" | "ALL" | "#0"));
        let mut asks = true;
        for command in split(commands) {
            let command = without_tags(command.trim(), &mut asks);
            let matched = matches(command, program, words);
            match matched {
                Matched::Yes if as_root => free = !asks,
                Matched::Perhaps if asks => free = false,
                Matched::Yes | Matched::Perhaps | Matched::No => {}
            }
        }
    }
    free || (never && list.lines().any(rule))
}

/// A rule begins with the users as whom it allows a command.
fn rule(line: &str) -> bool {
    line.starts_with([' ', '\t']) && line.trim_start().starts_with('(')
}

/// At commas that no backslash keeps.
fn split(commands: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut kept = false;
    for c in commands.chars() {
        match (kept, c, parts.last_mut()) {
            (false, ',', _) => parts.push(String::new()),
            (_, _, Some(part)) => {
                if c != '\\' || kept {
                    part.push(c);
                }
            }
            (_, _, None) => {}
        }
        kept = c == '\\' && !kept;
    }
    parts
}

/// A command without what is said of it; `asks` is whether one of these and those before it said so.
fn without_tags<'a>(mut command: &'a str, asks: &mut bool) -> &'a str {
    while let Some((tag, rest)) = command.split_once(':') {
        if tag.is_empty() || !tag.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            break;
        }
        match tag {
            "NOPASSWD" => *asks = false,
            "PASSWD" => *asks = true,
            _ => {}
        }
        command = rest.trim_start();
    }
    command
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matched {
    Yes,
    No,
    /// A rule that is not understood here.
    Perhaps,
}

fn matches(command: &str, program: &Path, words: &[&str]) -> Matched {
    let (path, wanted) = match command.split_once(' ') {
        None => (command, None),
        Some((path, wanted)) => (path, Some(wanted.trim())),
    };
    if command == "ALL" {
        return Matched::Yes;
    }
    if !path.starts_with('/') || path.contains(['*', '?', '[']) || path.ends_with('/') {
        return Matched::Perhaps;
    }
    // `/bin` may be `/usr/bin`.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if Path::new(path) != program && real(Path::new(path)) != real(program) {
        return Matched::No;
    }
    match wanted {
        None => Matched::Yes,
        Some(wanted) if wanted.contains(['*', '?', '[', '^']) => Matched::Perhaps,
        Some(wanted) if wanted.split_whitespace().eq(words.iter().copied()) => Matched::Yes,
        Some(_) => Matched::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_about_a_command_says_whether_it_asks() {
        let head = "Matching Defaults entries for ada on box:\n    env_reset, secure_path=/usr/bin\n\n\
            User ada may run the following commands on box:\n";
        let restart = "/opt/systemctl restart web.service";
        let table = [
            (format!("    (root) NOPASSWD: {restart}, /opt/systemctl start web.service\n"), true),
            (format!("    (root) NOPASSWD: /usr/bin/true, {restart}\n"), true),
            (format!("    (root) SETENV: NOPASSWD: {restart}\n"), true),
            ("    (ALL : ALL) NOPASSWD: ALL\n".to_owned(), true),
            ("    (root) NOPASSWD: /opt/systemctl\n".to_owned(), true),
            (format!("    (ALL) ALL\n    (root) NOPASSWD: {restart}\n"), true),
            (
                "    (ALL) ALL\n    (root) NOPASSWD: /usr/bin/true, /opt/systemctl stop a\\:b.service, \
                 PASSWD: /bin/ls, SETENV: NOPASSWD: /opt/systemctl restart web.service\n"
                    .to_owned(),
                true,
            ),
            ("    (ALL) ALL\n    (root) NOPASSWD: /usr/bin/true\n".to_owned(), false),
            (format!("    (root) NOPASSWD: {restart}\n    (ALL) ALL\n"), false),
            (format!("    (root) NOPASSWD: /usr/bin/true, PASSWD: {restart}\n"), false),
            (
                format!("    (root) NOPASSWD: {restart}\n    (root) /opt/systemctl restart *\n"),
                false,
            ),
            (format!("    (deploy) NOPASSWD: {restart}\n"), false),
            ("    (root) NOPASSWD: /opt/systemctl restart queue.service\n".to_owned(), false),
            ("Sorry, user ada may not run sudo on box.\n".to_owned(), false),
        ];
        for (rules, wanted) in table {
            let list = format!("{head}{rules}");
            let words = ["restart", "web.service"];
            assert_eq!(
                needs_no_password(&list, Path::new("/opt/systemctl"), &words),
                wanted,
                "{rules}"
            );
        }
        let list = head.replace("env_reset", "!authenticate") + "    (ALL) ALL\n";
        assert!(needs_no_password(&list, Path::new("/opt/systemctl"), &["restart", "a"]));
    }
}
