//! Witnesses: what is able to tell the intended version from what served before. Pure.

use crate::config::{Check, CheckKind, Expected, HttpCheck};
use crate::service::ServiceState;
use crate::system::procs::Ticks;

use super::listeners::{Listener, Sockets, Whose};
use super::template::Template;

/// Whether a set of checks and services could ever tell old from new.
///
/// `service_has_pids`: whether each service's manager can name its processes. The owner of a socket may
/// turn out to be a witness too, but nobody can promise that it will be visible.
pub fn has_witness(checks: &[Check], service_has_pids: &[bool]) -> bool {
    let all_named = !service_has_pids.is_empty() && service_has_pids.iter().all(|named| *named);
    all_named || checks.iter().any(names_version)
}

/// What shows that the intended version serves and not what served before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Witness {
    /// Nothing was reloaded: there is no before.
    NotDemanded,
    /// A check told the version.
    Told,
    /// Every process of every service was started after the reload.
    Processes,
    /// The sockets belong to processes started after the reload.
    Sockets,
    /// Every process is fresh, but whatever was asked was asked through a proxy.
    Proxied,
    /// Files were changed and nothing was reloaded, and no answer shows it.
    Unseen,
    /// Nothing does, and that was accepted.
    Waived,
}

/// The listener that may not answer any more: no process of a service, and older than the reload. A proxy may be
/// of any age.
pub(super) fn old_listener(listeners: &[Listener], since: Ticks) -> Option<u32> {
    let other = |l: &&Listener| matches!(l.whose, Whose::Stranger | Whose::Unknown);
    let old = |l: &&Listener| l.started.is_some_and(|started| started < since.0);
    listeners.iter().filter(other).find(old)?.pid
}

/// Whether a process that may answer is seen, and belongs to a service or is young enough.
fn is_fresh(listener: &Listener, since: Ticks) -> bool {
    match listener.whose {
        Whose::Ours => true,
        Whose::Front => false,
        Whose::Stranger | Whose::Unknown => {
            listener.started.is_some_and(|started| started >= since.0)
        }
    }
}

/// The process of a service that is older than the reload.
pub(super) fn old_process(state: &ServiceState, since: Ticks) -> Option<u32> {
    state.processes.iter().find(|p| p.start_ticks < since.0).map(|p| p.pid)
}

/// The strongest witness there is. What speaks against (old processes, old listeners) has been found
/// before; here is only asked what speaks for it.
pub(super) fn weigh(
    told: bool,
    services: &[&ServiceState],
    sockets: &Sockets,
    proxied: bool,
    fresh_since: Option<Ticks>,
    weak: bool,
) -> Option<Witness> {
    let Some(since) = fresh_since else { return Some(Witness::NotDemanded) };
    if told {
        return Some(Witness::Told);
    }
    let services: Vec<&&ServiceState> =
        services.iter().filter(|service| !service.untouched).collect();
    if services.iter().any(|service| service.kept || service.no_witness.is_some()) {
        return weak.then_some(Witness::Waived);
    }
    let all_named = services.iter().all(|s| !s.processes.is_empty());
    let all_fresh = services.iter().all(|s| old_process(s, since).is_none());
    if !services.is_empty() && all_named && all_fresh {
        return Some(if proxied && !weak { Witness::Proxied } else { Witness::Processes });
    }
    // Where a manager names no processes, the socket must be seen to be fresh itself, at every check that
    // asks this host.
    let mut here = sockets.iter().flatten().peekable();
    let sockets_fresh = here.peek().is_some()
        && here.all(|l| !l.is_empty() && l.iter().all(|l| is_fresh(l, since)));
    if !services.is_empty() && all_fresh && sockets_fresh {
        return Some(Witness::Sockets);
    }
    weak.then_some(Witness::Waived)
}

/// Whether a check's expectations could tell the version. A file of the tree never does: it says nothing
/// about what serves.
pub fn names_version(check: &Check) -> bool {
    let named = |expected: &Expected| {
        expected.value.as_str().is_some_and(|text| Template::of(expected, text).names_version())
    };
    match &check.kind {
        CheckKind::Http(HttpCheck { headers, body, json, file, .. }) => {
            file.is_some() || headers.values().chain(json.values()).chain(body).any(named)
        }
        CheckKind::Tcp(tcp) => tcp.banner.iter().any(named),
        CheckKind::Command(command) => command.stdout.iter().any(named),
        CheckKind::Log(log) => log.must.as_ref().is_some_and(|m| Template::new(m).names_version()),
        CheckKind::File(_) | CheckKind::Metric(_) => false,
    }
}

/// Whether the answer to a check shows that the app does what it is there for.
pub fn asks_the_app(check: &Check) -> bool {
    match &check.kind {
        CheckKind::Http(http) => http.own,
        CheckKind::Tcp(tcp) => tcp.own,
        CheckKind::Metric(metric) => metric.own,
        CheckKind::Command(_) => true,
        CheckKind::Log(log) => log.must.is_some(),
        CheckKind::File(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::system::procs::ProcessId;

    const SINCE: Option<Ticks> = Some(Ticks(100));

    fn state(starts: &[u64]) -> ServiceState {
        ServiceState {
            word: "online".to_owned(),
            up: true,
            processes: starts
                .iter()
                .map(|&start_ticks| ProcessId { pid: 1, start_ticks, boot_id: String::new() })
                .collect(),
            restarts: 0,
            socket_owners: Vec::new(),
            stale: None,
            untouched: false,
            kept: false,
            no_witness: None,
            redefined: None,
            log: Vec::new(),
        }
    }

    fn listener(started: u64, ours: bool) -> Listener {
        let whose = if ours { Whose::Ours } else { Whose::Unknown };
        Listener { pid: Some(7), started: Some(started), whose }
    }

    #[test]
    fn a_listener_is_old_only_if_it_is_strange_and_was_there_before() {
        let since = Ticks(100);
        assert_eq!(old_listener(&[], since), None);
        assert_eq!(old_listener(&[listener(99, false)], since), Some(7));
        assert_eq!(old_listener(&[listener(99, true)], since), None);
        assert_eq!(old_listener(&[listener(100, false)], since), None);
        assert_eq!(old_listener(&[listener(200, true), listener(5, false)], since), Some(7));
    }

    #[test]
    fn witnesses_are_weighed() {
        use Witness::{NotDemanded, Processes, Told, Waived};
        let (fresh, old, silent) = (state(&[100, 101]), state(&[100, 99]), state(&[]));
        let left = ServiceState { untouched: true, ..state(&[50]) };
        let beside =
            ServiceState { no_witness: Some("runs /old/x.py".to_owned()), ..state(&[100]) };
        let open = |l: Listener| vec![Some(vec![l])];
        let (none, unseen) = (Sockets::new(), vec![Some(Vec::new())]);
        type Case<'a> = (
            bool,
            Vec<&'a ServiceState>,
            Sockets,
            Option<Ticks>,
            bool,
            Option<Witness>,
            &'static str,
        );
        let table: Vec<Case<'_>> = vec![
            (false, vec![&old], none.clone(), None, false, Some(NotDemanded), "nothing reloaded"),
            (true, vec![&silent], none.clone(), SINCE, false, Some(Told), "the version was told"),
            (false, vec![&fresh], none.clone(), SINCE, false, Some(Processes), "all are fresh"),
            (false, vec![&fresh, &old], none.clone(), SINCE, false, None, "one is not"),
            (false, vec![&fresh, &silent], none.clone(), SINCE, false, None, "one is not seen"),
            (false, vec![&silent], none.clone(), SINCE, true, Some(Waived), "asked for"),
            (false, vec![], none.clone(), SINCE, false, None, "nothing to see"),
            (
                false,
                vec![&silent],
                open(listener(100, false)),
                SINCE,
                false,
                Some(Witness::Sockets),
                "the socket is fresh",
            ),
            (false, vec![&silent], open(listener(99, false)), SINCE, false, None, "it is old"),
            (false, vec![&silent], unseen.clone(), SINCE, false, None, "it is not seen"),
            (
                false,
                vec![&silent],
                [open(listener(100, false)), unseen].concat(),
                SINCE,
                false,
                None,
                "one of two is not seen",
            ),
            (false, vec![&silent], vec![None], SINCE, false, None, "asked elsewhere"),
            (
                false,
                vec![&fresh, &left],
                none.clone(),
                SINCE,
                false,
                Some(Processes),
                "one was left",
            ),
            (false, vec![&left], none.clone(), SINCE, false, None, "all were left"),
            (
                false,
                vec![&fresh, &beside],
                open(listener(100, true)),
                SINCE,
                false,
                None,
                "one may run another copy",
            ),
            (true, vec![&beside], none.clone(), SINCE, false, Some(Told), "and told the version"),
        ];
        for (told, services, sockets, since, weak, wanted, why) in table {
            assert_eq!(weigh(told, &services, &sockets, false, since, weak), wanted, "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_old_process_is_ever_a_witness(
            starts in proptest::collection::vec(proptest::collection::vec(0u64..200, 0..4), 0..4),
            listeners in proptest::collection::vec(proptest::option::of(
                proptest::collection::vec((0u64..200, any::<bool>()), 0..3)), 0..3),
        ) {
            let states: Vec<ServiceState> = starts.iter().map(|s| state(s)).collect();
            let services: Vec<&ServiceState> = states.iter().collect();
            let sockets: Sockets = listeners
                .into_iter()
                .map(|l| l.map(|l| l.into_iter().map(|(s, ours)| listener(s, ours)).collect()))
                .collect();
            let witness = weigh(false, &services, &sockets, false, SINCE, false);
            if starts.iter().flatten().any(|start| *start < 100) {
                prop_assert_eq!(witness, None);
            }
            if witness == Some(Witness::Processes) {
                prop_assert!(starts.iter().all(|s| !s.is_empty()));
            }
        }
    }
}
