#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn binding(dir: &Path, path: &Path) -> Binding {
    Binding {
        dir: dir.to_owned(),
        app: "shop".parse().unwrap(),
        path: path.to_owned(),
        environment: "production".parse().unwrap(),
        writer: "web-1.k3f9".parse().unwrap(),
        chain: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        run_as: "deploy".to_owned(),
        umask: Some(0o027),
        work_dir: "/opt/.gitroll-shop".into(),
        points: None,
        signing: Signing { format: SigningFormat::Ssh, key: "/home/deploy/a \"key\"".to_owned() },
        openpgp: vec!["0123456789ABCDEF0123456789ABCDEF01234567".to_owned()],
        follow: vec!["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".to_owned()],
        tools: Tools { git: Some("/usr/bin/git".into()), ..Tools::default() },
        pm2_home: Some("/home/deploy/.pm2".into()),
        path_variable: "/usr/bin:/bin".to_owned(),
        take_over: Vec::new(),
        pass: Vec::new(),
        distrust: None,
    }
}

/// A place with a shelf for bindings and a work tree.
struct Place {
    root: tempfile::TempDir,
    top: PathBuf,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(root.path()).unwrap().join("app");
        fs::create_dir(&top).unwrap();
        let place = Self { root, top };
        place.dir("etc");
        place.dir("user");
        place
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.root.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        mode(&dir, 0o755);
        dir
    }

    fn shelves(&self) -> BindingPlaces {
        let shelf = |name| Some(self.root.path().join(name));
        BindingPlaces { exact: None, system: shelf("etc"), user: shelf("user") }
    }

    fn write(&self, dir: &str, text: &str) -> PathBuf {
        let dir = self.dir(dir);
        let file = dir.join(FILE);
        fs::write(&file, text).unwrap();
        mode(&file, 0o644);
        dir
    }

    fn bind(&self, dir: &str, top: &Path) -> PathBuf {
        let text = write(&binding(Path::new("/x"), top)).unwrap();
        self.write(dir, &text)
    }

    fn find(&self) -> Result<Binding, BindingError> {
        Binding::find_in(&self.top, &self.shelves())
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_written_reads_back() {
    let before = binding(Path::new("/etc/gitroll/shop"), Path::new("/opt/shop"));
    let text = write(&before).unwrap();
    let after = read(&text, &before.dir).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

#[test]
fn a_saved_binding_is_found_from_its_work_tree() {
    let place = Place::new();
    let dir = place.dir("user").join("shop");
    binding(&dir, &place.top).save().unwrap();
    let file = fs::metadata(dir.join(FILE)).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o644);
    assert_eq!(place.find().unwrap().dir, dir);
    // Through a link to the work tree too.
    let link = place.root.path().join("link");
    symlink(&place.top, &link).unwrap();
    assert_eq!(Binding::find_in(&link, &place.shelves()).unwrap().dir, dir);
}

#[test]
fn a_binding_that_could_not_be_read_back_is_not_written() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut wrong = binding(&place.root.path().join("new"), &place.top);
    wrong.work_dir = "relative".into();
    assert!(wrong.save().unwrap_err().to_string().contains("absolute path"));
    wrong.work_dir = std::ffi::OsStr::from_bytes(b"/a\xff").into();
    assert!(wrong.save().unwrap_err().to_string().contains("not UTF-8"));
    assert!(!wrong.dir.exists());
}

#[test]
fn the_system_comes_before_the_user_and_the_named_directory_before_both() {
    let place = Place::new();
    let user = place.bind("user/shop", &place.top);
    assert_eq!(place.find().unwrap().dir, user);
    let system = place.bind("etc/shop", &place.top);
    assert_eq!(place.find().unwrap().dir, system);
    let exact = place.bind("exact", &place.top);
    let places = BindingPlaces { exact: Some(exact.join("")), ..place.shelves() };
    assert_eq!(Binding::find_in(&place.top, &places).unwrap().dir, exact);
    let places = BindingPlaces { exact: Some(place.dir("empty")), ..place.shelves() };
    let found = Binding::find_in(&place.top, &places);
    assert!(matches!(found, Err(BindingError::Unbound { .. })), "{found:?}");
}

#[test]
fn an_unbound_work_tree_hears_of_bindings_elsewhere() {
    let place = Place::new();
    place.bind("etc/shop", Path::new("/opt/other"));
    match place.find() {
        Err(BindingError::Unbound { elsewhere }) => {
            assert_eq!(elsewhere, [Path::new("/opt/other")])
        }
        other => panic!("{other:?}"),
    }
    let nowhere = Binding::find_in(&place.top, &BindingPlaces::default());
    assert!(matches!(nowhere, Err(BindingError::Unbound { .. })), "{nowhere:?}");
}

#[test]
fn two_bindings_of_one_work_tree_are_an_error() {
    let place = Place::new();
    place.bind("etc/a", &place.top);
    place.bind("etc/b", &place.top);
    let error = place.find().unwrap_err().to_string();
    assert!(error.contains("etc/b/host.toml") && error.contains("a second time"), "{error}");
}

#[test]
fn a_broken_binding_stops_only_who_may_need_it() {
    let place = Place::new();
    place.write("etc/a", "version = 1\n");
    let error = place.find().unwrap_err().to_string();
    assert!(error.contains("the file needs \"app\""), "{error}");
    let dir = place.bind("etc/b", &place.top);
    assert_eq!(place.find().unwrap().dir, dir);
}

#[test]
fn what_others_could_have_written_is_refused() {
    let place = Place::new();
    let dir = place.bind("etc/shop", &place.top);
    let refused = |wanted: &str| {
        let error = place.find().unwrap_err();
        assert!(matches!(error, BindingError::Unsafe { .. }), "{error:?}");
        assert!(error.to_string().contains(wanted), "{error}");
    };
    mode(&dir, 0o777);
    refused("shop: is writable by others (mode 0777)");
    mode(&dir, 0o755);
    mode(&dir.join(FILE), 0o664);
    refused("host.toml: is writable by others (mode 0664)");
    mode(&dir.join(FILE), 0o644);
    fs::write(dir.join(TRUST), "").unwrap();
    // Nobody is trusted then, but the app is still known.
    mode(&dir.join(TRUST), 0o666);
    let distrust = place.find().unwrap().distrust.unwrap().to_string();
    assert!(distrust.contains("trust: is writable by others"), "{distrust}");
    mode(&dir.join(TRUST), 0o600);
    assert!(place.find().unwrap().distrust.is_none());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir.join(FILE), Some(12345), None).unwrap();
        refused("belongs to user 12345; it must belong to root or to user 0");
    }
}

#[test]
fn links_and_pipes_are_not_followed() {
    let place = Place::new();
    let real = place.bind("elsewhere", &place.top);
    let dir = place.dir("etc/shop");
    symlink(real.join(FILE), dir.join(FILE)).unwrap();
    assert!(place.find().unwrap_err().to_string().contains("is a link"));
    fs::remove_file(dir.join(FILE)).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.join(FILE), rustix::fs::Mode::from(0o644)).unwrap();
    assert!(place.find().unwrap_err().to_string().contains("must be a regular file"));
    fs::remove_file(dir.join(FILE)).unwrap();
    symlink(&real, place.root.path().join("etc/link")).unwrap();
    assert!(place.find().unwrap_err().to_string().contains("links are not followed"));
}

#[test]
fn every_wrong_line_is_told_with_its_place() {
    let good = write(&binding(Path::new("/x"), Path::new("/opt/shop"))).unwrap();
    for (from, to, wanted) in [
        ("version = 1", "version = 2", "version 2 is not supported: this gitroll reads"),
        ("version = 1", "", "the file needs \"version\""),
        ("\"production\"", "\"a/b\"", "is not a valid environment"),
        ("\"/opt/shop\"", "\"opt/shop\"", "absolute path"),
        ("\"/opt/.gitroll-shop\"", "\"/opt/shop/x\"", "outside the work tree"),
        ("\"/usr/bin:/bin\"", "\"/usr/bin::/bin\"", "every part between colons"),
        ("format = \"ssh\"", "format = \"x509\"", "\"x509\" is not known"),
        ("format = \"ssh\"", "format = \"openpgp\"", "not an OpenPGP fingerprint"),
        ("\"deploy\"", "\"-x\"", "is not a user name"),
        ("0123456789ABCDEF01234567\"", "x\"", "not an OpenPGP fingerprint"),
        ("pm2_home", "pm3_home", "did you mean \"pm2_home\"?"),
        ("[trust]", "[trst]", "did you mean \"trust\"?"),
        ("[signing]", "[signing", "not TOML"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from} is not in the text");
        let error = read(&text, Path::new("/x")).unwrap_err().to_string();
        assert!(error.starts_with("/x/host.toml: line "), "{error}");
        assert!(error.contains(wanted), "{to}\n{error}");
    }
}

#[test]
fn places_come_from_the_environment_and_home_may_be_missing() {
    let places = |set: &[(&str, &str)]| {
        BindingPlaces::from_environment(|name| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        })
    };
    let app: AppName = "shop".parse().unwrap();
    assert_eq!(places(&[]).user, None);
    assert_eq!(places(&[]).directory_for(&app, false), None);
    let home = places(&[("HOME", "/home/ana"), ("GITROLL_HOME", "")]);
    assert_eq!(
        home.directory_for(&app, false).unwrap(),
        Path::new("/home/ana/.config/gitroll/shop")
    );
    assert_eq!(home.directory_for(&app, true).unwrap(), Path::new("/etc/gitroll/shop"));
    let xdg = places(&[("HOME", "/home/ana"), ("XDG_CONFIG_HOME", "/cfg")]);
    assert_eq!(xdg.user.unwrap(), Path::new("/cfg/gitroll"));
    assert_eq!(places(&[("XDG_CONFIG_HOME", "cfg"), ("HOME", "x")]).user, None);
    let exact = places(&[("GITROLL_HOME", "/srv/g")]);
    assert_eq!(exact.directory_for(&app, true).unwrap(), Path::new("/srv/g"));
}

#[test]
fn no_damaged_host_toml_makes_it_panic_or_fail_without_a_reason() {
    crate::model::mutated::each("host", |bytes| {
        if let Err(error) = read(&String::from_utf8_lossy(bytes), Path::new("/x")) {
            assert!(error.to_string().starts_with("/x/host.toml: line "), "{error}");
        }
    });
}
