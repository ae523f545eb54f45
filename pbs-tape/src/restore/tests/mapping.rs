//! Datastores, namespaces and owners: where what was on tape goes.

use super::*;

/// Two stores on one set; the first has snapshots in the root and in `x/y`.
fn two_stores() -> (Set, Arc<Datastore>, String) {
    let mut set = written();
    let second = set.world.store("second");
    let chunks = [noise(70, 600_000), noise(71, 1000)];
    let name = add_snapshot(&second, "x", "c", 1_700_000_300, &chunks);
    let options = TapeBackupOptions::new("other");
    let pool = PoolConfig::new("p1");
    let report =
        run_backup(&set.world.state, &second, pool, &mut set.library, &options, &Silent).unwrap();
    assert_eq!(report.media_set_uuid, set.uuid);
    set.tapes.extend(report.tapes);
    (set, second, name)
}

fn run(set: &mut Set, options: &RestoreOptions) -> RestoreReport {
    run_restore(&set.world.state, &mut set.library, options, &Silent).unwrap()
}

fn has(store: &Datastore, name: &str) -> bool {
    let (namespace, path) = datastore::hierarchy::parse_qualified_name(name).unwrap();
    unpack::exists(store, &namespace, &path).unwrap()
}

#[test]
fn each_source_goes_to_its_target_and_an_unmapped_one_nowhere() {
    let (mut set, second, name) = two_stores();
    let (one, two) = (set.target(), set.world.store_for("two", &second));
    let open = |wanted: &str| -> Result<SharedStore> {
        Ok(if wanted == "one" { one.clone() } else { two.clone() })
    };
    let mut options = set.options(&one, &[]);
    options.stores = StoreMap::parse("main=one", &open).unwrap();
    let report = run(&mut set, &options);
    assert_eq!(report.snapshots_restored.len(), 3);
    assert_eq!(
        report.snapshots_skipped,
        [(format!("other:{name}"), "datastore other is not mapped".to_string())]
    );
    assert!(!has(&two, &name));
    report.into_result().unwrap();
    // The rest, into the other: nothing of the first is read.
    options.stores = StoreMap::parse("main=one,other=two", &open).unwrap();
    let report = run(&mut set, &options);
    assert_eq!(report.snapshots_restored, [format!("other:{name}")]);
    assert_eq!((report.chunks, report.chunks_present), (2, 0));
    assert_eq!(fingerprint(&second, &name), fingerprint(&two, &name));
    set.assert_restored(&one, &[0, 1, 2]);
    assert!(!has(&one, &name));
}

#[test]
fn namespaces_are_put_where_the_rules_say() {
    let (mut set, _second, _) = two_stores();
    let third = set.names[2].clone();
    let time = third.rsplit('/').next().unwrap().to_string();
    for (rules, expected, restored) in [
        (&["store=main"][..], &["ns/x/ns/y/"][..], 3),
        (&["store=main,target=here"], &["ns/here/ns/x/ns/y/"], 3),
        (&["store=main,source=x"], &["ns/y/"], 1),
        (&["store=main,source=x/y"], &[""], 1),
        (&["store=main,source=x,target=a/b"], &["ns/a/ns/b/ns/y/"], 1),
        (&["store=main,max-depth=1"], &[], 2),
        (&["store=main,source=x,max-depth=0"], &[], 0),
        (&["store=main,source=x", "store=main,target=copy"], &["ns/y/", "ns/copy/ns/x/ns/y/"], 3),
        (&["store=main,source=x", "store=main,source=x/y,target=y"], &["ns/y/"], 1),
    ] {
        let name = format!("target-{}", rules.join("-").replace(['/', '='], "_"));
        let target = set.world.store_for(&name, &set.store);
        let maps = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let mut options = set.options(&target, &[]);
        options.stores = options.stores.with_namespaces(maps).unwrap();
        let report = run(&mut set, &options);
        assert_eq!(report.snapshots_restored.len(), restored, "{rules:?}: {report:?}");
        assert_eq!(report.snapshots_skipped.len(), 4 - restored, "{rules:?}");
        assert!(report.snapshots_skipped.iter().all(|(_, why)| why.contains("not mapped")));
        report.into_result().unwrap();
        let mut found = Vec::new();
        for namespace in target.namespaces(&"".parse().unwrap(), Some(7), &mut ()).unwrap() {
            let path = match namespace.is_root() {
                true => String::new(),
                false => format!("{}/", namespace.path()),
            };
            if has(&target, &format!("{path}host/b/{time}")) {
                let there = fingerprint(&target, &format!("{path}host/b/{time}"));
                assert_eq!(there, fingerprint(&set.store, &third), "{rules:?}");
                found.push(path);
            }
        }
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found, expected, "{rules:?}");
        // Once more: it is there.
        let report = run(&mut set, &options);
        assert_eq!((report.snapshots_restored.len(), report.tapes.len()), (0, 0), "{rules:?}");
    }
}

/// Chosen snapshots go by the rules, too; one that no rule reaches was wanted and is a failure.
#[test]
fn a_chosen_snapshot_outside_of_the_rules_is_a_failure() {
    let mut set = written();
    let target = set.target();
    let mut options = set.options(&target, &[0, 2]);
    let maps = vec!["store=main,source=x,target=z".parse().unwrap()];
    options.stores = options.stores.with_namespaces(maps).unwrap();
    let report = run(&mut set, &options);
    assert_eq!(report.snapshots_restored, [format!("main:{}", set.names[2])]);
    assert_eq!(report.snapshots_failed.len(), 1);
    assert!(report.snapshots_failed[0].1.contains("not mapped"));
    assert!(has(&target, &set.names[2].replace("ns/x/ns/y", "ns/z/ns/y")));
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let set = written();
    let target = set.target();
    let parse = |rules: &[&str]| {
        let maps = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        StoreMap::all_to("target", target.clone()).with_namespaces(maps)
    };
    assert!(parse(&["store=main,source=x", "store=main,source=x/y", "store=b,source=x"]).is_ok());
    let error = parse(&["store=main,source=x,target=a", "store=main,source=x,target=b"]);
    assert!(error.err().unwrap().to_string().contains("given twice"));
    let only = |_: &str| -> Result<SharedStore> { Ok(target.clone()) };
    let stores = StoreMap::parse("a=target", &only).unwrap();
    let error = stores.with_namespaces(vec!["store=b".parse().unwrap()]).err().unwrap();
    assert!(error.to_string().contains("not mapped"), "{error}");
}

/// A place that is too deep for a namespace is told of the one snapshot that would be there.
#[test]
fn a_namespace_that_would_be_too_deep_costs_what_is_in_it() {
    let mut set = written();
    let target = set.target();
    let mut options = set.options(&target, &[]);
    let maps = vec!["store=main,target=1/2/3/4/5/6".parse().unwrap()];
    options.stores = options.stores.with_namespaces(maps).unwrap();
    let report = run(&mut set, &options);
    assert_eq!(report.snapshots_restored.len(), 2);
    assert_eq!(report.snapshots_failed.len(), 1);
    assert!(report.snapshots_failed[0].1.contains("7 deep"), "{:?}", report.snapshots_failed);
}

/// New groups get the owner; a group of somebody else is left alone, before anything of it is read.
#[test]
fn the_owner_is_asked_before_a_tape_is() {
    let mut set = written();
    let target = set.target();
    let mut options = set.options(&target, &[0]);
    options.owner = "somebody@pbs".into();
    run(&mut set, &options).into_result().unwrap();
    let group = "host/a".parse().unwrap();
    assert_eq!(target.owner(&"".parse().unwrap(), &group).unwrap(), "somebody@pbs");
    for owner in ["root@pam", "somebody@pam"] {
        let mut options = set.options(&target, &[1]);
        options.owner = owner.into();
        let report = run(&mut set, &options);
        assert!(report.snapshots_failed[0].1.contains("belongs to somebody@pbs"));
        assert_eq!((report.tapes.len(), report.chunks), (0, 0));
    }
    // Into a namespace where the group is not, it may go.
    let mut options = set.options(&target, &[1]);
    let maps = vec!["store=main,target=own".parse().unwrap()];
    options.stores = options.stores.with_namespaces(maps).unwrap();
    run(&mut set, &options).into_result().unwrap();
    assert_eq!(target.owner(&"own".parse().unwrap(), &group).unwrap(), "root@pam");
}
