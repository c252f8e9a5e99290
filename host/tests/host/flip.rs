//! Flips between releases, good and bad.

use unship_core::protocol::*;

use crate::support::Host;

#[test]
fn a_first_release_is_started_and_a_second_takes_over() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);

    let actions = host.flip(&one);
    assert!(actions.contains(&"start web@v1.0.0".to_owned()), "{actions:?}");
    assert_eq!(host.version(), "v1.0.0");
    let state = host.observe();
    assert_eq!(state.current.as_ref(), Some(&one));
    assert!(state.instances[0].proved && state.instances[0].ready_after_us.is_some(), "{state:#?}");

    let actions = host.flip(&two);
    let order = ["start web@v1.1.0", "ready web@v1.1.0", "prove web@v1.1.0", "current -> v1.1.0"];
    let positions: Vec<_> =
        order.iter().map(|what| actions.iter().position(|action| action == what)).collect();
    assert!(positions.is_sorted() && positions.iter().all(Option::is_some), "{actions:?}");
    assert_eq!(actions.last().map(String::as_str), Some("stop web@v1.0.0 (draining)"));
    let state = host.wait_alone(&two);
    assert_eq!(host.version(), "v1.1.0");
    assert_eq!(state.exits.len(), 1);
    assert!(state.exits[0].asked && state.exits[0].status == 0, "{:?}", state.exits);

    assert_eq!(host.flip(&two), ["verify v1.1.0"], "asking again does nothing");
}
