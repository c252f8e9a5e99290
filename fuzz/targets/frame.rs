#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unship_fuzz::run("frame", data));
