//! The routes of the template's two APIs.
//! Only what is imitated is let through: authorizers and route responses are errors.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Context, Error, Result};

use super::read::folder_of;
use super::resolve::Resolver;
use super::{Cors, HttpSpec, Integration, WebSocketSpec};

/// The template's one WebSocket API. No integration waits longer than `longest`.
pub fn websocket(resolver: &Resolver<'_>, longest: Duration) -> Result<WebSocketSpec> {
    let (id, properties) = api(resolver, "WEBSOCKET")?;
    let expression = resolver.text(properties, "RouteSelectionExpression")?.unwrap_or_default();
    Ok(WebSocketSpec {
        api_id: id.to_lowercase(),
        stage: stage(resolver, id)?,
        selection: selection(&expression)?,
        routes: routes(resolver, id, longest)?,
    })
}

/// The template's one HTTP API.
pub fn http(resolver: &Resolver<'_>, longest: Duration) -> Result<HttpSpec> {
    let (id, properties) = api(resolver, "HTTP")?;
    if stage(resolver, id)? != "$default" {
        return Err(Error::new(format!("{id}: a stage other than $default is not imitated")));
    }
    let cors = resolver.property(properties, "CorsConfiguration")?;
    Ok(HttpSpec {
        api_id: id.to_lowercase(),
        routes: routes(resolver, id, longest)?,
        cors: cors.as_ref().map(Cors::read).transpose()?,
    })
}

fn api<'a>(resolver: &Resolver<'a>, protocol: &str) -> Result<(&'a str, &'a Value)> {
    let mut found = None;
    for (id, properties) in resolver.resources("AWS::ApiGatewayV2::Api") {
        if resolver.text(properties, "ProtocolType")?.as_deref() == Some(protocol)
            && found.replace((id, properties)).is_some()
        {
            return Err(Error::new(format!("the template has two {protocol} APIs; one is imitated")));
        }
    }
    found.context(format_args!("the template has no {protocol} API"))
}

fn stage(resolver: &Resolver<'_>, api: &str) -> Result<String> {
    for (id, properties) in resolver.resources("AWS::ApiGatewayV2::Stage") {
        if belongs_to(properties, api) {
            return resolver.text(properties, "StageName")?.context(id);
        }
    }
    Err(Error::new(format!("{api} has no stage")))
}

fn belongs_to(properties: &Value, api: &str) -> bool {
    properties.pointer("/ApiId/Ref").and_then(Value::as_str) == Some(api)
}

fn selection(expression: &str) -> Result<Vec<String>> {
    let bare = expression.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let path =
        bare.or_else(|| expression.strip_prefix('$')).and_then(|path| path.strip_prefix("request.body."));
    match path {
        Some(path) if !path.contains(['$', '{', '}']) => Ok(path.split('.').map(str::to_string).collect()),
        _ => Err(Error::new(format!("the route selection {expression} is not imitated"))),
    }
}

fn routes(resolver: &Resolver<'_>, api: &str, longest: Duration) -> Result<BTreeMap<String, Integration>> {
    let mut routes = BTreeMap::new();
    for (id, properties) in resolver.resources("AWS::ApiGatewayV2::Route") {
        if belongs_to(properties, api) {
            let (key, integration) = route(resolver, properties, longest).context(id)?;
            routes.insert(key, integration);
        }
    }
    Ok(routes)
}

fn route(resolver: &Resolver<'_>, properties: &Value, longest: Duration) -> Result<(String, Integration)> {
    for unknown in ["AuthorizerId", "RouteResponseSelectionExpression", "RequestModels"] {
        if properties.get(unknown).is_some() {
            return Err(Error::new(format!("{unknown} is not imitated on this machine")));
        }
    }
    let key = resolver.text(properties, "RouteKey")?.context("it has no RouteKey")?;
    let target = resolver.text(properties, "Target")?.context("it has no Target")?;
    let wanted = target.strip_prefix("integrations/").context("its Target is no integration")?;
    let found = resolver.resources("AWS::ApiGatewayV2::Integration").find(|(id, _)| *id == wanted);
    let (id, properties) = found.context(format_args!("there is no integration {wanted}"))?;
    Ok((key, integration(resolver, properties, longest).context(id)?))
}

fn integration(resolver: &Resolver<'_>, properties: &Value, longest: Duration) -> Result<Integration> {
    let kind = resolver.text(properties, "IntegrationType")?;
    if kind.as_deref() != Some("AWS_PROXY") {
        return Err(Error::new("only AWS_PROXY integrations are imitated"));
    }
    let uri = resolver.text(properties, "IntegrationUri")?.context("it has no IntegrationUri")?;
    let own = resolver.number(properties, "TimeoutInMillis")?.map(Duration::from_millis);
    Ok(Integration { function: folder_of(&uri)?, timeout: own.map_or(longest, |own| own.min(longest)) })
}
