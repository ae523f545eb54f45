//! Which failures of the system are a verdict over the data, and which are none.

use datastore::chunk_store::SyncLevel;
use datastore::manifest::VerifyResult;
use datastore::progress::Silent;
use datastore::snapshot::reader::load_manifest;
use datastore::testing::{CallKind, Fault, FaultAt};
use datastore::verify::{self, Verifier};

use crate::world::{World, back_up, content, name};

/// Verifies the only snapshot of a world in which some calls fail. What was recorded: `None` if nothing.
fn recorded(kind: CallKind, path: &str, errno: i32) -> (bool, Option<VerifyResult>) {
    let world = World::new(SyncLevel::None);
    let store = world.store();
    let snapshot = name("", "host/elsa/2024-01-01T00:00:00Z");
    back_up(&store, &snapshot, &content(1)).unwrap();
    let fault = Fault { at: FaultAt::Path(kind, path.into()), errno, short: false };
    world.fs.inject(fault);
    let record = Some(verify::TaskName { upid: "UPID:elsa".into() });
    let options = verify::Options { keys: Vec::new(), threads: 2, record };
    let result = Verifier::new(&store, &options, &Silent).snapshot(&snapshot.0, &snapshot.1);
    world.fs.heal();
    let manifest = load_manifest(&store, &snapshot.0, &snapshot.1).unwrap();
    let aside = world.fs.files().iter().any(|path| path.to_string_lossy().ends_with(".bad"));
    assert!(result.is_ok() || !aside, "a chunk was set aside although there is no verdict");
    (result.is_ok(), manifest.verify_state().map(|state| state.state))
}

#[test]
fn what_says_nothing_of_the_data_is_no_verdict() {
    for (kind, path) in
        [(CallKind::Read, ".chunks"), (CallKind::Open, ".didx"), (CallKind::Read, ".conf.blob")]
    {
        for errno in [libc::EMFILE, libc::ENOMEM, libc::EACCES] {
            assert_eq!(recorded(kind, path, errno), (false, None), "{path} {errno}");
        }
        let failed = Some(VerifyResult::Failed);
        assert_eq!(recorded(kind, path, libc::EIO), (true, failed), "{path}");
    }
    assert_eq!(recorded(CallKind::Read, "no such path", libc::EIO), (true, Some(VerifyResult::Ok)));
}
