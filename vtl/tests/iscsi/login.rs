//! Logins: stages, authentication, what is agreed on, discovery, and what is refused with which status.

use scsi::iscsi::chap::{Credentials, InitiatorChap};
use scsi::iscsi::parameters::{DigestWish, Wishes};
use scsi::iscsi::pdu::{LoginStatus, NO_TAG, Response, Stage, TextRequest};
use scsi::iscsi::text::Text;
use vtl::iscsi_target::{Event, Target, TargetOptions};

use super::client::{DRIVE, Raw, World, pattern, world, world_with};

fn secured(mutual: bool) -> World {
    world_with(TargetOptions {
        chap: Some(Credentials::new("backup", "initiator secret")),
        mutual_chap: mutual.then(|| Credentials::new("library", "target's own secret")),
        ..TargetOptions::default()
    })
}

/// The security stage with these credentials; the outcome of its last step.
fn authenticate(
    raw: &mut Raw,
    target: &str,
    ours: (&str, &str),
    theirs: Option<(&str, &str)>,
) -> Result<(), String> {
    let ours = Credentials::new(ours.0, ours.1);
    let theirs = theirs.map(|(name, secret)| Credentials::new(name, secret));
    let mut chap = InitiatorChap::new(ours, theirs).unwrap();
    let mut text = raw.identity(target);
    text.push("AuthMethod", "CHAP,None");
    let step = |raw: &mut Raw, next, text: &Text| {
        let request = raw.login_request(Stage::Security, next);
        raw.login_step(request, text).unwrap()
    };
    let (response, answer) = step(raw, None, &text);
    assert!(response.status.is_success() && response.transit.next.is_none());
    assert_eq!(answer.get("AuthMethod"), Some("CHAP"));
    assert_eq!(answer.get("TargetPortalGroupTag"), Some("1"));
    let (_, challenge) = step(raw, None, &chap.offer());
    let respond = chap.respond(&challenge).unwrap();
    let (response, shown) = step(raw, Some(Stage::Operational), &respond);
    if !response.status.is_success() {
        return Err(response.status.to_string());
    }
    assert_eq!(response.transit.next, Some(Stage::Operational));
    chap.verify(&shown).map_err(|error| error.to_string())
}

#[test]
fn chap_one_way_and_both_ways() {
    for (mutual, theirs) in
        [(false, None), (true, None), (true, Some(("library", "target's own secret")))]
    {
        let world = secured(mutual);
        let target = world.target.name().to_owned();
        let mut raw = Raw::connect(world.target.address());
        authenticate(&mut raw, &target, ("backup", "initiator secret"), theirs).unwrap();
        raw.negotiate(&mut Text::new(), &Wishes::default(), false).unwrap();
        raw.fails(DRIVE, &[0; 6], (6, 0x29, 0));
    }
}

#[test]
fn who_does_not_know_the_secret_gets_nothing() {
    let world = secured(true);
    let target = world.target.name().to_owned();
    for ours in [("backup", "guess"), ("stranger", "initiator secret")] {
        let mut raw = Raw::connect(world.target.address());
        assert!(authenticate(&mut raw, &target, ours, None).is_err());
        assert!(raw.receive().is_none(), "the connection stays open");
    }
    // The initiator asks for the target's secret and knows another one: it is the one to go.
    let mut raw = Raw::connect(world.target.address());
    let theirs = Some(("library", "another secret"));
    let wrong = authenticate(&mut raw, &target, ("backup", "initiator secret"), theirs);
    assert!(wrong.unwrap_err().contains("impostor"));
    // Without a proof there is no operational stage, by whatever way.
    let mut raw = Raw::connect(world.target.address());
    assert_eq!(raw.login(&target, &Wishes::default()), Err(LoginStatus::AUTHENTICATION_FAILED));
    for offer in ["None", "KRB5"] {
        let mut raw = Raw::connect(world.target.address());
        let mut text = raw.identity(&target);
        text.push("AuthMethod", offer);
        let request = raw.login_request(Stage::Security, Some(Stage::FullFeature));
        let (response, _) = raw.login_step(request, &text).unwrap();
        assert_eq!(response.status, LoginStatus::AUTHENTICATION_FAILED, "{offer}");
    }
    let mut raw = Raw::connect(world.target.address());
    let request = raw.login_request(Stage::Security, Some(Stage::FullFeature));
    let (response, _) = raw.login_step(request, &raw.identity(&target)).unwrap();
    assert!(response.status.is_success());
    assert_eq!(response.transit.next, None, "it may not go on");
    // Nor is there discovery.
    let mut raw = Raw::connect(world.target.address());
    let mut text = Text::new();
    text.push("InitiatorName", raw.initiator.clone()).push("SessionType", "Discovery");
    let refused = raw.negotiate(&mut text, &Wishes::default(), true);
    assert_eq!(refused, Err(LoginStatus::AUTHENTICATION_FAILED));
    let events = world.events.lock().unwrap();
    assert!(events.iter().any(
        |event| matches!(event, Event::LoginRefused { reason, .. } if reason.contains("wrong name or secret"))
    ));
    assert!(!format!("{events:?}").contains("initiator secret"));
}

#[test]
fn discovery_tells_name_and_address() {
    let world = world();
    let mut raw = Raw::connect(world.target.address());
    let mut text = Text::new();
    text.push("InitiatorName", raw.initiator.clone()).push("SessionType", "Discovery");
    raw.negotiate(&mut text, &Wishes::default(), true).unwrap();
    let mut ask = |wanted: &str| {
        let mut text = Text::new();
        text.push("SendTargets", wanted);
        let request = TextRequest {
            is_immediate: false,
            is_final: true,
            is_continued: false,
            lun: 0,
            task_tag: 5,
            transfer_tag: NO_TAG,
            cmd_sn: raw.cmd_sn,
            exp_stat_sn: raw.exp_stat_sn,
        };
        raw.cmd_sn = raw.cmd_sn.wrapping_add(1);
        raw.send(request, &text.to_bytes());
        let (Response::Text(_), data) = raw.receive().unwrap() else { panic!() };
        Text::parse(&data).unwrap()
    };
    for wanted in ["All", world.target.name()] {
        let found = ask(wanted);
        assert_eq!(found.get("TargetName"), Some(world.target.name()));
        let address = format!("{},1", world.target.address());
        assert_eq!(found.get("TargetAddress"), Some(&*address));
    }
    assert!(ask("iqn.2026-01.test:other").is_empty());
    // There are no units in such a session.
    raw.begin(DRIVE, &[0; 6], 0);
    assert!(matches!(raw.receive().unwrap().0, Response::Reject(_)));
}

#[test]
fn a_refused_login_says_why() {
    let world = world();
    let target = world.target.name().to_owned();
    let attempt = |text: &dyn Fn(&Raw) -> Text, version_min, tsih| {
        let mut raw = Raw::connect(world.target.address());
        let text = text(&raw);
        let mut request = raw.login_request(Stage::Operational, Some(Stage::FullFeature));
        (request.version_min, request.tsih) = (version_min, tsih);
        let (response, _) = raw.login_step(request, &text).unwrap();
        assert!(raw.receive().is_none());
        response.status
    };
    let whole = |raw: &Raw| raw.identity(&target);
    let without = |missing: &'static str| {
        let target = target.clone();
        move |raw: &Raw| {
            let mut text = Text::new();
            for (key, value) in raw.identity(&target).iter().filter(|(key, _)| *key != missing) {
                text.push(key, value);
            }
            text
        }
    };
    let with = |key: &'static str, value: &'static str| {
        let base = without(key);
        move |raw: &Raw| {
            let mut text = base(raw);
            text.push(key, value);
            text
        }
    };
    assert_eq!(attempt(&without("InitiatorName"), 0, 0), LoginStatus::MISSING_PARAMETER);
    assert_eq!(attempt(&without("TargetName"), 0, 0), LoginStatus::MISSING_PARAMETER);
    assert_eq!(attempt(&with("TargetName", "iqn.2026-01.test:x"), 0, 0), LoginStatus::NOT_FOUND);
    assert_eq!(attempt(&with("InitiatorName", "nobody"), 0, 0), LoginStatus::INITIATOR_ERROR);
    assert_eq!(attempt(&with("SessionType", "Strange"), 0, 0), LoginStatus::SESSION_TYPE);
    assert_eq!(attempt(&whole, 1, 0), LoginStatus::UNSUPPORTED_VERSION);
    assert_eq!(attempt(&whole, 0, 99), LoginStatus::NO_SESSION);
    let twice = |raw: &Raw| {
        let mut text = raw.identity(&target);
        text.push("MaxBurstLength", "65536").push("MaxBurstLength", "65536");
        text
    };
    assert_eq!(attempt(&twice, 0, 0), LoginStatus::INITIATOR_ERROR);
    // A second connection of a session that there is.
    let mut raw = Raw::connect(world.target.address());
    let request = raw.login_request(Stage::Operational, Some(Stage::FullFeature));
    let (response, _) = raw.login_step(request, &raw.identity(&target)).unwrap();
    assert_eq!(attempt(&whole, 0, response.tsih), LoginStatus::TOO_MANY_CONNECTIONS);
}

#[test]
fn a_login_in_many_small_steps() {
    let world = world();
    let mut raw = Raw::connect(world.target.address());
    let bytes = raw.identity(world.target.name()).to_bytes();
    // Text cut anywhere.
    let (first, second) = bytes.split_at(20);
    let mut request = raw.login_request(Stage::Security, None);
    request.transit.is_continued = true;
    raw.send(request, first);
    let Some((Response::Login(response), data)) = raw.receive() else { panic!() };
    assert!(response.status.is_success() && data.is_empty() && response.transit.next.is_none());
    let request = raw.login_request(Stage::Security, Some(Stage::Operational));
    raw.send(request, second);
    let Some((Response::Login(response), _)) = raw.receive() else { panic!() };
    assert_eq!(response.transit.next, Some(Stage::Operational));
    let step = |raw: &mut Raw, key: &str, value: &str| {
        let mut text = Text::new();
        text.push(key, value);
        let request = raw.login_request(Stage::Operational, None);
        raw.login_step(request, &text).unwrap()
    };
    let (response, answer) = step(&mut raw, "MaxBurstLength", "65536");
    assert_eq!((response.tsih, answer.get("MaxBurstLength")), (0, Some("65536")));
    assert!(answer.get("MaxRecvDataSegmentLength").is_some());
    let (_, answer) = step(&mut raw, "ErrorRecoveryLevel", "2");
    assert_eq!(answer.get("ErrorRecoveryLevel"), Some("0"));
    assert_eq!(answer.get("MaxRecvDataSegmentLength"), None, "declared once");
    let request = raw.login_request(Stage::Operational, Some(Stage::FullFeature));
    let (response, _) = raw.login_step(request, &Text::new()).unwrap();
    assert!(response.status.is_success() && response.tsih != 0);
    raw.fails(DRIVE, &[0; 6], (6, 0x29, 0));
}

#[test]
fn digests_guard_both_directions() {
    for (target, ours, both) in [
        (DigestWish::Allowed, DigestWish::Preferred, true),
        (DigestWish::Required, DigestWish::Allowed, true),
        (DigestWish::Never, DigestWish::Preferred, false),
    ] {
        let world = world_with(TargetOptions { digests: target, ..TargetOptions::default() });
        let wishes = Wishes { header_digest: ours, data_digest: ours, ..Wishes::default() };
        let mut raw = Raw::connect(world.target.address());
        raw.login(world.target.name(), &wishes).unwrap();
        assert_eq!((raw.agreed.digests.header, raw.agreed.digests.data), (both, both));
        raw.settle(0);
        raw.good(0, &super::client::move_medium(1024, 256));
        raw.settle(DRIVE);
        // Lengths of all paddings.
        for length in 997..1002 {
            raw.write_block(&pattern(length as u64, length));
        }
        raw.rewind();
        for length in 997..1002 {
            assert!(raw.read_block(length).data == pattern(length as u64, length));
        }
    }
    let world =
        world_with(TargetOptions { digests: DigestWish::Required, ..TargetOptions::default() });
    let never = Wishes {
        header_digest: DigestWish::Never,
        data_digest: DigestWish::Never,
        ..Wishes::default()
    };
    let mut raw = Raw::connect(world.target.address());
    assert_eq!(raw.login(world.target.name(), &never), Err(LoginStatus::INITIATOR_ERROR));
}

#[test]
fn a_target_needs_a_name_and_two_secrets() {
    let world = world();
    let start = |options: TargetOptions| {
        let listen = "127.0.0.1:0".parse().unwrap();
        let observer = std::sync::Arc::new(|_: Event| {});
        Target::start(&world.library, TargetOptions { listen, ..options }, observer).err().unwrap()
    };
    let defaults = TargetOptions::default;
    let error = start(TargetOptions { name: Some("library".into()), ..defaults() });
    assert!(error.to_string().contains("iqn"), "{error}");
    let secret = |secret: &str| Some(Credentials::new("x", secret));
    let error = start(TargetOptions { mutual_chap: secret("a"), ..defaults() });
    assert!(error.to_string().contains("both"), "{error}");
    let same = TargetOptions { chap: secret("a"), mutual_chap: secret("a"), ..defaults() };
    assert!(start(same).to_string().contains("same secret"));
    // A port that is taken.
    let observer = std::sync::Arc::new(|_: Event| {});
    let taken = TargetOptions { listen: world.target.address(), ..defaults() };
    let error = Target::start(&world.library, taken, observer).err().unwrap();
    assert!(error.to_string().contains("cannot listen"), "{error}");
}
