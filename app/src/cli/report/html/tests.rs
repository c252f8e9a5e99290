use super::{bar_height, escape};

#[test]
fn what_others_wrote_is_text_and_nothing_else() {
    let hostile = "<script>alert('x')</script> \"onload=\" & \u{202e}gpj.exe\n\u{1b}[31mred";
    assert_eq!(
        escape(hostile),
        "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;onload=&quot; &amp; gpj.exe red"
    );
}

#[test]
fn the_longer_an_answer_took_the_taller_is_its_bar_and_none_leaves_the_strip() {
    let heights: Vec<u64> =
        [0, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, u64::MAX].map(bar_height).to_vec();
    assert_eq!(heights, [1, 1, 6, 11, 17, 24, 30, 30]);
}
