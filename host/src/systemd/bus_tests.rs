use super::*;

#[test]
fn a_unit_s_path_is_as_systemd_writes_it() {
    let path = unit_path(r"demo-web@\x2ecurrent_1.service");
    assert_eq!(path, "/org/freedesktop/systemd1/unit/demo_2dweb_40_5cx2ecurrent_5f1_2eservice");
    assert_eq!(unit_path("9p.mount"), "/org/freedesktop/systemd1/unit/_39p_2emount");
}
