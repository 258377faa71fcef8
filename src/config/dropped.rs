//! Services of one configuration that are none of another any more.

use super::{Config, Manager, Scope, Service};

/// The services of `before` that continue running beside `after` unless they are stopped: their program, pm2 app, unit
/// or commands are those of none of its services. Of a template with fewer instances, a service of the others. In
/// the order of `before`.
pub fn dropped(before: &Config, after: &Config) -> Vec<Service> {
    before.services.iter().filter_map(|service| left_of(service, after)).collect()
}

fn left_of(service: &Service, after: &Config) -> Option<Service> {
    let mut others = after.services.iter();
    let gone = match &service.manager {
        // What it is known by is its name.
        Manager::Process { .. } => !others.any(|other| {
            other.name == service.name && matches!(other.manager, Manager::Process { .. })
        }),
        Manager::Pm2 { app, namespace, .. } => !others.any(|other| {
            matches!(&other.manager, Manager::Pm2 { app: theirs, namespace: in_theirs, .. }
                if theirs == app && in_theirs == namespace)
        }),
        Manager::Command { status, .. } => !others.any(|other| match &other.manager {
            Manager::Command { status: theirs, .. } => {
                other.name == service.name || theirs == status
            }
            _ => false,
        }),
        Manager::Systemd { unit, scope, instances, reload } => {
            let kept = |one: &Manager| others.clone().any(|o| covers(&o.manager, *scope, one));
            let alone = |instance: &String| Manager::Systemd {
                unit: unit.clone(),
                scope: *scope,
                instances: vec![instance.clone()],
                reload: *reload,
            };
            if instances.is_empty() {
                !kept(&service.manager)
            } else {
                let left: Vec<String> =
                    instances.iter().filter(|one| !kept(&alone(one))).cloned().collect();
                let manager = Manager::Systemd {
                    unit: unit.clone(),
                    scope: *scope,
                    instances: left.clone(),
                    reload: *reload,
                };
                return (!left.is_empty()).then(|| Service { manager, ..service.clone() });
            }
        }
    };
    gone.then(|| service.clone())
}

/// Whether the units of `one` are among those of a service.
fn covers(service: &Manager, scope: Scope, one: &Manager) -> bool {
    let same = matches!(service, Manager::Systemd { scope: theirs, .. } if *theirs == scope);
    let units = service.units();
    same && one.units().iter().all(|unit| units.contains(unit))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::parse;
    use super::dropped;

    fn names(before: &str, after: &str) -> Vec<String> {
        let config = |text: &str| parse(&format!("[app]\nname = \"a\"\n{text}"), "f").unwrap();
        let dropped = dropped(&config(before), &config(after));
        let units = |s: &crate::config::Service| s.manager.units().join(" ");
        dropped.iter().map(|s| format!("{} {}", s.name, units(s)).trim().to_owned()).collect()
    }

    #[test]
    fn a_service_is_dropped_where_nothing_of_its_manager_is_left_in_charge_of_it() {
        let process =
            |name: &str| format!("[service.{name}]\nmanager = \"process\"\ncommand = [\"x\"]\n");
        let pm2 = |name: &str, app: &str| {
            format!("[service.{name}]\nmanager = \"pm2\"\nname = \"{app}\"\n")
        };
        let unit = |name: &str, unit: &str, more: &str| {
            format!("[service.{name}]\nmanager = \"systemd\"\nname = \"{unit}\"\n{more}\n")
        };
        let none: [&str; 0] = [];
        assert_eq!(names(&process("web"), &process("web")), none);
        assert_eq!(names(&process("web"), &process("www")), ["web"]);
        assert_eq!(names(&process("web"), &pm2("web", "web")), ["web"]);
        assert_eq!(names(&pm2("web", "shop"), &pm2("www", "shop")), none);
        assert_eq!(names(&pm2("web", "shop"), &pm2("web", "store")), ["web"]);
        assert_eq!(names(&unit("web", "a", ""), &unit("www", "a.service", "")), none);
        assert_eq!(names(&unit("web", "a", ""), &unit("web", "b", "")), ["web a.service"]);
        assert_eq!(
            names(&unit("web", "a", ""), &unit("web", "a", "scope = \"user\"")),
            ["web a.service"]
        );
        let two = unit("web", "a@", "instances = [\"1\", \"2\"]");
        assert_eq!(names(&two, &unit("web", "a@", "instances = [\"2\"]")), ["web a@1.service"]);
        assert_eq!(names(&two, ""), ["web a@1.service a@2.service"]);
    }
}
