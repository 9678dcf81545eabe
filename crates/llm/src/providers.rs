//! The providers that a deployment has, behind one `LanguageModel`: the route of a request says which is asked. It
//! never asks another one in its place.

use std::fmt;
use std::sync::Arc;

use konstruct_domain::Provider;
use konstruct_ports::{BoxFuture, LanguageModel, ModelError, ModelRequest, ModelStream};

use crate::failure::fatal;

/// What is configured; what is not refuses every call.
#[derive(Clone, Default)]
pub struct Providers {
    /// Chat completions.
    pub openai: Option<Arc<dyn LanguageModel>>,
    /// Anthropic's Messages.
    pub anthropic: Option<Arc<dyn LanguageModel>>,
    /// Bedrock's Converse.
    pub bedrock: Option<Arc<dyn LanguageModel>>,
}

impl Providers {
    fn of(&self, provider: Provider) -> Option<&Arc<dyn LanguageModel>> {
        match provider {
            Provider::OpenAi => self.openai.as_ref(),
            Provider::Anthropic => self.anthropic.as_ref(),
            Provider::Bedrock => self.bedrock.as_ref(),
        }
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let configured = Provider::ALL.into_iter().filter(|provider| self.of(*provider).is_some());
        formatter.debug_tuple("Providers").field(&configured.collect::<Vec<_>>()).finish()
    }
}

impl LanguageModel for Providers {
    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
    ) -> BoxFuture<'a, Result<Box<dyn ModelStream>, ModelError>> {
        let provider = request.route.provider;
        match self.of(provider) {
            Some(model) => model.ask(request),
            None => {
                let reason = format!("the provider {} is not configured", provider.as_str());
                Box::pin(std::future::ready(Err(fatal(&reason))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use konstruct_ports::Route;

    use super::*;

    /// Refuses with its name.
    struct Named(&'static str);

    impl LanguageModel for Named {
        fn ask<'a>(&'a self, _: &'a ModelRequest) -> BoxFuture<'a, Result<Box<dyn ModelStream>, ModelError>> {
            Box::pin(async { Err(fatal(self.0)) })
        }
    }

    async fn asked(providers: &Providers, provider: Provider) -> String {
        let route = Route { provider, model: "m".to_owned(), key: None };
        let request = ModelRequest { route, messages: Vec::new(), tools: Vec::new(), tokens_max: 1 };
        let error = providers.ask(&request).await.map(|_| ()).unwrap_err();
        assert!(!error.is_retryable());
        error.to_string()
    }

    /// proves AGNT-02
    #[tokio::test]
    async fn the_route_says_who_is_asked() {
        let providers = Providers {
            openai: Some(Arc::new(Named("o"))),
            anthropic: Some(Arc::new(Named("a"))),
            bedrock: Some(Arc::new(Named("b"))),
        };
        for (provider, name) in
            [(Provider::OpenAi, "o"), (Provider::Anthropic, "a"), (Provider::Bedrock, "b")]
        {
            assert_eq!(asked(&providers, provider).await, format!("model call refused: {name}"));
        }
    }

    #[tokio::test]
    async fn a_provider_that_is_not_configured_refuses_and_says_so() {
        let providers = Providers { openai: Some(Arc::new(Named("o"))), ..Providers::default() };
        assert_eq!(
            asked(&providers, Provider::Anthropic).await,
            "model call refused: the provider anthropic is not configured"
        );
        assert_eq!(format!("{providers:?}"), "Providers([OpenAi])");
    }
}
