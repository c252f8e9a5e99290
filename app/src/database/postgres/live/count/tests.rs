use super::constant::value;

#[test]
fn a_constant_is_told_from_what_has_to_be_computed() {
    for (default, constant) in [
        ("'public'::text", Some("public")),
        ("'it''s'::character varying", Some("it's")),
        ("''::text", Some("")),
        ("0", Some("0")),
        ("(-1)", Some("-1")),
        ("'-1'::integer", Some("-1")),
        ("1.50", Some("1.50")),
        ("true", Some("true")),
        ("'{}'::text[]", Some("{}")),
        ("'open'::public.status", Some("open")),
        ("'a'::\"My Type\"", Some("a")),
        ("'12.50'::numeric(10,2)", Some("12.50")),
        ("now()", None),
        ("nextval('t_id_seq'::regclass)", None),
        ("('now'::text)::timestamp without time zone", None),
        ("'a'::text || 'b'::text", None),
        ("NULL::text", None),
        ("CURRENT_TIMESTAMP", None),
        ("(0 + 1)", None),
        ("E'a\\nb'", None),
        ("'unended", None),
        ("", None),
    ] {
        assert_eq!(value(default).as_deref(), constant, "{default}");
    }
}
