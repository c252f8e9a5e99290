//! What comes up after a reboot: the target, whenever it came.

use unship_core::protocol::*;

on_host! {
    fn a_reboot_comes_up_on_the_target_and_needs_no_first_request(host) {
        host.install();
        let one = host.publish("v1.0.0", &[]);
        let two = host.publish("v1.1.0", &[]);
        host.flip(&one);
        host.flip(&two);
        host.wait_alone(&two);
    } {
        let state = host.wait_for("the boot", |state| {
            state.instances.iter().any(|instance| instance.state == InstanceState::Ready)
        });
        assert_eq!(state.instances.len(), 1);
        assert_eq!((state.instances[0].release.tag.as_str(), state.instances[0].proved), ("v1.1.0", true));
        assert_eq!(host.version(), "v1.1.0");
        let two = state.instances[0].release.clone();
        assert_eq!(host.flip(&two), ["verify v1.1.0"], "a boot leaves nothing to do");
    }
}
