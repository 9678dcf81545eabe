//! Pages from a server of the test's own, and URLs that are never called.

use konstruct_http::{Exceptions, GuardedConfig};
use konstruct_ports::ToolHost;

use crate::fake::{Asked, Fake, Reply};

use super::*;

const AMPLE: Duration = Duration::from_secs(30);

fn list(hosts: &[&str]) -> Vec<String> {
    hosts.iter().map(|host| (*host).to_owned()).collect()
}

/// The page at a path of the server, whose host is on the list.
async fn page_at(fake: &Fake, path: &str) -> Result<ToolOutput, ToolError> {
    fake.client().get(&fake.url(path), &list(&["127.0.0.1"]), AMPLE).await
}

async fn answered(reply: Reply) -> Result<ToolOutput, ToolError> {
    page_at(&Fake::start(move |_| reply.clone()).await, "/").await
}

fn refusal(url: &str, hosts: &[&str]) -> Option<&'static str> {
    let exceptions = Exceptions::parse("127.0.0.1:8706").unwrap();
    let client = GuardedClient::new(GuardedConfig { exceptions, ..GuardedConfig::default() });
    allowed(&client, url, &list(hosts)).err()
}

/// proves AGNT-04
#[test]
fn only_https_urls_of_listed_hosts_may_be_called() {
    let hosts = ["example.com", "docs.example.org", "127.0.0.1"];
    for url in [
        "https://example.com",
        "https://example.com/",
        "https://EXAMPLE.com/a?b=c#d",
        "https://example.com:443/a",
        "https://docs.example.org/a",
        " https://example.com/ ",
        "https://127.0.0.1/", // On the list; the guard refuses it.
        "http://127.0.0.1:8706/x",
    ] {
        assert_eq!(refusal(url, &hosts), None, "{url}");
    }
    for (url, why) in [
        ("http://example.com/", "the URL is not https"),
        ("ftp://example.com/", "the URL is not https"),
        ("https://example.com:8443/", "the port is not 443"),
        ("http://127.0.0.1:8707/", "the URL is not https"),
        ("https://a.example.com/", "the host is not on the agent's list"),
        ("https://example.org/", "the host is not on the agent's list"),
        ("https://example.com./", "the host is not on the agent's list"),
        ("https://example.com.evil.test/", "the host is not on the agent's list"),
        ("https://xn--exmple-cua.com/", "the host is not on the agent's list"),
        ("https://2130706433/", "the host is not on the agent's list"),
        ("https://ex\u{e4}mple.com/", "the URL has characters that are not ASCII"),
        ("https://example\u{2024}com/", "the URL has characters that are not ASCII"),
        ("https://example.com@evil.test/", "the URL has user information"),
        ("https://evil.test@example.com/", "the URL has user information"),
        ("example.com", "the host is not on the agent's list"),
        ("/path", "the URL names no host"),
        ("", "it is no URL"),
        ("https://", "it is no URL"),
    ] {
        let said = refusal(url, &hosts);
        assert!(said.is_some(), "{url}");
        if url.starts_with("http") && url.len() > 8 {
            assert_eq!(said, Some(why), "{url}");
        }
    }
    assert!(refusal("https://evil.test\\@example.com/", &hosts).is_some());
    assert!(refusal("https://example.com\\.evil.test/", &hosts).is_some());
    assert!(refusal(&format!("https://example.com/{}", "x".repeat(3000)), &hosts).is_some());
    assert!(refusal("https://example.com/", &[]).is_some());
    assert!(refusal("https://example.com/", &["*", "*.com", ""]).is_some());
}

/// proves AGNT-04
#[tokio::test]
async fn a_page_is_shown_as_text_and_nothing_of_ours_goes_along() {
    let fake = Fake::start(|_| Reply::page("text/html; charset=utf-8", "gr\u{fc}n \0\u{1f33f}")).await;
    let shown = page_at(&fake, "/a?b=c").await.unwrap();
    assert_eq!(shown, ToolOutput { text: "gr\u{fc}n \u{1f33f}".to_owned(), is_error: false });
    let asked = fake.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("GET", "/a?b=c"));
    for name in ["authorization", "cookie", "accept-encoding"] {
        assert_eq!(asked[0].header(name), None);
    }
}

#[tokio::test]
async fn another_status_comes_first() {
    let missing = Reply::Whole(404, vec![("content-type", "text/plain".into())], b"no such page".to_vec());
    let shown = answered(missing).await.unwrap();
    assert_eq!(shown, ToolOutput { text: "Status 404 Not Found\n\nno such page".to_owned(), is_error: true });
    let empty = answered(Reply::status(503)).await.unwrap();
    assert_eq!(empty.text, "Status 503 Service Unavailable\n\n");
    assert_eq!(
        answered(Reply::status(204)).await.unwrap(),
        ToolOutput { text: String::new(), is_error: false }
    );
}

#[tokio::test]
async fn only_text_is_shown() {
    for kind in [
        "application/json",
        "Application/LD+JSON; x=y",
        "application/atom+xml",
        "text/csv",
        "application/xml",
    ] {
        assert_eq!(answered(Reply::page(kind, "x")).await.unwrap().text, "x", "{kind}");
    }
    for kind in ["image/png", "application/octet-stream", "application/pdf", "textual/x", ""] {
        let shown = answered(Reply::page(kind, vec![0xff; 10])).await.unwrap();
        assert!(shown.is_error && shown.text.starts_with("The page cannot be shown: "), "{kind}: {shown:?}");
    }
    let compressed = Reply::page("text/html", vec![0x1f, 0x8b]).with("content-encoding", "gzip");
    assert!(answered(compressed).await.unwrap().text.contains("compressed"));
    let broken = answered(Reply::page("text/plain", vec![b'a', 0xff, b'b'])).await.unwrap();
    assert_eq!(broken.text, "a\u{fffd}b");
}

#[tokio::test]
async fn a_large_or_endless_page_is_cut_and_says_so() {
    let shown = answered(Reply::page("text/plain", vec![b'x'; PAGE_MAX])).await.unwrap();
    assert_eq!(shown.text.len(), PAGE_MAX);
    let endless = Reply::Endless(vec![("content-type", "text/plain".into())], vec![b'x'; 1000]);
    for reply in [Reply::page("text/plain", vec![b'x'; PAGE_MAX + 1]), endless] {
        let shown = answered(reply).await.unwrap();
        assert_eq!(shown.text.matches('x').count(), PAGE_MAX);
        assert!(shown.text.ends_with("[cut: the page is larger than 256 KB]") && !shown.is_error);
    }
}

#[tokio::test]
async fn redirects_are_followed_three_times_and_only_on_the_list() {
    let redirects = |asked: &Asked| match asked.path.as_str() {
        "/a/1" => Reply::redirect(301, "2?x=1#frag"),
        "/a/2?x=1" => Reply::redirect(307, "/3"),
        "/3" => Reply::redirect(308, "?y"),
        "/3?y" => Reply::page("text/plain", "there"),
        "/loop" => Reply::redirect(302, "/loop"),
        "/private" => Reply::redirect(302, "https://169.254.169.254/latest/meta-data/"),
        "/other" => Reply::redirect(302, "//example.com/"),
        "/plain" => Reply::redirect(302, "http://127.0.0.1:1/"),
        "/file" => Reply::redirect(302, "file:///etc/passwd"),
        "/script" => Reply::redirect(302, "javascript:alert(1)"),
        "/user" => Reply::redirect(302, "https://me@127.0.0.1/"),
        _ => Reply::status(302),
    };
    let fake = Fake::start(redirects).await;
    assert_eq!(page_at(&fake, "/a/1").await.unwrap().text, "there");
    assert_eq!(page_at(&fake, "/loop").await, Err(ToolError::Broken("more than 3 redirects".to_owned())));
    assert_eq!(fake.asked().iter().filter(|asked| asked.path == "/loop").count(), 4);
    for path in ["/private", "/other", "/plain", "/file", "/script", "/user"] {
        let refused = page_at(&fake, path).await;
        assert!(matches!(refused, Err(ToolError::NotAllowed(_))), "{path}: {refused:?}");
        assert_eq!(fake.asked().iter().filter(|asked| asked.path == path).count(), 1);
    }
    assert_eq!(page_at(&fake, "/nowhere").await.unwrap().text, "Status 302 Found\n\n");
    // On the list, and yet the guard refuses it.
    let metadata = Fake::start(|_| Reply::redirect(302, "https://169.254.169.254/")).await;
    let hosts = list(&["127.0.0.1", "169.254.169.254"]);
    let refused = metadata.client().get(&metadata.url("/"), &hosts, AMPLE).await;
    assert_eq!(refused, Err(ToolError::NotAllowed("not a public address".to_owned())));
}

#[tokio::test]
async fn a_page_that_does_not_come_takes_no_longer_than_it_may() {
    let hanging = Reply::Hanging(vec![("content-type", "text/plain".into())], b"half".to_vec());
    for reply in [Reply::Silence, hanging] {
        let fake = Fake::start(move |_| reply.clone()).await;
        let got = fake.client().get(&fake.url("/"), &list(&["127.0.0.1"]), Duration::from_millis(300)).await;
        assert_eq!(got, Err(ToolError::TimedOut));
    }
    assert!(matches!(answered(Reply::Cut).await, Err(ToolError::Broken(_))));
}
