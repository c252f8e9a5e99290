use super::*;
use crate::transport::ssh::elf::Needs;
use unship_core::release::Digest;

fn program() -> Program {
    let bytes = vec![0; 10 << 20];
    let needs = Needs { machine: "x86_64", glibc: Some((2, 34)) };
    Program { digest: Digest::of(&bytes), bytes, needs }
}

fn judged(line: &str) -> String {
    match fits(&facts(line).expect("facts"), &program()) {
        Ok(()) => "fits".into(),
        Err(complaint) => complaint.why,
    }
}

#[test]
fn a_host_that_cannot_run_the_agent_is_refused_before_anything_is_sent() {
    assert_eq!(judged("host x86_64|glibc 2.36|900000|"), "fits");
    assert_eq!(judged("host x86_64|glibc 2.36|| abc"), "fits");
    assert_eq!(
        judged("host aarch64|glibc 2.36|900000|"),
        "its machine is aarch64, and this unship is for x86_64"
    );
    assert_eq!(
        judged("host x86_64|glibc 2.31|900000|"),
        "it has glibc 2.31, and this unship needs glibc 2.34"
    );
    assert_eq!(
        judged("host x86_64|unknown|900000|"),
        "it has no GNU C library, and this unship needs glibc 2.34"
    );
    assert_eq!(
        judged("host x86_64|glibc 2.36|1000|"),
        "it has 1000 KiB free for the agent, which needs 14336"
    );
}

#[test]
fn what_a_host_says_is_read_or_refused() {
    assert_eq!(facts("host x86_64|glibc 2.36"), None);
    assert_eq!(facts("hello"), None);
    let read = facts("host x86_64|glibc 2.36|12| a b").expect("facts");
    assert_eq!(read.have, ["a", "b"]);
}
