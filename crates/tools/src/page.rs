//! `GET` of a page: by https, from hosts on a list, redirects on the list followed. It shows what it got as text, and
//! sends nothing of ours: no key, no cookie, no body.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, StatusCode, Uri};
use konstruct_http::{Body, GuardedClient, HttpError, Response};
use konstruct_ports::{ToolError, ToolOutput};
use tokio::time::timeout;

use crate::text::{cut, without_nul};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 3;
/// Most of a page that is shown.
const PAGE_MAX: usize = 256 * 1024;
/// Longest URL.
const URL_MAX: usize = 2048;

/// The page at a URL, as text.
pub async fn get(
    client: &GuardedClient,
    url: &str,
    hosts: &[String],
    limit: Duration,
) -> Result<ToolOutput, ToolError> {
    timeout(limit, follow(client, url, hosts)).await.unwrap_or(Err(ToolError::TimedOut))
}

async fn follow(client: &GuardedClient, url: &str, hosts: &[String]) -> Result<ToolOutput, ToolError> {
    let mut uri = allowed(client, url, hosts).map_err(|why| ToolError::NotAllowed(why.to_owned()))?;
    for _ in 0..=REDIRECTS_MAX {
        let request = Request::get(uri.clone())
            .header(ACCEPT, "text/*, application/json, application/xml;q=0.9")
            .header(USER_AGENT, "konstruct")
            .body(Bytes::new())
            .map_err(|_| ToolError::NotAllowed("it is no URL".to_owned()))?;
        let response = client.send(request).await.map_err(|error| failure(&error))?;
        let Some(next) = redirect(&response) else { return page(response).await };
        let next =
            joined(&uri, next).ok_or_else(|| ToolError::Broken("it redirects to no URL".to_owned()))?;
        uri = allowed(client, &next, hosts)
            .map_err(|why| ToolError::NotAllowed(format!("it redirects, and {why}")))?;
    }
    Err(ToolError::Broken(format!("more than {REDIRECTS_MAX} redirects")))
}

/// The URL, where it may be called; else why not.
fn allowed(client: &GuardedClient, url: &str, hosts: &[String]) -> Result<Uri, &'static str> {
    if url.len() > URL_MAX {
        return Err("the URL is too long");
    }
    // Names in other scripts have an ASCII form; which names look alike is not decided here.
    if !url.is_ascii() {
        return Err("the URL has characters that are not ASCII");
    }
    let uri: Uri = url.trim().parse().map_err(|_| "it is no URL")?;
    let authority = uri.authority().ok_or("the URL names no host")?;
    if authority.as_str().contains('@') {
        return Err("the URL has user information");
    }
    if !hosts.iter().any(|host| host.eq_ignore_ascii_case(authority.host())) {
        return Err("the host is not on the agent's list");
    }
    if client.excepts(&uri) {
        return Ok(uri);
    }
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Err("the URL is not https");
    }
    match authority.port_u16() {
        None | Some(443) => Ok(uri),
        Some(_) => Err("the port is not 443"),
    }
}

/// Where a redirect leads.
fn redirect(response: &Response) -> Option<&str> {
    let is_redirect = matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    is_redirect.then(|| response.headers.get(LOCATION)?.to_str().ok()).flatten()
}

/// A reference, relative or not, as a URL.
fn joined(base: &Uri, reference: &str) -> Option<String> {
    let reference = reference.trim().split('#').next().unwrap_or_default();
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let path = base.path();
    let has_scheme = reference.split_once(':').is_some_and(|(scheme, _)| !scheme.contains(['/', '?']));
    Some(if has_scheme {
        reference.to_owned()
    } else if reference.starts_with("//") {
        format!("{scheme}:{reference}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{authority}{reference}")
    } else if reference.is_empty() {
        let same = base.path_and_query().map_or("/", PathAndQuery::as_str);
        format!("{scheme}://{authority}{same}")
    } else if reference.starts_with('?') {
        format!("{scheme}://{authority}{path}{reference}")
    } else {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{reference}")
    })
}

async fn page(response: Response) -> Result<ToolOutput, ToolError> {
    let status = response.status;
    let failed = !status.is_success();
    let head = if failed { format!("{}\n\n", named(status)) } else { String::new() };
    let (body, is_whole) = some(response.body).await?;
    if let (false, Some(why)) = (body.is_empty(), unreadable(&response.headers)) {
        return Ok(ToolOutput { text: format!("{head}The page cannot be shown: {why}."), is_error: true });
    }
    let text = without_nul(String::from_utf8_lossy(&body).into_owned());
    let tail = if is_whole { "" } else { "\n\n[cut: the page is larger than 256 KB]" };
    Ok(ToolOutput { text: format!("{head}{text}{tail}"), is_error: failed })
}

fn named(status: StatusCode) -> String {
    format!("Status {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
        .trim_end()
        .to_owned()
}

/// The beginning of a body, and whether that is all of it.
async fn some(mut body: Body) -> Result<(BytesMut, bool), ToolError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.chunk().await.map_err(|error| failure(&error))? {
        let left = PAGE_MAX.saturating_sub(whole.len());
        whole.extend_from_slice(piece.get(..left).unwrap_or(&piece));
        if piece.len() > left {
            return Ok((whole, false));
        }
    }
    Ok((whole, true))
}

/// Why a body cannot be shown as text.
fn unreadable(headers: &HeaderMap) -> Option<String> {
    let value =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let encoding = value(CONTENT_ENCODING).trim();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Some("it is compressed, though nobody asked for that".to_owned());
    }
    let kind = value(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/")
        || kind == "application/json"
        || kind == "application/xml"
        || kind.ends_with("+json")
        || kind.ends_with("+xml");
    match (is_text, kind.is_empty()) {
        (true, _) => None,
        (false, true) => Some("it does not say what it is".to_owned()),
        (false, false) => Some(format!("it is no text but {}", cut(&kind, 80))),
    }
}

fn failure(error: &HttpError) -> ToolError {
    match error {
        HttpError::Address(why) => ToolError::NotAllowed((*why).to_owned()),
        HttpError::Tls(_) | HttpError::Connect { .. } | HttpError::ConnectTimeout { .. } => {
            ToolError::Unreachable(error.to_string())
        }
        HttpError::Broken { .. } | HttpError::TooLarge { .. } => ToolError::Broken(error.to_string()),
    }
}
