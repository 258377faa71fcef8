#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::rewrite::{RewriteOptions, Rewritten, rewrite};
use super::*;
use crate::config::UpstreamBranch;

/// A host with an app at `srv/shop`, everything below one temporary directory.
struct Host {
    dir: tempfile::TempDir,
    app: App,
    places: Places,
}

fn host() -> Host {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let app = App { git_dir: root.join("srv/shop/.git"), ..app(&root.join("srv/shop")) };
    let places = Places {
        etc: root.join("etc"),
        spool: root.join("spool"),
        home: root.join("home"),
        crontab: None,
    };
    for made in [&app.git_dir, &places.etc, &places.spool, &places.home] {
        fs::create_dir_all(made).unwrap();
    }
    Host { dir, app, places }
}

fn app(top: &Path) -> App {
    App {
        top: top.to_owned(),
        git_dir: top.join(".git"),
        name: "shop".to_owned(),
        upstream: Some(UpstreamBranch { remote: "origin".to_owned(), branch: "main".to_owned() }),
        services: vec![("web".to_owned(), Some("shop-web".to_owned()))],
        user: "app".to_owned(),
        host: "web-1".to_owned(),
        program: "gitroll".to_owned(),
    }
}

impl Host {
    fn top(&self) -> String {
        self.app.top.display().to_string()
    }

    /// Writes a file below the root; `TOP` stands for the app's tree.
    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.dir.path().canonicalize().unwrap().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text.replace("TOP", &self.top())).unwrap();
        path
    }

    fn find(&self) -> Leftovers {
        Leftovers::find(&self.app, &self.places)
    }

    /// `place:line replacement`, paths below the root shortened.
    fn told(&self) -> Vec<String> {
        let root = self.dir.path().canonicalize().unwrap().display().to_string();
        let tell = |l: Leftover| {
            let new = l.replacement.unwrap_or_else(|| "(remove)".to_owned());
            let line = l.line.map_or("?".to_owned(), |line| line.to_string());
            format!("{}:{line} {new}", l.place).replace(&self.top(), "TOP").replace(&root, "")
        };
        self.find().found.into_iter().map(tell).collect()
    }
}

#[test]
fn one_line_of_shell_becomes_one_deploy_and_the_rest_of_it_stays() {
    let cases = [
        ("git pull", "gitroll deploy --yes"),
        ("cd /srv/shop && git pull && pm2 reload web", "cd /srv/shop && gitroll deploy --yes"),
        ("cd /srv/shop; git pull; npm ci; pm2 reload all", "cd /srv/shop; gitroll deploy --yes"),
        ("git fetch && git reset --hard origin/main", "gitroll deploy --yes"),
        ("git fetch --all && git checkout -f main && npm run build", "gitroll deploy --yes"),
        ("git fetch && git checkout \"$TAG\"", "git fetch && gitroll deploy \"$TAG\" --yes"),
        ("git pull origin main --ff-only", "gitroll deploy --yes"),
        (
            "git pull origin release && pm2 reload web",
            "git fetch origin && gitroll deploy origin/release --yes",
        ),
        (
            "git fetch && git checkout release && git pull",
            "git fetch origin && gitroll deploy origin/release --yes",
        ),
        ("git checkout package-lock.json && git pull", "gitroll deploy --yes"),
        ("git reset --hard && git pull && pm2 reload w", "gitroll deploy --yes"),
        ("git -C /srv/shop pull", "gitroll -C /srv/shop deploy --yes"),
        ("/usr/bin/git pull -q && /opt/bin/pm2 restart 0", "gitroll deploy --yes"),
        ("sudo -u app git pull && sudo -u app pm2 reload web", "sudo -u app gitroll deploy --yes"),
        (
            "git pull && npx prisma migrate deploy && pm2 reload w",
            "gitroll deploy --yes && npx prisma migrate deploy",
        ),
        (
            "git pull >> /var/log/d.log 2>&1 && pm2 reload w >> /var/log/d.log 2>&1",
            "gitroll deploy --yes >> /var/log/d.log 2>&1",
        ),
        ("git pull | grep -qv 'up to date' && pm2 reload w", "gitroll deploy --yes"),
        ("git pull || exit 1; npm ci || exit 1; pm2 reload w", "gitroll deploy --yes || exit 1"),
        ("(cd /srv/shop && git pull && pm2 reload w)", "(cd /srv/shop && gitroll deploy --yes)"),
        ("if git pull; then npm ci; fi", "if gitroll deploy --yes; then true; fi"),
        (
            "ssh app@web-1 'cd /srv/shop && git pull && pm2 reload w'",
            "ssh app@web-1 'cd /srv/shop && gitroll deploy --yes'",
        ),
        (
            "ssh -p 22 web-1 \"git pull && pm2 reload w\" && echo ok",
            "ssh -p 22 web-1 \"gitroll deploy --yes\" && echo ok",
        ),
        ("ssh web-1 git -C /srv/shop pull", "ssh web-1 gitroll -C /srv/shop deploy --yes"),
        (
            "flock -n /tmp/l sh -c 'git pull; pm2 reload w'",
            "flock -n /tmp/l sh -c 'gitroll deploy --yes'",
        ),
        ("timeout 60 git pull", "timeout 60 gitroll deploy --yes"),
        ("npm ci && pm2 reload shop-web", "gitroll deploy --yes"),
        ("pm2 reload shop-web", "gitroll service restart web"),
        ("pm2 startOrReload ecosystem.config.js --env production", "gitroll service restart"),
        ("pm2 deploy production", "ssh app@web-1 'cd /srv/shop && gitroll deploy --yes'"),
        ("git pull && sudo systemctl restart shop", "gitroll deploy --yes"),
        (
            "git pull && sudo systemctl reload nginx",
            "gitroll deploy --yes && sudo systemctl reload nginx",
        ),
    ];
    let app = app(Path::new("/srv/shop"));
    let options = RewriteOptions { app: &app, program: "gitroll", quiet: false, names_dir: false };
    for (line, wanted) in cases {
        assert_eq!(rewrite(&[line], options), [Rewritten::Line(wanted.to_owned())], "{line}");
    }
}

#[test]
fn what_deploys_nothing_stays_as_it_is() {
    let cases = [
        "",
        "# git pull",
        "echo 'git pull'",
        "npm ci && npm test",
        "git fetch",
        "git status",
        "git checkout -b topic",
        "git checkout -- package-lock.json",
        "git log | grep pull",
        "pm2 logs",
        "pm2 start app.js",
        "cd /srv/shop",
        "node server.js",
        "git push origin main",
        "git reset HEAD~1",
        "ssh web-1 'uptime'",
        "'",
        "$(",
        "git",
        "ssh",
        "sudo -u",
    ];
    let app = app(Path::new("/srv/shop"));
    let options = RewriteOptions { app: &app, program: "gitroll", quiet: false, names_dir: false };
    for line in cases {
        assert_eq!(rewrite(&[line], options), [Rewritten::Same], "{line}");
    }
}

#[test]
fn crontabs_keep_schedule_user_and_directory() {
    let host = host();
    host.write(
        "spool/app",
        "# m h dom mon dow command\nMAILTO=ops@example.org\n\
         */5 * * * * cd TOP && git pull && pm2 reload web\n\
         */5 * * * * cd TOP2 && git pull && pm2 reload other\n\
         @daily  git -C TOP pull -q > /dev/null\n\
         0 4 * * * pm2 restart shop-web\n\
         0 4 * * * pm2 restart of-somebody-else\n\
         0 5 * * * TOP/backup.sh\n\
         broken line\n",
    );
    host.write("etc/crontab", "17 3 * * 1-5\tapp  cd TOP && git reset --hard origin/main\n");
    host.write("etc/cron.d/shop", "@hourly root sudo -u app sh -c 'cd TOP && git pull'\n");
    let wanted = [
        "/etc/cron.d/shop:1 @hourly root sudo -u app sh -c 'cd TOP && gitroll deploy --yes --quiet'",
        "/etc/crontab:1 17 3 * * 1-5\tapp  cd TOP && gitroll deploy --yes --quiet",
        "/spool/app:3 */5 * * * * cd TOP && gitroll deploy --yes --quiet",
        "/spool/app:5 @daily  gitroll -C TOP deploy --yes --quiet > /dev/null",
        "/spool/app:6 0 4 * * * gitroll -C TOP service restart web --quiet",
    ];
    assert_eq!(host.told(), wanted);
}

#[test]
fn the_directory_is_known_by_its_links_and_from_home() {
    let host = host();
    std::os::unix::fs::symlink(&host.app.top, host.places.home.join("current")).unwrap();
    host.write("spool/app", "@daily cd current && git pull\n@daily cd $HOME/other && git pull\n");
    assert_eq!(host.told(), ["/spool/app:1 @daily cd current && gitroll deploy --yes --quiet"]);
}

#[test]
fn a_script_that_cron_calls_is_looked_into_where_it_is_about_the_app() {
    let host = host();
    let script = "#!/bin/bash\nset -e\ncd TOP\ngit pull\nnpm ci\npm2 reload web\necho done\n";
    let ours = host.write("opt/deploy.sh", script);
    let theirs = host.write("opt/other.sh", &script.replace("TOP", "/srv/other"));
    host.write("etc/cron.daily/shop", script);
    let line = |path: &Path| format!("*/5 * * * * {} >/dev/null\n", path.display());
    let program = host.write("opt/program", &"\0".repeat(300_000));
    host.write("spool/app", &(line(&ours) + &line(&theirs) + &line(&program)));
    assert_eq!(host.find().unread, Vec::<String>::new());
    let each = |place: &str| {
        [
            format!("{place}:4 gitroll deploy --yes"),
            format!("{place}:5 (remove)"),
            format!("{place}:6 (remove)"),
        ]
    };
    assert_eq!(host.told(), [each("/etc/cron.daily/shop"), each("/opt/deploy.sh")].concat());
}

#[test]
fn units_that_deploy_are_found_and_a_server_does_not_deploy_itself() {
    let host = host();
    host.write(
        "etc/systemd/system/shop-update.service",
        "[Service]\nType=oneshot\nWorkingDirectory=TOP\nExecStart=-/usr/bin/git pull\n",
    );
    host.write(
        "etc/systemd/system/shop.service",
        "[Service]\nWorkingDirectory=TOP\nExecStartPre=/usr/bin/git pull\nExecStart=/usr/bin/node server.js\n",
    );
    host.write("etc/systemd/system/other.service", "[Service]\nExecStart=/usr/bin/git pull\n");
    host.write(
        "etc/systemd/system/pm2-app.service",
        "[Service]\nUser=app\nExecStart=/bin/pm2 resurrect\nExecReload=/bin/pm2 reload all\n",
    );
    host.write(
        "home/.config/systemd/user/update.service",
        "[Service]\nExecStart=/bin/sh -c 'cd TOP && git pull \\\n  && pm2 reload web'\n",
    );
    let wanted = [
        "/etc/systemd/system/shop-update.service:4 ExecStart=-gitroll deploy --yes",
        "/etc/systemd/system/shop.service:3 (remove)",
        "/home/.config/systemd/user/update.service:2 ExecStart=/bin/sh -c 'cd TOP && gitroll deploy --yes'",
    ];
    assert_eq!(host.told(), wanted);
}

#[test]
fn scripts_hooks_and_package_json_of_the_tree_are_found() {
    let host = host();
    host.write(
        "srv/shop/package.json",
        "{\n  \"name\": \"shop\",\n  \"scripts\": {\n    \"start\": \"node server.js\",\n    \
         \"deploy\": \"git pull && npm ci && pm2 reload \\\"shop-web\\\"\"\n  }\n}\n",
    );
    host.write(
        "srv/shop/deploy.sh",
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\nif true; then\n  git pull\nfi\n",
    );
    host.write("srv/shop/bin/up", "#!/usr/bin/env bash\ngit pull && \\\n  pm2 reload web\n");
    host.write("srv/shop/bin/tool.js", "git pull\n");
    host.write("srv/shop/.git/hooks/post-merge", "#!/bin/sh\nnpm ci && pm2 reload web\n");
    host.write("srv/shop/.git/hooks/post-update.sample", "#!/bin/sh\ngit pull\n");
    let wanted = [
        ".git/hooks/post-merge:2 gitroll -C TOP deploy --yes",
        "bin/up:2 gitroll deploy --yes",
        "deploy.sh:4   gitroll deploy --yes",
        "package.json:5 \"deploy\": \"gitroll deploy --yes\"",
    ];
    assert_eq!(host.told(), wanted);
}

#[test]
fn workflows_keep_their_shape_and_the_runners_own_steps() {
    let host = host();
    host.write(
        "srv/shop/.github/workflows/deploy.yml",
        "jobs:\n  deploy:\n    steps:\n      - uses: actions/checkout@v4\n      - run: npm ci\n      \
         - name: git pull on the server\n        run: ssh app@web-1 'cd TOP && git pull && pm2 reload web'\n      \
         - run: |\n          ssh app@web-1 << 'EOF'\n            cd TOP\n            git pull\n            \
         npm ci\n            pm2 reload web\n          EOF\n",
    );
    host.write("srv/shop/.github/workflows/test.yml", "      - run: git pull --rebase\n");
    host.write(
        "srv/shop/.gitlab-ci.yml",
        "deploy:\n  script:\n    - npm ci\n    - 'ssh $HOST \"cd TOP; git pull; pm2 reload web\"'\n",
    );
    let wanted = [
        ".github/workflows/deploy.yml:7         run: ssh app@web-1 'cd TOP && gitroll deploy --yes'",
        ".github/workflows/deploy.yml:11             gitroll deploy --yes",
        ".github/workflows/deploy.yml:12 (remove)",
        ".github/workflows/deploy.yml:13 (remove)",
        ".gitlab-ci.yml:4     - 'ssh $HOST \"cd TOP; gitroll deploy --yes\"'",
    ];
    assert_eq!(host.told(), wanted);
}

#[test]
fn hostile_huge_and_unreadable_files_do_no_harm() {
    let host = host();
    let secret = host.write("home/secret.sh", "#!/bin/sh\ngit pull\n");
    fs::create_dir_all(host.app.top.join("bin")).unwrap();
    std::os::unix::fs::symlink(&secret, host.app.top.join("bin/out.sh")).unwrap();
    std::os::unix::fs::symlink(&host.places.home, host.app.top.join("scripts")).unwrap();
    host.write("srv/shop/huge.sh", &("#!/bin/sh\n".to_owned() + &"git pull\n".repeat(40_000)));
    host.write("srv/shop/long.sh", &format!("#!/bin/sh\ngit pull {}\n", "x".repeat(5_000)));
    host.write("srv/shop/package.json", "{ \"scripts\": [ \"git pull\" ");
    fs::write(host.app.top.join("binary.sh"), b"#!/bin/sh\ngit pull\n\0").unwrap();
    fs::write(host.app.top.join("odd.sh"), b"#!/bin/sh\necho \xff\x1b[31m && git pull\n").unwrap();
    fs::create_dir_all(host.places.etc.join("crontab")).unwrap();
    fs::write(host.places.spool.join("app"), "* * * *\n@\n%\n\u{202e} git pull\n* * * * * ")
        .unwrap();
    let found = host.find();
    let [odd] = found.found.as_slice() else { panic!("{found:?}") };
    assert_eq!(odd.place, "odd.sh");
    assert_eq!(odd.replacement.as_deref(), Some("echo \u{fffd}\u{1b}[31m && gitroll deploy --yes"));
    assert_eq!(found.unread.len(), 1, "{:?}", found.unread);
    assert!(found.unread[0].ends_with("srv/shop/huge.sh: larger than 256 KiB"));
}

#[test]
fn what_may_not_be_read_is_named() {
    let host = host();
    let path = host.write("etc/cron.d/shop", "@daily app cd TOP && git pull\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let found = host.find();
    // Root reads everything.
    if rustix::process::geteuid().is_root() {
        assert_eq!(found.found.len(), 1);
    } else {
        assert!(found.unread[0].ends_with("cron.d/shop: Permission denied (os error 13)"));
    }
}

#[test]
fn a_crontab_that_cannot_be_read_is_listed_by_its_own_program() {
    let mut host = host();
    let program = host
        .write("bin/crontab", "#!/bin/sh\n[ \"$*\" = -l ] && echo '@daily cd TOP && git pull'\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    host.places.crontab = Some(program);
    assert_eq!(host.told(), ["crontab -l:1 @daily cd TOP && gitroll deploy --yes --quiet"]);
}

#[test]
fn no_more_is_listed_than_anybody_reads() {
    let host = host();
    host.write("srv/shop/many.sh", &("#!/bin/sh\n".to_owned() + &"git pull\n".repeat(500)));
    assert_eq!(host.find().found.len(), MOST);
}
