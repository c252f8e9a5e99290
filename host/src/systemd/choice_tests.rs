use std::path::PathBuf;

use unship_core::time::Timestamp;

use super::super::unit::{Activity, LOOK_TAG};
use super::*;

const SOCKET: &str = "demo-web.socket";

fn names(unit: &str) -> SystemdUnit {
    SystemdUnit {
        unit: unit.to_owned(),
        socket: Some(SOCKET.to_owned()),
        timer: None,
        hold: Some("demo-web-hold.service".to_owned()),
        reload: false,
    }
}

fn expected() -> PathBuf {
    PathBuf::from(format!("/opt/demo/releases/{LOOK_TAG}/files/bin/app"))
}

/// A template's instance that misses nothing.
pub(in crate::systemd) fn service() -> ServiceFacts {
    ServiceFacts {
        name: format!("demo-web@{LOOK_TAG}.service"),
        load_state: "loaded".to_owned(),
        activity: Activity::Inactive,
        kind: "notify".to_owned(),
        program: Some(expected()),
        reloads: false,
        start_limit_interval_us: 0,
        stop_limit_ms: 30_000,
        triggered_by: vec![SOCKET.to_owned()],
        fragment: String::new(),
        main_pid: 0,
        invocation: String::new(),
        restarts: 0,
        result: "success".to_owned(),
        exit: None,
        started_at: Timestamp(0),
        left_inactive_us: 0,
        entered_active_us: 0,
        state_since_us: 0,
        left_inactive_at_us: 0,
        stale: false,
    }
}

fn socket() -> SocketFacts {
    SocketFacts {
        load_state: "loaded".to_owned(),
        activity: Activity::Active,
        accept: false,
        trigger_limit_interval_us: 0,
        listen: None,
        stale: false,
    }
}

fn chosen(
    names: &SystemdUnit,
    service: &ServiceFacts,
    through_current: bool,
    socket: Option<&SocketFacts>,
    hold: Option<&ServiceFacts>,
) -> UnitFlip {
    let expected = expected();
    choose(&Seen { unit: "web", names, service, expected: &expected, through_current, socket, hold })
}

#[test]
fn a_template_that_misses_nothing_overlaps() {
    let hold = ServiceFacts { name: "demo-web-hold.service".to_owned(), ..service() };
    let flip = chosen(&names("demo-web@.service"), &service(), false, Some(&socket()), Some(&hold));
    let wanted =
        UnitFlip { unit: "web".to_owned(), order: FlipOrder::Overlap, gaps: Vec::new(), can_hold: true };
    assert_eq!(flip, wanted);
}

/// Every subset of the ways in which a template and its socket can lack something: overlap only for none of
/// them, and each lack is named exactly where it is.
#[test]
fn every_lack_alone_and_with_others_refuses_overlap_and_is_named() {
    let unit = || "demo-web@.service".to_owned();
    for lacks in 0_u32..1 << 7 {
        let lack = |bit: u32| lacks & 1 << bit != 0;
        let (mut service, mut socket) = (service(), socket());
        let mut wanted = Vec::new();
        if lack(0) {
            service.program = Some(PathBuf::from("/usr/local/bin/app"));
            let expected = "/opt/demo/releases/%I/files/bin/app".to_owned();
            wanted.push(OverlapGap::OtherProgram { unit: unit(), expected });
        }
        if lack(1) {
            socket.load_state = "not-found".to_owned();
            wanted.push(OverlapGap::SocketMissing { socket: SOCKET.to_owned() });
        }
        if lack(2) {
            socket.accept = true;
            if !lack(1) {
                wanted.push(OverlapGap::Accepts { socket: SOCKET.to_owned() });
            }
        }
        if lack(3) {
            socket.trigger_limit_interval_us = 2_000_000;
            if !lack(1) {
                wanted.push(OverlapGap::TriggerLimit { socket: SOCKET.to_owned() });
            }
        }
        if lack(4) {
            service.triggered_by.clear();
            wanted.push(OverlapGap::SocketNotTaken { unit: unit(), socket: SOCKET.to_owned() });
        }
        if lack(5) {
            service.kind = "simple".to_owned();
            wanted.push(OverlapGap::NotNotify { unit: unit(), kind: "simple".to_owned() });
        }
        if lack(6) {
            service.start_limit_interval_us = 10_000_000;
            wanted.push(OverlapGap::StartLimit { unit: unit() });
        }
        let flip = chosen(&names("demo-web@.service"), &service, false, Some(&socket), None);
        let order = if lacks == 0 { FlipOrder::Overlap } else { FlipOrder::Restart };
        assert_eq!((flip.order, flip.gaps, flip.can_hold), (order, wanted, false), "lacks {lacks:07b}");
    }
}

#[test]
fn a_plain_unit_takes_the_best_of_the_orders_it_offers() {
    let template = || "demo-web@.service".to_owned();
    for (said, offers, through_current, order) in [
        (true, true, true, FlipOrder::Reload),
        (true, true, false, FlipOrder::Reload),
        (true, false, true, FlipOrder::Restart),
        (false, true, true, FlipOrder::Restart),
        (false, false, true, FlipOrder::Restart),
        (true, false, false, FlipOrder::Swap),
        (false, true, false, FlipOrder::Swap),
        (false, false, false, FlipOrder::Swap),
    ] {
        let names = SystemdUnit { reload: said, ..names("demo-web.service") };
        let service = ServiceFacts { reloads: offers, ..service() };
        let flip = chosen(&names, &service, through_current, Some(&socket()), None);
        let gap = OverlapGap::NoTemplate { unit: "demo-web.service".to_owned(), template: template() };
        assert_eq!((flip.order, flip.gaps), (order, vec![gap]), "{said} {offers} {through_current}");
    }
}

#[test]
fn what_has_no_listener_takes_turns_and_lacks_nothing() {
    let worker = SystemdUnit { socket: None, hold: None, ..names("demo-web@.service") };
    let limited = ServiceFacts { start_limit_interval_us: 10_000_000, ..service() };
    let flip = chosen(&worker, &limited, false, None, None);
    assert_eq!((flip.order, flip.gaps), (FlipOrder::Restart, Vec::new()));
    let timer = SystemdUnit { timer: Some("demo-gc.timer".to_owned()), ..worker };
    assert_eq!(chosen(&timer, &service(), false, None, None).order, FlipOrder::Restart);
}

#[test]
fn a_hold_unit_that_does_not_take_the_socket_holds_nothing() {
    let strays = ServiceFacts { triggered_by: Vec::new(), ..service() };
    let absent = ServiceFacts { load_state: "not-found".to_owned(), ..service() };
    for hold in [strays, absent] {
        assert!(
            !chosen(&names("demo-web@.service"), &service(), false, Some(&socket()), Some(&hold)).can_hold
        );
    }
}
