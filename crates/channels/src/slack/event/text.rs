//! A person's text without Slack's markup: mentions, links and escapes become what the person saw. Nothing that was
//! written is lost but mentions of the bot itself.

/// Whether a text names one of these users.
pub(super) fn mentions(raw: &str, users: &[String]) -> bool {
    pieces(raw).any(|piece| matches!(piece, Piece::Markup(inner) if is_mention_of(inner, users)))
}

/// Plain text, trimmed; mentions of `bots` are taken out, with the blanks that would be left doubled.
pub(super) fn plain(raw: &str, bots: &[String]) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut swallow_blanks = false;
    for piece in pieces(raw) {
        match piece {
            Piece::Markup(inner) if is_mention_of(inner, bots) => {
                swallow_blanks = plain.is_empty() || plain.ends_with(char::is_whitespace);
            }
            Piece::Markup(inner) => {
                swallow_blanks = false;
                push_markup(&mut plain, inner);
            }
            Piece::Text(text) => {
                let text = if swallow_blanks { text.trim_start_matches(' ') } else { text };
                swallow_blanks = swallow_blanks && text.is_empty();
                push_unescaped(&mut plain, text);
            }
        }
    }
    // No person writes U+0000, and no database keeps it.
    plain.retain(|character| character != '\0');
    plain.trim().to_owned()
}

enum Piece<'a> {
    Text(&'a str),
    /// What is between `<` and `>`.
    Markup(&'a str),
}

/// Slack escapes what a person types, so a bare `<` is markup; one that is not closed on its line is text.
fn pieces(raw: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(inner) = rest.strip_prefix('<').and_then(closed) {
            rest = rest.get(inner.len() + 2..).unwrap_or_default();
            return Some(Piece::Markup(inner));
        }
        let end = rest.char_indices().skip(1).find(|(_, c)| *c == '<').map_or(rest.len(), |(at, _)| at);
        let (text, behind) = rest.split_at(end);
        rest = behind;
        Some(Piece::Text(text))
    })
}

fn closed(behind: &str) -> Option<&str> {
    let end = behind.find(['<', '>', '\n'])?;
    let inner = behind.get(..end)?;
    (behind.get(end..)?.starts_with('>') && !inner.is_empty()).then_some(inner)
}

fn is_mention_of(inner: &str, users: &[String]) -> bool {
    let Some(user) = inner.strip_prefix('@') else {
        return false;
    };
    let id = user.split('|').next().unwrap_or_default();
    users.iter().any(|ours| ours == id)
}

fn push_markup(plain: &mut String, inner: &str) {
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, Some(label).filter(|label| !label.is_empty())),
        None => (inner, None),
    };
    if let Some(user) = target.strip_prefix('@') {
        push_named(plain, '@', label.unwrap_or(user));
    } else if let Some(room) = target.strip_prefix('#') {
        push_named(plain, '#', label.unwrap_or(room));
    } else if let Some(command) = target.strip_prefix('!') {
        push_command(plain, command, label);
    } else if target.contains(':') {
        push_link(plain, target, label);
    } else {
        // No markup that we know.
        plain.push('<');
        push_unescaped(plain, inner);
        plain.push('>');
    }
}

fn push_named(plain: &mut String, sign: char, name: &str) {
    if !name.starts_with(sign) {
        plain.push(sign);
    }
    push_unescaped(plain, name);
}

/// `!here`, `!subteam^S1|@team`, `!date^1392734382^{date}|fallback`.
fn push_command(plain: &mut String, command: &str, label: Option<&str>) {
    let (name, argument) = command.split_once('^').unwrap_or((command, ""));
    match (name, label) {
        ("date", Some(fallback)) => push_unescaped(plain, fallback),
        ("subteam", None) if !argument.is_empty() => push_named(plain, '@', argument),
        (_, Some(label)) => push_named(plain, '@', label),
        (_, None) => push_named(plain, '@', command),
    }
}

/// A label that says no more than the address is what the person typed.
fn push_link(plain: &mut String, target: &str, label: Option<&str>) {
    let address = target.strip_prefix("mailto:").or_else(|| target.strip_prefix("tel:")).unwrap_or(target);
    let Some(label) = label else {
        push_unescaped(plain, address);
        return;
    };
    push_unescaped(plain, label);
    let bare = target.split_once("://").map_or(address, |(_, bare)| bare);
    let says_it =
        [address, target, bare].iter().any(|a| a.trim_end_matches('/') == label.trim_end_matches('/'));
    if !says_it {
        plain.push_str(" (");
        push_unescaped(plain, address);
        plain.push(')');
    }
}

/// Undoes Slack's three escapes, each once.
fn push_unescaped(plain: &mut String, escaped: &str) {
    let mut rest = escaped;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        plain.push_str(before);
        let (character, length) = if entity.starts_with("&lt;") {
            ('<', 4)
        } else if entity.starts_with("&gt;") {
            ('>', 4)
        } else if entity.starts_with("&amp;") {
            ('&', 5)
        } else {
            ('&', 1)
        };
        plain.push(character);
        rest = entity.get(length..).unwrap_or_default();
    }
    plain.push_str(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(raw: &str) -> String {
        super::plain(raw, &["UBOT".to_owned()])
    }

    /// proves SLACK-02
    #[test]
    fn every_mention_of_the_bot_is_taken_out() {
        for (raw, said) in [
            ("<@UBOT> 1", "1"),
            ("<@UBOT|konstruct> hi", "hi"),
            ("<@UBOT><@UBOT>  hi", "hi"),
            ("hi <@UBOT> there", "hi there"),
            ("hi <@UBOT>, there", "hi , there"),
            ("hi\n<@UBOT> there", "hi\nthere"),
            ("hi<@UBOT>", "hi"),
            ("<@UBOT>", ""),
            (" <@UBOT>  <@UBOT|x> ", ""),
        ] {
            assert_eq!(plain(raw), said, "{raw}");
            assert!(mentions(raw, &["UBOT".to_owned()]), "{raw}");
        }
        for raw in ["<@UBOTX> hi", "@UBOT", "&lt;@UBOT&gt;", "<@UBOT", "UBOT", "<#UBOT>"] {
            assert!(!mentions(raw, &["UBOT".to_owned()]), "{raw}");
        }
    }

    #[test]
    fn markup_becomes_what_the_person_saw() {
        for (raw, said) in [
            ("ask <@U1> or <@U2|ann>", "ask @U1 or @ann"),
            ("in <#C1|general> and <#C2> and <#C3|>", "in #general and #C2 and #C3"),
            ("<!here> <!channel|channel> <!everyone>", "@here @channel @everyone"),
            ("<!subteam^S1|@ops> <!subteam^S2>", "@ops @S2"),
            ("<!date^1392734382^{date}|18 Feb>", "18 Feb"),
            ("see <https://example.com/a?b=1&amp;c=2>", "see https://example.com/a?b=1&c=2"),
            ("<http://example.com|example.com>", "example.com"),
            ("<https://example.com/|the page>", "the page (https://example.com/)"),
            ("<mailto:a@b.example|a@b.example> <mailto:a@b.example|Ann>", "a@b.example Ann (a@b.example)"),
            ("<tel:+491234|+491234>", "+491234"),
            ("<what>", "<what>"),
        ] {
            assert_eq!(plain(raw), said, "{raw}");
        }
    }

    #[test]
    fn escapes_are_undone_once() {
        for (raw, said) in [
            ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
            ("&amp;lt;", "&lt;"),
            ("&quot; & &", "&quot; & &"),
            ("1 < 2", "1 < 2"),
            ("<>", "<>"),
            ("a\0b", "ab"),
        ] {
            assert_eq!(plain(raw), said, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn what_a_person_types_comes_back(typed in "[a-z <>&@!#|;\n]{0,60}") {
            let sent = typed.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            prop_assert_eq!(plain(&sent), typed.trim());
        }

        #[test]
        fn nothing_panics(raw in "\\PC*", markup in "[<>@!#|^:&;a-zU\n ]{0,60}") {
            plain(&raw);
            plain(&markup);
        }
    }
}
