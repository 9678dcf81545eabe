//! What a model writes and what Slack is given; and, for any text, that nothing of it becomes live markup.

use proptest::prelude::*;

use super::*;

/// proves SLACK-04
#[test]
fn markdown_becomes_mrkdwn() {
    for (markdown, slack) in [
        ("plain", "plain"),
        ("**bold** and __bold__", "*bold* and *bold*"),
        ("*it* and _it_", "_it_ and _it_"),
        ("***both***", "_*both*_"),
        ("**a *b* c**", "*a _b_ c*"),
        ("~~gone~~ ~one~", "~gone~ ~one~"),
        ("# Title", "*Title*"),
        ("### A **bold** title ###", "*A bold title*"),
        ("#hash", "#hash"),
        ("- a\n* b\n+ c\n  - d", "• a\n• b\n• c\n  • d"),
        ("1. a\n2. b", "1. a\n2. b"),
        ("> quoted **x**", "&gt; quoted *x*"),
        ("***", "---"),
        ("- - -", "---"),
        ("[text](https://u.example/a?b=1&c=2)", "text (https://u.example/a?b=1&amp;c=2)"),
        ("[**bold**](https://u.example)", "*bold* (https://u.example)"),
        ("[https://u.example](https://u.example)", "https://u.example"),
        ("![alt](https://u.example/i.png)", "alt (https://u.example/i.png)"),
        ("<https://u.example>", "https://u.example"),
        ("[a](b(c)d) e", "a (b(c)d) e"),
        ("`code **x** <y>`", "`code **x** &lt;y&gt;`"),
        ("``a`b``", "`a`b`"),
        ("\\*no\\* \\<b\\>", "*no* &lt;b&gt;"),
        ("snake_case_name and 2*3*4", "snake_case_name and 2*3*4"),
        ("a * b * c", "a * b * c"),
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
    ] {
        assert_eq!(mrkdwn(markdown), slack, "{markdown}");
    }
}

/// proves SLACK-04
#[test]
fn code_is_left_as_it_is_but_for_the_escapes() {
    for (markdown, slack) in [
        ("```rust\nlet a = &b; // **x**\n```", "```\nlet a = &amp;b; // **x**\n```"),
        ("~~~\n# no title\n~~~\nafter **b**", "```\n# no title\n```\nafter *b*"),
        ("````\n```\n````", "```\n```\n```"),
        ("```\nopen <b>", "```\nopen &lt;b&gt;\n```"),
        ("```not a fence``` **b**", "`not a fence` *b*"),
        ("    indented", "    indented"),
    ] {
        assert_eq!(mrkdwn(markdown), slack, "{markdown}");
    }
}

/// proves SLACK-04
#[test]
fn what_is_not_closed_is_text() {
    for text in ["**a", "a**", "_a", "`a", "``a`", "[a](b", "[a]", "[a", "~~a", "**", "*", "[[[", "]](", "\\"]
    {
        assert_eq!(mrkdwn(text), text);
    }
    assert_eq!(mrkdwn("**a *b**"), "*a *b*", "the shorter run has no partner");
}

/// proves SLACK-04
#[test]
fn a_model_pings_nobody() {
    for ping in ["<!channel>", "<!here|here>", "<@U1>", "<#C1>", "<!subteam^S1>", "<http://evil|text>"] {
        for frame in ["{}", "`{}`", "```\n{}\n```", "**{}**", "[{}]({})", "> {}", "# {}", "\\{}"] {
            let text = frame.replace("{}", ping);
            assert!(!mrkdwn(&text).contains(['<', '>']), "{text}");
            assert!(!markdown_text(&text).contains(['<', '>']), "{text}");
        }
    }
    assert_eq!(mrkdwn("&lt;!channel&gt;"), "&amp;lt;!channel&amp;gt;");
    assert_eq!(markdown_text("&lt;!channel&gt;"), "&amp;lt;!channel&amp;gt;");
}

#[test]
fn streamed_markdown_is_only_escaped() {
    assert_eq!(markdown_text("**a** & `<b>` \\*"), "**a** &amp; `&lt;b&gt;` \\*");
    assert_eq!(markdown_text("[t](https://u/?a=1&b=2) & (c&d)"), "[t](https://u/?a=1&b=2) &amp; (c&amp;d)");
}

fn undone(escaped: &str) -> String {
    escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Without the only `&`s that are not the model's: those of escapes.
fn has_live_markup(text: &str) -> bool {
    let bare = text.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "");
    bare.contains(['<', '>', '&'])
}

const MARKDOWN: &str =
    "([a-c]|[*_~`]{1,4}|[\\[\\]()!#>\\\\<&-]|<!channel>|<@U1>|&lt;| |\n|\n\n|```x\n|https://u){0,40}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_becomes_live_markup(any in "\\PC*", markdown in MARKDOWN) {
        for text in [any, markdown] {
            let converted = mrkdwn(&text);
            prop_assert!(!has_live_markup(&converted), "{} -> {}", text, converted);
            prop_assert!(!markdown_text(&text).contains(['<', '>']));
        }
    }

    #[test]
    fn every_letter_is_kept_in_order(markdown in "([a-c]|[*_~]{1,3}|`|``|[\\[\\]()!#>\\\\<&-]| |\n){0,40}") {
        // A fence's language is no text.
        let markdown = markdown.replace("```", "x").replace("~~~", "y");
        let shown = undone(&mrkdwn(&markdown));
        prop_assert_eq!(letters(&shown), letters(&markdown));
    }

    #[test]
    fn text_without_marks_stays_as_it_is(text in "[a-zé😀0-9.,:;?'\"/ \n]{0,60}") {
        prop_assert_eq!(mrkdwn(&text), text);
    }

    #[test]
    fn mrkdwn_is_not_longer_than_the_escaped_text(markdown in MARKDOWN) {
        let (converted, escaped) = (mrkdwn(&markdown).chars().count(), escape(&markdown).chars().count());
        prop_assert!(converted <= escaped + 4, "{} > {}", converted, escaped);
    }

    #[test]
    fn streamed_text_only_grows(text in "[]()<>& ab]{0,30}", more in "[]()<>& ab]{0,10}") {
        let grown = markdown_text(&[text.as_str(), more.as_str()].concat());
        prop_assert!(grown.starts_with(&markdown_text(&text)));
    }
}
