use super::{fits, index_may_fail, may_fail, was_tried};

#[test]
fn what_may_fail_and_what_may_not() {
    let index = |what: &str| format!("CREATE INDEX ON public.t USING btree {what}");
    for total in [
        "(k)",
        "(lower((s)::text))",
        "(id) WHERE (state = 'new'::public.state)",
        "((a || b))",
        "(id) WHERE ((a > 3) AND (NOT (b = ANY (ARRAY[1, 2]))))",
        "(id) WITH (fillfactor='70')",
        "(COALESCE(s, ''::text))",
    ] {
        assert!(!index_may_fail(&index(total)), "{total}");
    }
    for may in [
        "(((s)::integer))",
        "(id) WHERE ((s)::integer > 3)",
        "(public.f(s))",
        "((a / b))",
        "((a * 1000000))",
        "(sqrt(x))",
        "(ln((k)::double precision))",
        "(jsonb_array_length(payload))",
    ] {
        assert!(index_may_fail(&index(may)), "{may}");
    }
    assert!(may_fail("(payload ->> 'n'::text)::integer"));
    assert!(may_fail("(n * 2)") && !may_fail("") && !may_fail("(now() + '1 day'::interval)"));
}

#[test]
fn a_default_fits_its_column_only_if_that_is_certain() {
    for (default, of_type) in [
        ("7", "integer"),
        ("'-1'::integer", "smallint"),
        ("(-1)", "bigint"),
        ("'ok'::public.mood", "public.mood"),
        ("'x'::character varying", "character varying(12)"),
        ("now()", "timestamp(3) with time zone"),
        ("gen_random_uuid()", "uuid"),
        ("nextval('a_id_seq'::regclass)", "integer"),
        ("'{}'::jsonb", "jsonb"),
    ] {
        assert!(fits(default, of_type, true), "{default} {of_type}");
    }
    for (default, of_type) in [
        ("70000", "smallint"),
        ("'too long'::character varying", "character varying(3)"),
        ("md5(random()::text)", "character varying(3)"),
        ("public.f()", "text"),
        ("(1 / 0)", "integer"),
        ("NULL::character varying", "text"),
        ("1000", "numeric(3,1)"),
    ] {
        assert!(!fits(default, of_type, true), "{default} {of_type}");
    }
}

#[test]
fn only_what_gives_one_value_was_tried_when_the_column_was_added() {
    assert!(was_tried("'x'::text") && was_tried("now()") && was_tried("length('x'::text)"));
    assert!(!was_tried("public.f()") && !was_tried("md5(random()::text)"));
}
