//! The OpenAPI description, gathered from the handlers. `docs/openapi.yaml` is generated from it and a test fails
//! when they differ.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

/// The REST API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Konstruct portal API",
        version = "1.0.0",
        description = "Conversations of people with their agents."
    ),
    paths(
        crate::conversations_list::list,
        crate::conversations_create::create,
        crate::conversations_reset::reset,
        crate::messages_list::history,
        crate::messages_send::send,
        crate::conversations_reply::reply,
        crate::conversations_escalation::hand_over,
        crate::usage::used,
        crate::agents_list::agents,
        crate::notices::notice,
        crate::channels_list::channels,
        crate::channels_remove::remove,
        crate::slack_install::install,
        crate::slack_callback::callback,
        crate::health::health,
    )
)]
#[derive(Debug)]
struct Api;

/// The description.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    let token =
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build());
    api.components.get_or_insert_default().security_schemes.insert("token".to_owned(), token.into());
    api
}
