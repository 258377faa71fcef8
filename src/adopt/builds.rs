//! What installing packages and building an npm app read and make: what `inputs`, `outputs` and `carry` must name.
//!
//! Told from package.json, the files of package managers and what git ignores and is there. What nobody can tell is
//! named, so that a person can.

use std::path::Path;

use serde_json::Value;

use super::work_tree::{LockFile, WorkTree};
use crate::model::RepoPath;

/// What the two groups of a starter have besides their commands. All are texts as they stand in `gitroll.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildFiles {
    /// The patterns of `workspaces`.
    pub workspaces: Vec<String>,
    /// Installing runs scripts of the repository that can read anything.
    pub reads_all: bool,
    /// What installing depends on, unless it can be anything.
    pub inputs: Vec<String>,
    /// What it makes.
    pub installed: Vec<String>,
    /// What it may make besides.
    pub may_install: Vec<String>,
    /// What the build makes.
    pub built: Vec<String>,
    /// Untracked files that the build reads.
    pub carry: Vec<String>,
    /// Ignored things that lie there and of which nobody can tell who makes them.
    pub unknown: Vec<String>,
}

/// Files at the top that package managers read, besides the lock file.
const SETTINGS: [&str; 10] = [
    "pnpm-workspace.yaml",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pnpmfile.cjs",
    "bunfig.toml",
    "patches",
    ".yarn/patches",
    ".yarn/releases",
    ".yarn/plugins",
];

/// Scripts that run while packages are installed.
const WHILE_INSTALLING: [&str; 7] =
    ["preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare", "prepublish"];

/// Names that builds give to what they make.
const BUILT: [&str; 20] = [
    "dist",
    "build",
    "out",
    ".next",
    ".nuxt",
    ".output",
    ".svelte-kit",
    ".astro",
    ".docusaurus",
    ".contentlayer",
    ".velite",
    ".source",
    "_site",
    "generated",
    "__generated__",
    ".generated",
    "gen",
    "esm",
    "cjs",
    "storybook-static",
];

/// Build tools that read environment files by themselves.
const READ_ENV: [&str; 16] = [
    "next",
    "nuxt",
    "nuxi",
    "vite",
    "astro",
    "react-scripts",
    "craco",
    "remix",
    "gatsby",
    "parcel",
    "vue-cli-service",
    "svelte-kit",
    "env-cmd",
    "dotenv",
    "dotenvx",
    "expo",
];

/// The environment files that such tools look for when they build for production.
const ENV_FILES: [&str; 4] = [".env", ".env.local", ".env.production", ".env.production.local"];

/// Files in which build tools are told to read `.env`.
const TOOL_CONFIGS: [&str; 8] = [
    "webpack.config.js",
    "webpack.config.cjs",
    "rollup.config.js",
    "rollup.config.mjs",
    "gulpfile.js",
    "esbuild.config.js",
    "esbuild.config.mjs",
    "Makefile",
];

impl BuildFiles {
    /// Looks. `package` is what package.json holds.
    pub(super) fn of(tree: &WorkTree<'_>, package: &Value, lock: Option<LockFile>) -> Self {
        let mut files = Self { workspaces: workspaces(tree, package), ..Self::default() };
        let build = script(package, "build").unwrap_or_default();
        let installing = files.install_scripts(tree, package);
        files.reads_all = installing.iter().any(|script| !is_known(script));
        files.inputs = files.inputs_of(tree, package, lock);
        let modules = plug_and_play(tree, lock);
        files.installed.extend(modules.first().map(|path| (*path).to_owned()));
        files.may_install.extend(modules.iter().skip(1).map(|path| (*path).to_owned()));
        if modules.is_empty() {
            files.installed.push("node_modules".to_owned());
            let nested = files.workspaces.iter().map(|glob| format!("{glob}/node_modules"));
            files.may_install.extend(nested);
        }
        let generates = |text: &str| text.contains("generate") || text.contains("codegen");
        let by_install = installing.iter().any(|s| generates(s)) && !generates(&build);
        let named = named_in(package);
        for path in tree.ignored {
            files.sort_in(tree, path, &named, by_install);
        }
        if !build.trim().is_empty() {
            files.carry = carried(tree, &build);
        }
        files
    }

    /// Scripts that run while the packages of the app and its workspaces are installed.
    fn install_scripts(&self, tree: &WorkTree<'_>, package: &Value) -> Vec<String> {
        let mut scripts = Vec::new();
        let mut add = |package: &Value| {
            scripts.extend(WHILE_INSTALLING.iter().filter_map(|name| script(package, name)));
        };
        add(package);
        for directory in self.workspace_directories(tree) {
            let text = tree.text(&format!("{directory}/package.json")).ok().flatten();
            if let Some(package) = text.and_then(|text| serde_json::from_str(&text).ok()) {
                add(&package);
            }
        }
        scripts
    }

    /// Directories one level below what a pattern such as `packages/*` names, and those named in full.
    fn workspace_directories(&self, tree: &WorkTree<'_>) -> Vec<String> {
        const MOST: usize = 200;
        let mut found = Vec::new();
        for glob in &self.workspaces {
            match glob.strip_suffix("/*") {
                Some(above) => {
                    let entries = std::fs::read_dir(tree.top.join(above)).into_iter().flatten();
                    let names =
                        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
                    found.extend(names.take(MOST).map(|name| format!("{above}/{name}")));
                }
                None if !glob.contains('*') => found.push(glob.clone()),
                None => {}
            }
        }
        found
    }

    fn inputs_of(
        &self,
        tree: &WorkTree<'_>,
        package: &Value,
        lock: Option<LockFile>,
    ) -> Vec<String> {
        let there = |name: &&str| std::fs::symlink_metadata(tree.top.join(name)).is_ok();
        let mut inputs = vec!["package.json".to_owned()];
        let locks = lock.map_or(&[] as &[&str], LockFile::files);
        inputs.extend(
            locks.iter().chain(&SETTINGS).filter(|name| there(name)).map(|n| (*n).to_owned()),
        );
        // Prisma's client is generated from it when it is installed.
        inputs.extend(["prisma"].iter().filter(|name| there(name)).map(|n| (*n).to_owned()));
        inputs.extend(self.workspaces.iter().map(|glob| format!("{glob}/package.json")));
        for kind in ["dependencies", "devDependencies", "optionalDependencies"] {
            let named = package.get(kind).and_then(Value::as_object).into_iter().flatten();
            inputs.extend(named.filter_map(|(_, version)| {
                let text = version.as_str()?;
                let path =
                    ["file:", "link:", "portal:"].iter().find_map(|p| text.strip_prefix(p))?;
                let path = path.trim_start_matches("./").trim_end_matches('/');
                RepoPath::new(path).ok().filter(|_| is_plain(path)).map(|path| path.to_string())
            }));
        }
        inputs.sort();
        inputs.dedup();
        inputs
    }

    /// Puts something that git ignores and that is there where it belongs.
    fn sort_in(
        &mut self,
        tree: &WorkTree<'_>,
        path: &RepoPath,
        named: &[String],
        by_install: bool,
    ) {
        let text = path.to_string();
        let name = text.rsplit('/').next().unwrap_or(&text);
        // A link would lead the build out of the tree.
        let found = std::fs::symlink_metadata(tree.top.join(path.as_path()));
        let Ok(found) = found.map(|found| found.file_type()) else { return };
        if path.is_cache() || found.is_symlink() || is_env(name) {
            return;
        }
        if !is_plain(&text) {
            self.unknown.push(text);
            return;
        }
        let covered = |all: &[String]| all.iter().any(|other| covers(other, path));
        if covered(&self.installed) || covered(&self.may_install) {
            return;
        }
        let nested = |globs: &[String]| {
            let above = path.parent().map(|above| above.to_string()).unwrap_or_default();
            globs.iter().find(|glob| is_below(glob, &above)).map(|glob| format!("{glob}/{name}"))
        };
        if name == "node_modules" {
            self.may_install.push(text);
        } else if found.is_dir() && BUILT.contains(&name)
            || named.iter().any(|n| leads_into(n, &text))
        {
            let text = nested(&self.workspaces).unwrap_or_else(|| text.clone());
            let generated = name.contains("gen");
            let list =
                if generated && by_install { &mut self.may_install } else { &mut self.built };
            if !list.contains(&text) {
                list.push(text);
            }
        } else {
            self.unknown.push(if found.is_dir() { format!("{text}/") } else { text });
        }
    }
}

/// Whether a script that runs while packages are installed is known to read nothing but what `inputs` names anyway.
fn is_known(script: &str) -> bool {
    let plain = script.trim().trim_end_matches("|| true").trim();
    let first = plain.split_whitespace().next().unwrap_or_default();
    ["husky", "patch-package", "lefthook", "simple-git-hooks", "only-allow"].contains(&first)
        && !plain.contains(['&', ';', '|'])
        || plain == "prisma generate"
        || plain.starts_with("npx only-allow ") && !plain.contains(['&', ';', '|'])
}

fn script(package: &Value, name: &str) -> Option<String> {
    let script = package.pointer(&format!("/scripts/{name}"))?.as_str()?;
    (!script.trim().is_empty()).then(|| script.to_owned())
}

/// The patterns of package.json or pnpm-workspace.yaml that an output can be made of.
fn workspaces(tree: &WorkTree<'_>, package: &Value) -> Vec<String> {
    let of_package = package.get("workspaces");
    let list = of_package.and_then(|w| w.as_array().or_else(|| w.get("packages")?.as_array()));
    let mut found: Vec<String> =
        list.into_iter().flatten().filter_map(|w| w.as_str().map(str::to_owned)).collect();
    let pnpm = tree.text("pnpm-workspace.yaml").ok().flatten().unwrap_or_default();
    let mut below = false;
    for line in pnpm.lines() {
        if !line.starts_with([' ', '-', '#']) && !line.trim().is_empty() {
            below = line.trim_end() == "packages:";
        } else if let (true, Some(item)) = (below, line.trim().strip_prefix("- ")) {
            found.push(item.trim().trim_matches(['"', '\'']).to_owned());
        }
    }
    let mut plain: Vec<String> = found
        .iter()
        .map(|glob| glob.trim_start_matches("./").trim_end_matches('/').to_owned())
        .filter(|glob| {
            let parts: Vec<&str> = glob.split('/').collect();
            let usable =
                |part: &&str| !part.is_empty() && *part != "**" && !part.starts_with(['!', '.']);
            parts.iter().all(usable) && is_plain(&glob.replace('*', ""))
        })
        .collect();
    plain.dedup();
    plain
}

/// What Yarn makes in place of `node_modules`, the first of it always.
pub(super) fn plug_and_play(tree: &WorkTree<'_>, lock: Option<LockFile>) -> Vec<&'static str> {
    const MADE: [&str; 5] =
        [".pnp.cjs", ".pnp.loader.mjs", ".yarn/unplugged", ".yarn/cache", ".yarn/install-state.gz"];
    let settings = tree.text(".yarnrc.yml").ok().flatten().unwrap_or_default();
    let linker = settings.lines().find_map(|line| line.strip_prefix("nodeLinker:"));
    let linker = linker.map(|linker| linker.trim().trim_matches(['"', '\'']));
    if lock != Some(LockFile::YarnBerry) || linker.is_some_and(|linker| linker != "pnp") {
        return Vec::new();
    }
    let tracked = |path: &str| RepoPath::new(path).is_ok_and(|path| (tree.tracked)(&path));
    MADE.into_iter().filter(|path| !tracked(path)).collect()
}

/// Paths that package.json and tsconfig.json name as made: where the app is entered, and where tools write.
pub(super) fn named_in(package: &Value) -> Vec<String> {
    let clean = |text: &str| {
        text.trim_matches(['"', '\'']).trim_start_matches("./").trim_end_matches('/').to_owned()
    };
    let mut named = Vec::new();
    for pointer in ["/main", "/module", "/types", "/bin", "/source"] {
        named.extend(package.pointer(pointer).and_then(Value::as_str).map(clean));
    }
    let bins = package.get("bin").and_then(Value::as_object).into_iter().flatten();
    named.extend(bins.filter_map(|(_, path)| path.as_str().map(clean)));
    let scripts = package.get("scripts").and_then(Value::as_object).into_iter().flatten();
    for (name, text) in scripts.filter_map(|(name, text)| Some((name, text.as_str()?))) {
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let (flag, value) = word.split_once('=').unwrap_or((word, ""));
            let writes = [
                "-o",
                "-d",
                "--out-dir",
                "--outdir",
                "--outDir",
                "--outfile",
                "--out-file",
                "--dist-dir",
            ];
            if name.starts_with("build") && writes.contains(&flag) {
                let value = if value.is_empty() { words.next().unwrap_or_default() } else { value };
                named.push(clean(value));
            } else if name.starts_with("start")
                && [".js", ".mjs", ".cjs"].iter().any(|end| word.ends_with(end))
            {
                named.push(clean(word));
            }
        }
    }
    named.retain(|path| !path.is_empty());
    named
}

/// The environment files that lie here, are not tracked, and that the build reads.
fn carried(tree: &WorkTree<'_>, build: &str) -> Vec<String> {
    let words = |text: &str| -> Vec<String> {
        let part = |c: char| c.is_whitespace() || "&|;()'\"=".contains(c);
        text.split(part).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let words = words(build);
    let untracked = |name: &&str| {
        let plain =
            std::fs::symlink_metadata(tree.top.join(name)).is_ok_and(|found| found.is_file());
        plain && RepoPath::new(*name).is_ok_and(|path| !(tree.tracked)(&path))
    };
    let runs_tool = words.iter().any(|word| READ_ENV.contains(&word.as_str()));
    if runs_tool || build.contains("--env-file") {
        return ENV_FILES.iter().filter(|name| untracked(name)).map(|n| (*n).to_owned()).collect();
    }
    let read = |name: &str| {
        let text = tree.text(name).ok().flatten().unwrap_or_default();
        text.contains(".env'")
            || text.contains(".env\"")
            || text.contains(".env`")
            || text.contains("dotenv")
    };
    let scripts = words.iter().filter(|word| Path::new(word).extension().is_some());
    let mut texts = scripts.map(String::as_str).chain(TOOL_CONFIGS);
    let reads = build.contains(".env") || texts.any(read);
    [".env"].iter().filter(|name| reads && untracked(name)).map(|name| (*name).to_owned()).collect()
}

fn is_env(name: &str) -> bool {
    name == ".env" || name.starts_with(".env.")
}

/// Whether a name can stand in a pattern as it is.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@/+".contains(c))
}

/// Whether `path` is what an output means, or is in it.
fn covers(output: &str, path: &RepoPath) -> bool {
    let text = path.to_string();
    match output.rsplit_once('/') {
        Some((directories, name)) if output.contains('*') => text
            .rsplit_once('/')
            .is_some_and(|(above, last)| last == name && is_below(directories, above)),
        _ => text == output || leads_into(&text, output),
    }
}

/// Whether a directory is what a pattern such as `packages/*` names.
fn is_below(glob: &str, directory: &str) -> bool {
    let (glob, directory): (Vec<&str>, Vec<&str>) =
        (glob.split('/').collect(), directory.split('/').collect());
    let same = |(glob, part): (&&str, &&str)| *glob == "*" || glob == part;
    glob.len() == directory.len() && glob.iter().zip(&directory).all(same)
}

/// Whether a path is `directory` or is in it.
fn leads_into(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
