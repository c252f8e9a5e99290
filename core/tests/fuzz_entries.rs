//! Runs what the fuzz targets run, on generated input, and knows every target.

#[path = "../../fuzz/entries.rs"]
mod entries;

use proptest::prelude::*;

/// Bytes made of what readers look for, with noise.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"1_a.up.sql\n",
        b"1_a.down.sql\n",
        b"2_b.sql\n",
        b"3_c/up.sql\n",
        b"3_c/metadata.toml\n",
        b"\xff",
        b"-- +goose Up\n",
        b"-- +goose Down\n",
        b"-- +goose StatementBegin\n",
        b"-- +goose StatementEnd\n",
        b"-- migrate:up\n",
        b"-- migrate:down\n",
        b"-- no-transaction\n",
        b"SELECT 1;\n",
        b"'",
        b"\"",
        b"$$",
        b"$a$",
        b"/*",
        b"*/",
        b"--",
        b"\\",
        b"\\.\n",
        b"COPY t FROM stdin;\n",
        b"DO $$ BEGIN ",
        b" END $$",
        b"(",
        b")",
        b";",
        b"\n",
        b"\r\n",
        b"UPDATE t SET a = ",
        b"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ",
        b"BEGIN ATOMIC ",
        b"\0",
        b"E'",
        b"[",
        b"run_in_transaction = ",
        b"EXECUTE ",
        b"\xc3\xa9",
        b"NOT ",
        b"CASE ",
        b", ",
        b"-- unship: ",
        b"\x01frm\0\0\0\x40\0\0\0\0",
        b"{\"message\":\"not_opened\",\"error\":\"x\"}\n",
        b"{\"message\":\"ask\",\"number\":1,\"envelope\":{\"version\":1,\"run\":\"a\",\"step\":0,\"attempt\":1,\"epoch\":1,\"request\":",
        b"{\"request\":\"observe\"}}}\n",
            b"\x01frm\0\0\0\x40\0\0\0\0",
            b"{\"message\":\"ask\",\"number\":1,\"envelope\":",
            b"{\"message\":\"not_opened\",\"error\":\"x\"}\n",
            b"{\"version\":1,\"run\":\"a\",\"step\":0,\"attempt\":1,\"epoch\":1,\"request\":{\"request\":\"observe\"}}}\n",
    ];
    let word = proptest::sample::select(words.to_vec()).prop_map(<[u8]>::to_vec);
    let part = prop_oneof![8 => word, 1 => proptest::collection::vec(any::<u8>(), 0..6)];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    // A failing input is printed; it belongs into a test beside its reader, not into a file of seeds.
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_entry_breaks(data in input()) {
        for (_, entry) in entries::ENTRIES {
            entry(&data);
        }
    }
}

#[test]
fn every_entry_has_a_target_and_every_target_an_entry() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/targets");
    let mut targets: Vec<String> = std::fs::read_dir(folder)
        .expect("the targets")
        .map(|entry| entry.expect("a file").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    targets.sort();
    let mut known: Vec<&str> = entries::ENTRIES.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(targets, known);
    for name in known {
        entries::run(name, b"1_a.sql\n-- +goose Up\nSELECT 1;\n");
    }
}
