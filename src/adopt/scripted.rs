//! PHP and Ruby: Composer and Bundler, and what starts an app of either.

use std::collections::BTreeMap;

use serde_json::Value;

use super::recipe::{Group, Recipe, Run, Start, variable, words};
use super::work_tree::WorkTree;

/// PHP, where there is a composer.json.
pub(super) fn composer(tree: &WorkTree<'_>, port: Option<u16>) -> Option<Recipe> {
    let text = tree.text("composer.json").ok().flatten()?;
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut recipe = Recipe::default();
    if !(tree.has)("composer") {
        recipe
            .warnings
            .push("composer was not found on this host, so nothing can be installed".to_owned());
    }
    let mut notes = Vec::new();
    let mut inputs = words(&["composer.json"]);
    match tree.is_file("composer.lock") {
        true => inputs.push("composer.lock".to_owned()),
        false => notes.push(
            "There is no composer.lock, so two installations of one commit may differ.".to_owned(),
        ),
    }
    // Scripts may read anything, and a class map is made of the app's own files.
    let scripts = value.get("scripts").and_then(Value::as_object);
    let runs = scripts
        .is_some_and(|all| all.keys().any(|name| name.starts_with("p") && name.contains("-")));
    let mapped = value.pointer("/autoload/classmap").is_some();
    if runs || mapped {
        notes.push(
            "The output of composer also depends on files of the app, so every change causes a new installation."
                .to_owned(),
        );
        inputs.clear();
    }
    // Packages of the repository itself.
    let own = value.get("repositories").map(own_packages).unwrap_or_default();
    if !inputs.is_empty() {
        inputs.extend(
            own.into_iter().filter(|path| tree.tracks(path)).map(|path| format!("{path}/**")),
        );
    }
    recipe.groups.push(Group {
        name: "vendor".to_owned(),
        notes,
        run: vec![words(&["composer", "install", "--no-dev", "--no-interaction", "--no-progress"])],
        inputs,
        outputs: words(&["vendor"]),
        ..Group::default()
    });
    let number = port.unwrap_or(8000);
    let at = format!("127.0.0.1:{number}");
    let root = ["public", "web", "htdocs", "www"]
        .into_iter()
        .find(|dir| tree.is_file(&format!("{dir}/index.php")));
    let command = match root {
        Some(dir) => Some(words(&["php", "-S", &at, "-t", dir, &format!("{dir}/index.php")])),
        None if tree.is_file("index.php") => Some(words(&["php", "-S", &at, "index.php"])),
        None => None,
    };
    let notes = words(&[
        "This is the development server of PHP. If php-fpm serves this work tree, remove the service.",
    ]);
    recipe.run = command.map(|command| Run {
        name: "web".to_owned(),
        notes,
        start: Start { command, env: BTreeMap::new() },
        port: Some(number),
    });
    Some(recipe)
}

/// The directories that `repositories` names, without globs.
fn own_packages(repositories: &Value) -> Vec<String> {
    let list = repositories.as_array().cloned();
    let all = list
        .or_else(|| Some(repositories.as_object()?.values().cloned().collect()))
        .unwrap_or_default();
    let path = |one: &Value| {
        let path = (one.get("type")?.as_str()? == "path").then(|| one.get("url")?.as_str())??;
        let path = path.trim_start_matches("./").trim_end_matches("/*").trim_end_matches('/');
        (!path.is_empty() && !path.contains(['*', '?', '[', '{'])).then(|| path.to_owned())
    };
    all.iter().filter_map(path).collect()
}

/// Ruby, where there is a Gemfile.
pub(super) fn bundler(tree: &WorkTree<'_>, port: Option<u16>) -> Option<Recipe> {
    tree.text("Gemfile").ok().flatten()?;
    let mut recipe = Recipe::default();
    if !(tree.has)("bundle") {
        recipe
            .warnings
            .push("bundle was not found on this host, so nothing can be installed".to_owned());
    }
    let gems = tree.said("Gemfile.lock");
    let needs = |name: &str| gems.lines().any(|line| line.trim().split(' ').next() == Some(name));
    // Where its own settings say so, gems lie elsewhere.
    let settings = tree.said(".bundle/config");
    let place = settings.lines().find_map(|line| line.strip_prefix("BUNDLE_PATH:"));
    let place = place.map(|path| path.trim().trim_matches('"').to_owned());
    let place = place
        .filter(|path| !path.starts_with(['/', '.', '~']))
        .unwrap_or("vendor/bundle".to_owned());
    let mut notes = Vec::new();
    let mut env = BTreeMap::from([
        variable("BUNDLE_PATH", &place),
        variable("BUNDLE_WITHOUT", "development:test"),
    ]);
    let mut inputs = words(&["Gemfile"]);
    if tree.is_file("Gemfile.lock") {
        inputs.push("Gemfile.lock".to_owned());
        env.extend([variable("BUNDLE_FROZEN", "true")]);
    } else {
        notes.push(
            "There is no Gemfile.lock, so two installations of one commit may differ.".to_owned(),
        );
    }
    inputs.extend(
        [".ruby-version", ".tool-versions"]
            .iter()
            .filter(|f| tree.is_file(f))
            .map(|f| (*f).to_owned()),
    );
    inputs.extend(
        tree.files
            .iter()
            .map(ToString::to_string)
            .filter(|f| f.ends_with(".gemspec") && is_plain(f)),
    );
    let mut install = words(&["bundle", "install"]);
    if tree.tracks("vendor/cache") {
        install.push("--local".to_owned());
        inputs.push("vendor/cache/**".to_owned());
    }
    recipe.groups.push(Group {
        name: "gems".to_owned(),
        notes,
        run: vec![install],
        inputs,
        outputs: vec![place.clone()],
        scratch: words(&[".bundle/**"]),
        env: env.clone(),
        ..Group::default()
    });
    let rails = tree.is_file("config/application.rb");
    let number = |usual: u16| port.unwrap_or(usual);
    let at = |number: u16| number.to_string();
    let (command, number) = if rails && tree.is_file("bin/rails") {
        let number = number(3000);
        (
            words(&["bundle", "exec", "rails", "server", "-b", "127.0.0.1", "-p", &at(number)]),
            Some(number),
        )
    } else if tree.is_file("config.ru") && needs("puma") {
        let number = number(9292);
        let bind = format!("tcp://127.0.0.1:{number}");
        (words(&["bundle", "exec", "puma", "-b", &bind]), Some(number))
    } else if tree.is_file("config.ru") {
        let number = number(9292);
        (
            words(&["bundle", "exec", "rackup", "--host", "127.0.0.1", "--port", &at(number)]),
            Some(number),
        )
    } else {
        let file = ["app.rb", "server.rb", "main.rb"].into_iter().find(|file| tree.is_file(file));
        match file {
            Some(file) => (words(&["bundle", "exec", "ruby", file]), None),
            None => return Some(recipe),
        }
    };
    env.remove("BUNDLE_FROZEN");
    env.extend([variable("RACK_ENV", "production")]);
    if rails {
        env.extend([variable("RAILS_ENV", "production")]);
        if tree.tracks("app/assets") {
            recipe.warnings.push(
                "assets are not built: add `bin/rails assets:precompile` as a [[build]] with outputs = [\"public/assets\"]".to_owned(),
            );
        }
    }
    recipe.run = Some(Run {
        name: "web".to_owned(),
        notes: Vec::new(),
        start: Start { command, env },
        port: number,
    });
    Some(recipe)
}

/// Whether a name can stand in a pattern as it is.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}
