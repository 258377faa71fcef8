//! The walk against the plainest way to find out, on random histories; and against what lies beside the commits.

use proptest::prelude::*;

use super::super::testing::Repo;
use super::*;

/// A history: for each commit the numbers of its parents, all lower, its date, and what it says that it reverts.
#[derive(Debug, Clone)]
struct Dag(Vec<(Vec<usize>, i64, Vec<usize>)>);

fn id(number: usize) -> ObjectId {
    ObjectId::from_hex(format!("{:040x}", number + 1).as_bytes()).unwrap()
}

impl Dag {
    fn read(&self, id: &ObjectId, missing: &[usize]) -> Option<Step> {
        let number = usize::from_str_radix(&id.to_string(), 16).unwrap() - 1;
        let (parents, date, reverts) = &self.0[number];
        (!missing.contains(&number)).then(|| Step {
            parents: parents.iter().map(|at| super::tests::id(*at)).collect(),
            date: *date,
            reverts: reverts.iter().map(|at| super::tests::id(*at)).collect(),
        })
    }

    /// Every commit beneath, itself included; the missing ones by their names alone.
    fn beneath(&self, commit: usize, missing: &[usize]) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([commit]);
        if !missing.contains(&commit) {
            for parent in &self.0[commit].0 {
                found.extend(self.beneath(*parent, missing));
            }
        }
        found
    }

    fn naive(&self, commit: usize, of: usize, missing: &[usize]) -> Ancestry {
        let beneath = self.beneath(commit, missing);
        // What is beneath the one that is looked for cannot contain it.
        let under = self.beneath(of, missing);
        let could = |at: &usize| missing.contains(at) && !under.contains(at);
        match (beneath.contains(&of), beneath.iter().any(could)) {
            (true, _) => Ancestry::Ancestor,
            (false, true) => Ancestry::CutOff,
            (false, false) => Ancestry::NoAncestor,
        }
    }

    fn naive_reverted(
        &self,
        commit: usize,
        of: usize,
        missing: &[usize],
        looked_for: &BTreeSet<usize>,
    ) -> bool {
        let beneath = self.beneath(commit, missing);
        let mut says = beneath.iter().filter(|at| !missing.contains(at));
        says.any(|at| {
            let cut_off = || self.naive(*at, of, missing) == Ancestry::CutOff;
            self.0[*at].2.contains(&of)
                && (self.beneath(*at, missing).contains(&of)
                    || looked_for.contains(&of) && cut_off())
                && !self.naive_reverted(commit, *at, missing, looked_for)
        })
    }
}

fn dag() -> impl Strategy<Value = Dag> {
    let commit = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::bool::weighted(0.8),
        -50i64..50,
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::bool::weighted(0.3),
    );
    prop::collection::vec(commit, 1..24).prop_map(|commits| {
        let commits = commits.into_iter().enumerate();
        Dag(commits
            .map(|(number, (parents, line, date, reverts, says))| {
                let mut ids: Vec<usize> = match number {
                    0 => Vec::new(),
                    _ => parents.iter().map(|at| at.index(number)).collect(),
                };
                if line && number > 0 {
                    ids.push(number - 1);
                }
                ids.sort();
                ids.dedup();
                let says = says && number > 0;
                let reverts = reverts.iter().filter(|_| says).map(|at| at.index(number)).collect();
                // By and large newer commits have later dates, and some lie.
                (ids, number as i64 * 10 + date * 3, reverts)
            })
            .collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever the dates, whatever is missing, in whatever order one asks, and whatever was known before.
    #[test]
    fn the_walk_answers_as_the_plainest_way_does(
        dag in dag(),
        missing in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        cut in any::<bool>(),
        looked_for in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        asked in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        remembered in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let number = |index: &prop::sample::Index| index.index(dag.0.len());
        let missing: Vec<usize> =
            if cut { missing.iter().map(number).collect() } else { Vec::new() };
        let looked_for: BTreeSet<usize> = looked_for.iter().map(number).collect();
        let read = |id: &ObjectId| Ok(dag.read(id, &missing));
        let mut walk = Walk::new(&looked_for.iter().map(|at| id(*at)).collect::<Vec<_>>());

        // What another walk found out is remembered, of some.
        let mut earlier = Containment { walks: vec![Walk::new(&walk.looked_for)] };
        for at in remembered.iter().map(number).filter(|at| !missing.contains(at)) {
            earlier.walks[0].look(&read, &[id(at)]).unwrap();
            let known = earlier.known(&oid(id(at)));
            let mut both = Containment { walks: vec![walk] };
            both.remember(&known[..known.len().min(2)]);
            walk = both.walks.remove(0);
        }
        let asked: Vec<usize> =
            asked.iter().map(number).filter(|at| !missing.contains(at)).collect();
        // Some at once, then one after the other.
        let (together, single) = asked.split_at(asked.len() / 2);
        walk.look(&read, &together.iter().map(|at| id(*at)).collect::<Vec<_>>()).unwrap();
        single.iter().for_each(|at| walk.look(&read, &[id(*at)]).unwrap());
        for commit in &asked {
            for of in &looked_for {
                let told = walk.answer(&id(*commit), walk.bit(&id(*of)).unwrap());
                let wanted = dag.naive(*commit, *of, &missing);
                prop_assert_eq!(told, Some(wanted), "{} of {}", commit, of);
                if wanted == Ancestry::Ancestor {
                    let told = stands_reverted(&walk.reverts_in(&id(*commit)), &id(*of), 0);
                    prop_assert_eq!(told, dag.naive_reverted(*commit, *of, &missing, &looked_for));
                }
            }
        }
    }
}

/// 1 reverts 0; 2 says that it reverts 1 and lies beside it; 4 merges both. What was asked first decides nothing.
#[test]
fn a_commit_reverts_only_what_it_contains() {
    let dag = Dag(vec![
        (vec![], 0, vec![]),
        (vec![0], 10, vec![0]),
        (vec![], 20, vec![1]),
        (vec![2], 30, vec![]),
        (vec![1, 2], 40, vec![]),
        (vec![4], 50, vec![1]),
    ]);
    let read = |id: &ObjectId| Ok(dag.read(id, &[]));
    for order in [vec![3, 4, 5], vec![5, 4, 3], vec![4, 3, 5]] {
        let mut walk = Walk::new(&[id(0)]);
        order.iter().for_each(|at| walk.look(&read, &[id(*at)]).unwrap());
        let reverted = |at| stands_reverted(&walk.reverts_in(&id(at)), &id(0), 0);
        assert_eq!((reverted(4), reverted(5)), (true, false), "{order:?}");
    }
}

#[test]
fn only_as_much_is_read_as_lies_between() {
    let line = (0..1000usize).map(|at| (Vec::from_iter(at.checked_sub(1)), at as i64, Vec::new()));
    let dag = Dag(line.collect());
    let count = std::cell::Cell::new(0);
    let read = |id: &ObjectId| {
        count.set(count.get() + 1);
        Ok(dag.read(id, &[]))
    };
    let mut walk = Walk::new(&[id(980)]);
    walk.look(&read, &[id(960)]).unwrap();
    walk.look(&read, &[id(999)]).unwrap();
    assert!(count.get() < 60, "{}", count.get());
    let one_by_one = count.get();
    walk.look(&read, &(500..960).map(id).collect::<Vec<_>>()).unwrap();
    assert!(count.get() < one_by_one + 500, "each is read once: {}", count.get());
}

#[test]
fn what_lies_beside_the_commits_decides_nothing() {
    let repo = Repo::new();
    let held = repo.commit("held");
    for number in 0..5 {
        repo.commit(&format!("work {number}"));
    }
    let tip = repo.id("HEAD");
    let plain = repo.git(&["commit-tree", "HEAD^{tree}", "-m", "no parents"]);
    let ancestry = || {
        let git = repo.open();
        let mut found = Containment::of([&held]);
        found.look(&git, std::slice::from_ref(&tip)).unwrap();
        assert!(git.contains(&tip, &held).unwrap());
        found.ancestry(&tip, &held)
    };
    assert_eq!(ancestry(), Ancestry::Ancestor);

    // A commit-graph that was made where a graft had taken the tip's parents away.
    let info = repo.top.join(".git/objects/info");
    repo.write(".git/info/grafts", format!("{tip}\n"));
    repo.try_git(&[
        "-c",
        "advice.graftFileDeprecated=false",
        "commit-graph",
        "write",
        "--reachable",
    ]);
    assert_eq!(ancestry(), Ancestry::Ancestor);
    std::fs::remove_file(repo.top.join(".git/info/grafts")).unwrap();
    let _ = std::fs::remove_file(info.join("commit-graph"));
    repo.git(&["replace", tip.as_str(), &plain]);
    repo.git(&["commit-graph", "write", "--reachable"]);
    repo.git(&["config", "core.commitGraph", "true"]);
    assert_eq!(ancestry(), Ancestry::Ancestor);

    // The same commit-graph in a repository that has no replacement: what git itself would believe.
    let lying = orphaned(&repo, &tip);
    assert_eq!(repo.git(&["rev-list", "--count", tip.as_str()]), "1", "git believes it");
    assert_eq!(ancestry(), Ancestry::Ancestor);
    std::fs::remove_file(lying).unwrap();

    // A list that says that the clone ends here, although it does not.
    repo.write(".git/shallow", format!("{tip}\n"));
    assert_eq!(repo.git(&["rev-list", "--count", tip.as_str()]), "1", "git believes it");
    let git = repo.open();
    let mut found = Containment::of([&held]);
    found.look(&git, std::slice::from_ref(&tip)).unwrap();
    assert_eq!(found.ancestry(&tip, &held), Ancestry::Ancestor);
}

/// A commit-graph in which this commit has no parents, as git reads it.
fn orphaned(repo: &Repo, tip: &Oid) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let _ = repo.git(&["replace", "-d", tip.as_str()]);
    let file = repo.top.join(".git/objects/info/commit-graph");
    let _ = std::fs::remove_file(&file);
    repo.git(&["commit-graph", "write", "--reachable"]);
    let mut bytes = std::fs::read(&file).unwrap();
    let chunk = |name: &[u8]| {
        let at =
            8 + (0..bytes[6] as usize).find(|n| &bytes[8 + n * 12..][..4] == name).unwrap() * 12;
        u64::from_be_bytes(bytes[at + 4..at + 12].try_into().unwrap()) as usize
    };
    let (fan, ids, data) = (chunk(b"OIDF"), chunk(b"OIDL"), chunk(b"CDAT"));
    let count = u32::from_be_bytes(bytes[fan + 255 * 4..][..4].try_into().unwrap()) as usize;
    let tip = gix_id(tip).unwrap();
    let place = (0..count).find(|n| &bytes[ids + n * 20..][..20] == tip.as_bytes()).unwrap();
    // Twice "no parent".
    let parents = data + place * 36 + 20;
    let none = 0x7000_0000u32.to_be_bytes();
    bytes[parents..parents + 4].copy_from_slice(&none);
    bytes[parents + 4..parents + 8].copy_from_slice(&none);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn a_commit_says_what_it_reverts_by_the_whole_id() {
    let held = "a".repeat(40);
    let text = |message: &str| {
        format!(
            "tree {0}\nparent {0}\nauthor a <a> 1 +0000\ncommitter a <a> 17 +0000\n\n{message}\n",
            "b".repeat(40)
        )
    };
    let said = |message: &str| step_of(text(message).as_bytes()).unwrap().reverts.len();
    assert_eq!(said(&format!("Revert\n\nThis reverts commit {held}.")), 1);
    assert_eq!(said(&format!("This reverts commit {held}\nThis reverts commit {held}x")), 2);
    assert_eq!(said("This reverts commit aaaaaaa."), 0);
    let step = step_of(text("x").as_bytes()).unwrap();
    assert_eq!((step.parents.len(), step.date), (1, 17));
    assert!(step_of(b"parent x\n\n").is_none());
}
