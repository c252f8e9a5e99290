//! stub
pub fn run(
    _p: &crate::paths::HostPaths,
    _s: unship_core::protocol::ServiceSpec,
    _o: SuperviseOptions,
) -> Result<(), std::io::Error> {
    Ok(())
}
#[derive(Default)]
pub struct SuperviseOptions {
    pub x: u8,
}
