//! What the sources of an app that does not run tell: where it will listen, and which path shows that it is well.

use std::path::Path;

use regex::Regex;

use super::work_tree::WorkTree;

/// The sources of a directory that is built and started by itself.
pub(super) struct Sources {
    files: Vec<(String, String)>,
}

/// A path that shows that the app is well, and the file that answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// It begins with a slash.
    pub path: String,
    /// The file that names it.
    pub file: String,
}

/// At most so many files are read, and so much of them.
const MOST_FILES: usize = 400;
const MOST_BYTES: usize = 8 << 20;

const LANGUAGES: [&str; 14] =
    ["js", "mjs", "cjs", "ts", "mts", "cts", "tsx", "jsx", "py", "go", "rs", "php", "rb", "ru"];

/// Directories whose files do not serve.
const ASIDE: [&str; 17] = [
    "node_modules",
    "vendor",
    "test",
    "tests",
    "__tests__",
    "spec",
    "e2e",
    "cypress",
    "docs",
    "doc",
    "examples",
    "example",
    "fixtures",
    "scripts",
    "migrations",
    "public",
    "static",
];

/// From the one that says most to the one that says least.
const PATHS: [&str; 8] =
    ["/api/health", "/health", "/healthz", "/api/healthz", "/health/", "/healthcheck", "/up", "/"];

/// The ports of what apps talk to.
const OF_OTHERS: [u16; 17] =
    [22, 25, 53, 389, 465, 587, 993, 1025, 1433, 3306, 4222, 5432, 5672, 6379, 9092, 11211, 27017];

impl Sources {
    /// Reads them. `skip` are directories that are apps of their own.
    pub(super) fn of(tree: &WorkTree<'_>, skip: &[String]) -> Self {
        let mut files = Vec::new();
        let mut read = 0;
        for path in tree.files {
            let path = path.to_string();
            let parts: Vec<&str> = path.split('/').collect();
            let (dirs, name) = parts.split_at(parts.len() - 1);
            let language = Path::new(name[0]).extension().and_then(|end| end.to_str());
            // PHP is served from where other languages keep what browsers load.
            let php = language == Some("php");
            let aside = dirs.iter().any(|dir| {
                dir.starts_with('.') || ASIDE.contains(dir) && !(php && *dir == "public")
            });
            let tests =
                [".test.", ".spec.", "_test.", "test_"].iter().any(|mark| name[0].contains(mark));
            let elsewhere = skip.iter().any(|dir| path.starts_with(&format!("{dir}/")));
            if !language.is_some_and(|end| LANGUAGES.contains(&end)) || aside || tests || elsewhere
            {
                continue;
            }
            let text = tree.said(&path);
            read += text.len();
            if files.len() == MOST_FILES || read > MOST_BYTES {
                break;
            }
            files.push((path, text));
        }
        // What is at the top says more than what is deep below.
        files.sort_by_key(|(path, _)| path.matches('/').count());
        Self { files }
    }

    /// Whether a file says so.
    pub(super) fn say(&self, text: &str) -> bool {
        self.files.iter().any(|(_, file)| file.contains(text))
    }

    /// Whether it takes its port from the variable `PORT`.
    pub(super) fn reads_port(&self) -> bool {
        const READ: &str = r#"(?x) process\.env\.PORT\b | env\[["']PORT["']\] | environ(?:\.get\(|\[)["']PORT["']
            | getenv\(["']PORT["'] | Getenv\("PORT"\) | env::var(?:_os)?\("PORT"\) | ENV(?:\.fetch\(|\[)["']PORT["']
            | \bBun\.env\.PORT\b"#;
        self.first(READ).is_some()
    }

    /// The port it takes where nothing else is said, as far as that is in the text.
    pub(super) fn port(&self) -> Option<u16> {
        const OTHERWISE: &str = r#"(?x) (?:\bPORT\b["']?\]?\)? \s* (?:\|\||\?\?|,|\{|or) \s* ["']?
            | \bPORT["']\)\.unwrap_or[a-z_]*\([^0-9)]*)(\d{2,5})\b"#;
        const FIXED: &str = r#"(?x) (?:\.listen\(\s* | \bport\s*[:=]\s*["']? | ["'](?:0\.0\.0\.0|127\.0\.0\.1|localhost|\[::1?\])?:
            | \(\[(?:0,\s*0,\s*0,\s*0|127,\s*0,\s*0,\s*1)\],\s* | Server\(\(["'][^"']*["'],\s* | \bset\s*\(?:port,\s*)(\d{2,5})\b"#;
        self.number(OTHERWISE).or_else(|| self.number(FIXED))
    }

    fn number(&self, pattern: &str) -> Option<u16> {
        let pattern = Regex::new(pattern).ok()?;
        let numbers = self.files.iter().flat_map(|(_, text)| pattern.captures_iter(text));
        let mut numbers = numbers.filter_map(|found| found.get(1)?.as_str().parse::<u16>().ok());
        numbers.find(|port| *port != 0 && !OF_OTHERS.contains(port))
    }

    fn first(&self, pattern: &str) -> Option<&str> {
        let pattern = Regex::new(pattern).ok()?;
        self.files.iter().find(|(_, text)| pattern.is_match(text)).map(|(path, _)| path.as_str())
    }

    /// A path that the app itself answers by the words of its framework. What is put below another path is left out:
    /// where that is cannot be told.
    pub(super) fn route(&self) -> Option<Route> {
        let by_file = |path: &str| {
            let ends =
                ["route.ts", "route.js", "index.ts", "index.js"].map(|end| format!("{path}/{end}"));
            let plain = ["ts", "js"].map(|end| format!("{path}.{end}"));
            let places =
                ["app", "pages", "src/app", "src/pages", "server"].map(|dir| dir.to_owned());
            let wanted: Vec<String> = places
                .iter()
                .flat_map(|dir| ends.iter().chain(&plain).map(move |end| format!("{dir}{end}")))
                .collect();
            self.files.iter().map(|(path, _)| path).find(|path| wanted.contains(path)).cloned()
        };
        PATHS.into_iter().find_map(|path| {
            let file = if path == "/" { None } else { by_file(path.trim_end_matches('/')) };
            let file = file.or_else(|| self.first(&answers(path)).map(str::to_owned))?;
            Some(Route { path: path.to_owned(), file })
        })
    }
}

/// How the common frameworks say that they answer a path.
fn answers(path: &str) -> String {
    let quoted = format!(r#"["'`]{}["'`]"#, regex::escape(path));
    let django = path.trim_start_matches('/');
    let django = match django {
        "" => String::new(),
        path => format!(r#"|\bpath\(\s*["']{}/?["']"#, regex::escape(path.trim_end_matches('/'))),
    };
    format!(
        r"(?m)(?:\b(?:app|server|api|fastify|mux|http|engine|e|r)\.(?:get|all|use|route|GET|Get|HandleFunc|Handle)\(\s*|@app\.(?:get|route)\(\s*|\.route\(\s*|^\s*get\s+|\b(?:url|pathname|path|PATH_INFO'\]|REQUEST_URI'\])\s*={{2,3}}\s*|\bcase\s+){quoted}{django}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn sources(file: &str, text: &str) -> Sources {
        Sources { files: vec![(file.to_owned(), text.to_owned())] }
    }

    #[test]
    fn ports_and_paths_are_read_as_frameworks_write_them() {
        for (file, text, port, path) in [
            (
                "a.js",
                "app.get('/health', f); app.listen(process.env.PORT || 3100)",
                3100,
                "/health",
            ),
            ("a.js", "if (req.url === '/healthz') {}\nserver.listen(8080, '::')", 8080, "/healthz"),
            (
                "a.ts",
                "Bun.serve({ port: process.env.PORT ?? 3200 }); case \"/health\":",
                3200,
                "/health",
            ),
            (
                "a.py",
                "@app.route('/health')\nport = int(os.environ.get('PORT', '8001'))",
                8001,
                "/health",
            ),
            ("a.py", "path('health/', f)\nHTTPServer(('127.0.0.1', 8002), H)", 8002, "/health"),
            (
                "a.go",
                "http.HandleFunc(\"/healthz\", f)\nhttp.ListenAndServe(\":8003\", nil)",
                8003,
                "/healthz",
            ),
            ("a.rs", ".route(\"/health\", get(f))\nbind(\"127.0.0.1:8004\")", 8004, "/health"),
            ("a.rb", "get '/health' do\nset :port, 4567", 4567, "/health"),
        ] {
            let sources = sources(file, text);
            assert_eq!(sources.port(), Some(port), "{text}");
            assert_eq!(sources.route().map(|route| route.path).as_deref(), Some(path), "{text}");
        }
        let none =
            sources("a.js", "router.get('/health', f); fetch('/health'); db({ port: 5432 })");
        assert_eq!((none.port(), none.route()), (None, None));
        assert!(sources("a.go", "os.Getenv(\"PORT\")").reads_port());
        assert_eq!(sources("app/api/health/route.ts", "").route().unwrap().path, "/api/health");
    }
}
