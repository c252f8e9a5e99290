use super::*;

#[test]
fn the_url_and_its_password_are_taken_out_in_every_spelling() {
    let url = "postgres://shop:hunt%40r2%2F@db/shop";
    let secrets = Secrets::of_url(url);
    for (text, shown) in [
        (url, "[redacted]"),
        ("FATAL: cannot reach postgres://shop:hunt%40r2%2F@db/shop!", "FATAL: cannot reach [redacted]!"),
        ("password hunt@r2/ refused for shop", "password [redacted] refused for shop"),
        ("postgres://shop:hunt%40r2%2F@db/other", "postgres://shop:[redacted]@db/other"),
        ("größer", "größer"),
    ] {
        assert_eq!(secrets.redact(text), shown);
    }
}

#[test]
fn passwords_in_other_places_are_found_as_well() {
    for url in [
        "postgres://db/shop?user=shop&password=hunter2&sslmode=require",
        "host=db user=shop password=hunter2",
        "host=db password='hunter2' user=shop",
        "shop:hunter2@tcp(db)/shop",
        "postgres://shop:hunter2@db/shop?note=a@b",
    ] {
        assert_eq!(Secrets::of_url(url).redact("it is hunter2"), "it is [redacted]", "{url}");
    }
    assert_eq!(Secrets::of_url("").redact("all of it"), "all of it");
    assert_eq!(Secrets::of_url("postgres://shop:@db/shop").redact("all of it"), "all of it");
}
