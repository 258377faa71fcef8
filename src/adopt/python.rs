//! Python: pip, Poetry, uv and Pipenv; Django, Flask, FastAPI.

use std::collections::BTreeMap;

use regex::Regex;

use super::recipe::{Group, Recipe, Run, Start, variable, words};
use super::sources::Sources;
use super::work_tree::WorkTree;

/// The files that tell of Python.
pub(super) const MANIFESTS: [&str; 6] =
    ["requirements.txt", "pyproject.toml", "Pipfile", "poetry.lock", "uv.lock", "manage.py"];

/// Where an app usually is.
const ENTRIES: [&str; 12] = [
    "wsgi.py",
    "asgi.py",
    "app.py",
    "main.py",
    "server.py",
    "application.py",
    "run.py",
    "app/main.py",
    "app/app.py",
    "app/__init__.py",
    "src/main.py",
    "src/app.py",
];

/// What installs and what starts.
pub(super) fn recipe(tree: &WorkTree<'_>, sources: &Sources, port: Option<u16>) -> Option<Recipe> {
    if !MANIFESTS.iter().any(|name| tree.is_file(name)) {
        return None;
    }
    let mut recipe = Recipe::default();
    let venv = environment(tree);
    let group = install(tree, &venv, &mut recipe.warnings);
    let bin = match &group {
        Some(_) => format!("{venv}/bin/"),
        None => String::new(),
    };
    let program = |name: &str| format!("{bin}{name}");
    let needs = |name: &str| needed(tree).contains(name);
    let python = if bin.is_empty() { "python3".to_owned() } else { program("python") };
    let run = if tree.is_file("manage.py") {
        Some(django(tree, sources, port, &program, &needs, &python))
    } else {
        application(tree, port, &program, &needs, &python).or_else(|| script(tree, &program))
    };
    recipe.groups.extend(group);
    recipe.run = run;
    Some(recipe)
}

/// The directory of the environment: the one that is there or that git ignores, else the usual one.
pub(super) fn environment(tree: &WorkTree<'_>) -> String {
    const NAMES: [&str; 4] = [".venv", "venv", "env", ".env.d"];
    let managed = ["uv.lock", "poetry.lock", "Pipfile.lock"].iter().any(|name| tree.is_file(name));
    let there = |name: &&&str| tree.is_file(&format!("{name}/pyvenv.cfg"));
    let ignores = tree.said(".gitignore");
    let ignored =
        |name: &&&str| ignores.lines().any(|line| line.trim().trim_matches('/') == **name);
    let found = NAMES.iter().find(there).or_else(|| NAMES.iter().find(ignored));
    match found {
        Some(name) if !managed => (*name).to_owned(),
        _ => ".venv".to_owned(),
    }
}

/// The group that makes the environment; none where nothing is to be installed.
fn install(tree: &WorkTree<'_>, venv: &str, warnings: &mut Vec<String>) -> Option<Group> {
    let project = tree.said("pyproject.toml");
    // The packages of the app itself are put in by a reference to where they lie.
    let scripts =
        ["[project.scripts]", "[tool.poetry.scripts]"].iter().any(|s| project.contains(s));
    let there = |names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| tree.is_file(name)).map(|name| (*name).to_owned()).collect()
    };
    let base =
        Group { name: "venv".to_owned(), outputs: vec![venv.to_owned()], ..Group::default() };
    // What is in the repository and is installed from there.
    let mut own: Vec<String> = Regex::new(r#"\bpath\s*=\s*["']([A-Za-z0-9_./-]+)["']"#)
        .map(|path| {
            path.captures_iter(&project)
                .map(|found| found[1].trim_start_matches("./").to_owned())
                .collect()
        })
        .unwrap_or_default();
    own.retain(|path| tree.tracks(path));
    let mut missing = |program: &str| {
        if !(tree.has)(program) {
            warnings
                .push(format!("{program} was not found on this host, so nothing can be installed"));
        }
    };
    if tree.is_file("uv.lock") {
        missing("uv");
        return Some(Group {
            run: vec![words(&["uv", "sync", "--frozen", "--no-dev"])],
            inputs: [
                there(&["pyproject.toml", "uv.lock", "uv.toml", ".python-version", "README.md"]),
                own,
            ]
            .concat(),
            // A link into uv's cache would be shared with every other environment.
            env: BTreeMap::from([variable("UV_LINK_MODE", "copy")]),
            ..base
        });
    }
    if tree.is_file("poetry.lock") {
        missing("poetry");
        let mut install = words(&["poetry", "install", "--only", "main", "--no-interaction"]);
        if !scripts {
            install.push("--no-root".to_owned());
        }
        return Some(Group {
            run: vec![install],
            inputs: [there(&["pyproject.toml", "poetry.lock", "poetry.toml", "README.md"]), own]
                .concat(),
            env: BTreeMap::from([variable("POETRY_VIRTUALENVS_IN_PROJECT", "true")]),
            ..base
        });
    }
    if tree.is_file("Pipfile.lock") {
        missing("pipenv");
        return Some(Group {
            run: vec![words(&["pipenv", "sync"])],
            inputs: there(&["Pipfile", "Pipfile.lock"]),
            env: BTreeMap::from([variable("PIPENV_VENV_IN_PROJECT", "1")]),
            ..base
        });
    }
    let make = words(&["python3", "-m", "venv", venv]);
    let pip = format!("{venv}/bin/pip");
    missing("python3");
    if tree.is_file("requirements.txt") {
        let (mut inputs, own) = requirements(tree);
        if own {
            inputs.extend(there(&["pyproject.toml", "setup.py", "setup.cfg"]));
        }
        inputs.extend(there(&[".python-version"]));
        return Some(Group {
            run: vec![make, words(&[&pip, "install", "-r", "requirements.txt"])],
            inputs,
            ..base
        });
    }
    let installs = ["dependencies", "[project.scripts]"].iter().any(|word| project.contains(word));
    if project.contains("[build-system]") && installs {
        return Some(Group {
            notes: words(&[
                "There is no lock file, so two installations of one commit may differ.",
            ]),
            run: vec![make, words(&[&pip, "install", "."])],
            ..base
        });
    }
    if installs && project.contains("dependencies") {
        warnings.push(
            "pyproject.toml has dependencies but there is no lock file: create one with `uv lock` or `poetry lock`, commit \
             it, and run `gitroll init` again"
                .to_owned(),
        );
    }
    None
}

/// The files that requirements.txt is made of, and whether it installs the repository itself.
fn requirements(tree: &WorkTree<'_>) -> (Vec<String>, bool) {
    let mut files = vec!["requirements.txt".to_owned()];
    let mut own = false;
    let mut at = 0;
    while let Some(file) = files.get(at).cloned() {
        at += 1;
        let above = file.rsplit_once('/').map_or(String::new(), |(above, _)| format!("{above}/"));
        for line in tree.said(&file).lines().map(str::trim) {
            let named = ["-r ", "-c ", "--requirement ", "--constraint ", "--requirement=", "-r"];
            let named = named.iter().find_map(|flag| line.strip_prefix(flag)).map(str::trim);
            own |= line == "." || line.starts_with("-e .") || line.starts_with("./");
            if let Some(name) =
                named.map(|name| format!("{above}{}", name.trim_start_matches("./")))
                && tree.is_file(&name)
                && !files.contains(&name)
                && files.len() < 20
            {
                files.push(name);
            }
        }
    }
    (files, own)
}

/// What the app depends on, as one text in small letters.
fn needed(tree: &WorkTree<'_>) -> String {
    let (files, _) = requirements(tree);
    let files = files.iter().map(String::as_str);
    let all: Vec<String> =
        files.chain(["pyproject.toml", "Pipfile"]).map(|file| tree.said(file)).collect();
    all.join("\n").to_lowercase()
}

/// `manage.py` names the settings, whose package holds what gunicorn asks.
fn django(
    tree: &WorkTree<'_>,
    sources: &Sources,
    port: Option<u16>,
    program: &dyn Fn(&str) -> String,
    needs: &dyn Fn(&str) -> bool,
    python: &str,
) -> Run {
    let settings = Regex::new(r#"DJANGO_SETTINGS_MODULE["'],\s*["']([A-Za-z0-9_.]+)["']"#).ok();
    let text = tree.said("manage.py");
    let project =
        settings.and_then(|pattern| Some(pattern.captures(&text)?.get(1)?.as_str().to_owned()));
    let project = project.map(|name| name.split('.').next().unwrap_or_default().to_owned());
    let number = port.unwrap_or(8000);
    let at = format!("127.0.0.1:{number}");
    let asgi = |name: &&String| tree.is_file(&format!("{name}/asgi.py")) && needs("uvicorn");
    let mut notes = Vec::new();
    let command = match &project {
        Some(name) if needs("gunicorn") => {
            vec![program("gunicorn"), "--bind".to_owned(), at, format!("{name}.wsgi:application")]
        }
        Some(name) if asgi(&name) => vec![
            program("uvicorn"),
            format!("{name}.asgi:application"),
            "--host".to_owned(),
            "127.0.0.1".to_owned(),
            "--port".to_owned(),
            number.to_string(),
        ],
        _ => {
            notes = words(&[
                "This is the development server of Django: gunicorn is not among the dependencies.",
            ]);
            let mut command = vec![python.to_owned()];
            command.extend(words(&["manage.py", "runserver", "--noreload", &at]));
            command
        }
    };
    if sources.say("STATIC_ROOT") {
        notes.push(
            "If the app serves static files, add `python manage.py collectstatic` as a [[build]]."
                .to_owned(),
        );
    }
    Run {
        name: "web".to_owned(),
        notes,
        start: Start { command, env: BTreeMap::new() },
        port: Some(number),
    }
}

/// A module that holds an app of Flask, FastAPI, Starlette or plain WSGI, or that is a program by itself.
fn application(
    tree: &WorkTree<'_>,
    port: Option<u16>,
    program: &dyn Fn(&str) -> String,
    needs: &dyn Fn(&str) -> bool,
    python: &str,
) -> Option<Run> {
    let object = Regex::new(r"(?m)^(\w+)(?:\s*:\s*\w+)?\s*=\s*(Flask|FastAPI|Starlette|Quart|Sanic|create_app|make_app)\(").ok()?;
    let factory = Regex::new(r"(?m)^def (create_app|make_app)\(\s*\)").ok()?;
    let plain = Regex::new(r"(?m)^def (app|application)\(\s*env").ok()?;
    let number = |default: u16| port.unwrap_or(default);
    let run = |command: Vec<String>, port: Option<u16>, notes: Vec<String>| Run {
        name: "web".to_owned(),
        notes,
        start: Start { command, env: BTreeMap::new() },
        port,
    };
    let mut programs = Vec::new();
    for file in ENTRIES.into_iter().filter(|file| tree.is_file(file)) {
        let text = tree.said(file);
        let module = file.trim_end_matches(".py").trim_end_matches("/__init__").replace('/', ".");
        let (dir, module) = match module.strip_prefix("src.") {
            Some(rest) => (Some("src"), rest.to_owned()),
            None => (None, module),
        };
        let made = object.captures(&text).map(|found| (found[1].to_owned(), found[2].to_owned()));
        let wsgi = || plain.captures(&text).map(|found| (found[1].to_owned(), String::new()));
        let asynchronous =
            ["FastAPI(", "Starlette(", "Quart("].iter().any(|kind| text.contains(kind));
        let found = made.or_else(wsgi).map(|(name, _)| format!("{module}:{name}"));
        let called = || factory.captures(&text).map(|found| format!("{module}:{}()", &found[1]));
        let itself = text.contains("__main__");
        if let Some(target) = found.clone().or_else(called) {
            let inside = |flag: &str| {
                dir.map(|dir| vec![flag.to_owned(), dir.to_owned()]).unwrap_or_default()
            };
            if needs("gunicorn") && (!asynchronous || needs("uvicorn")) {
                let mut command = vec![program("gunicorn")];
                command.extend(words(&["--bind", &format!("127.0.0.1:{}", number(8000))]));
                if asynchronous {
                    command.extend(words(&["--worker-class", "uvicorn.workers.UvicornWorker"]));
                }
                command.extend(inside("--chdir"));
                command.push(target);
                return Some(run(command, Some(number(8000)), Vec::new()));
            }
            if asynchronous && (needs("uvicorn") || needs("fastapi[")) && found.is_some() {
                let mut command = vec![program("uvicorn"), target];
                command.extend(words(&[
                    "--host",
                    "127.0.0.1",
                    "--port",
                    &number(8000).to_string(),
                ]));
                command.extend(inside("--app-dir"));
                return Some(run(command, Some(number(8000)), Vec::new()));
            }
            if needs("waitress") && !asynchronous {
                let mut command = vec![program("waitress-serve")];
                command.push(format!("--listen=127.0.0.1:{}", number(8080)));
                if found.is_none() {
                    command.push("--call".to_owned());
                }
                command.push(target.trim_end_matches("()").to_owned());
                return Some(run(command, Some(number(8080)), Vec::new()));
            }
            if needs("flask") && !itself {
                let notes = words(&[
                    "This is the development server of Flask: gunicorn is not among the dependencies.",
                ]);
                let command = [
                    vec![program("flask")],
                    words(&[
                        "--app",
                        &target,
                        "run",
                        "--host",
                        "127.0.0.1",
                        "--port",
                        &number(5000).to_string(),
                    ]),
                ];
                return Some(run(command.concat(), Some(number(5000)), notes));
            }
        }
        if itself || text.contains("serve_forever(") {
            programs.push(file);
        }
    }
    let file = programs.first()?;
    Some(run(vec![python.to_owned(), (*file).to_owned()], None, Vec::new()))
}

/// The only program that the project declares.
fn script(tree: &WorkTree<'_>, program: &dyn Fn(&str) -> String) -> Option<Run> {
    let project = tree.said("pyproject.toml");
    let mut lines = project
        .lines()
        .skip_while(|line| !matches!(line.trim(), "[project.scripts]" | "[tool.poetry.scripts]"));
    lines.next()?;
    let names: Vec<&str> = lines
        .take_while(|line| !line.trim_start().starts_with('['))
        .filter_map(|line| Some(line.split_once('=')?.0.trim().trim_matches('"')))
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect();
    let [name] = names.as_slice() else { return None };
    let command = vec![program(name)];
    let start = Start { command, env: BTreeMap::new() };
    Some(Run { name: "web".to_owned(), start, ..Run::default() })
}
