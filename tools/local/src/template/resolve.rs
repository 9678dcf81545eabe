//! CloudFormation's intrinsic functions and conditions, resolved as a deployment would.
//! An intrinsic it does not know, or a name it cannot resolve, is an error.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::error::{Context, Error, Result};

use super::{ACCOUNT, REGION, STACK_NAME, function_arn, queue_arn};

/// What the local stack gives the template.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Parameters by name; those the template does not declare are left out.
    pub parameters: BTreeMap<String, String>,
    /// Root of the queues' URLs.
    pub sqs_endpoint: String,
}

/// A template and what its references resolve to.
#[derive(Debug)]
pub struct Resolver<'a> {
    template: &'a Value,
    parameters: BTreeMap<&'a str, Value>,
    /// Resources whose condition does not hold.
    left_out: BTreeSet<&'a str>,
    sqs_endpoint: &'a str,
}

impl<'a> Resolver<'a> {
    /// Pairs the template's parameters with their values.
    pub fn new(template: &'a Value, inputs: &'a Inputs) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        let declared = template.get("Parameters").and_then(Value::as_object);
        for (name, declaration) in declared.into_iter().flatten() {
            let given = inputs.parameters.get(name).map(|value| Value::String(value.clone()));
            let value = given
                .or_else(|| declaration.get("Default").cloned())
                .context(format_args!("the template's parameter {name} has no value on this machine"))?;
            let kind = declaration.get("Type").and_then(Value::as_str).unwrap_or("String");
            parameters.insert(name.as_str(), parameter(kind, &value));
        }
        let left_out = BTreeSet::new();
        let mut resolver = Self { template, parameters, left_out, sqs_endpoint: &inputs.sqs_endpoint };
        resolver.left_out = resolver.conditional()?;
        Ok(resolver)
    }

    fn conditional(&self) -> Result<BTreeSet<&'a str>> {
        let mut left_out = BTreeSet::new();
        for (id, resource) in self.declared() {
            let condition = resource.get("Condition").and_then(Value::as_str);
            if let Some(condition) = condition
                && !self.condition(condition).context(id)?
            {
                left_out.insert(id);
            }
        }
        Ok(left_out)
    }

    fn declared(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let all = self.template.get("Resources").and_then(Value::as_object);
        all.into_iter().flatten().map(|(id, resource)| (id.as_str(), resource))
    }

    /// The resources that a deployment would make: logical id, type and properties.
    pub fn all(&self) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
        self.declared().filter(|(id, _)| !self.left_out.contains(id)).map(|(id, resource)| {
            let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
            (id, kind, resource.get("Properties").unwrap_or(&Value::Null))
        })
    }

    /// Those of one type: logical id and properties.
    pub fn resources(&self, kind: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.all().filter(move |(_, known, _)| *known == kind).map(|(id, _, properties)| (id, properties))
    }

    /// A property as text; none where it is absent or `AWS::NoValue`.
    pub fn text(&self, properties: &Value, name: &str) -> Result<Option<String>> {
        self.property(properties, name)?.map(|value| scalar(&value).context(name)).transpose()
    }

    /// A property as a number.
    pub fn number(&self, properties: &Value, name: &str) -> Result<Option<u64>> {
        let text = self.text(properties, name)?;
        text.map(|text| text.parse().context(format_args!("{name}: {text}"))).transpose()
    }

    /// A property with everything in it resolved.
    pub fn property(&self, properties: &Value, name: &str) -> Result<Option<Value>> {
        match properties.get(name) {
            None => Ok(None),
            Some(value) => self.resolve(value).context(name),
        }
    }

    /// Resolves everything in `value`; none: `AWS::NoValue`.
    pub fn resolve(&self, value: &Value) -> Result<Option<Value>> {
        match value {
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for item in items {
                    resolved.extend(self.resolve(item)?);
                }
                Ok(Some(Value::Array(resolved)))
            }
            Value::Object(members) => match single(members) {
                Some((name, argument)) if name == "Ref" || name.starts_with("Fn::") => {
                    self.intrinsic(name, argument)
                }
                _ => self.members(members).map(Some),
            },
            Value::String(text) if text.contains("{{resolve:") => {
                Err(Error::new("dynamic references ({{resolve:…}}) cannot be resolved on this machine"))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(Some(value.clone())),
        }
    }

    fn members(&self, members: &Map<String, Value>) -> Result<Value> {
        let mut resolved = Map::new();
        for (name, value) in members {
            if let Some(value) = self.resolve(value).context(name)? {
                resolved.insert(name.clone(), value);
            }
        }
        Ok(Value::Object(resolved))
    }

    fn intrinsic(&self, name: &str, argument: &Value) -> Result<Option<Value>> {
        match name {
            "Ref" => self.reference(argument.as_str().context("Ref names nothing")?),
            "Fn::GetAtt" => self.attribute_of(argument).map(|text| Some(text.into())),
            "Fn::Sub" => self.substitute(argument).map(|text| Some(text.into())),
            "Fn::Join" => {
                let [separator, items] = pair("Fn::Join", argument)?;
                let items = self.list("Fn::Join", items)?;
                let texts = items.iter().map(scalar).collect::<Result<Vec<_>>>()?;
                Ok(Some(texts.join(separator.as_str().context("Fn::Join has no separator")?).into()))
            }
            "Fn::Select" => {
                let [index, items] = pair("Fn::Select", argument)?;
                let index: usize = scalar(index)?.parse().context("Fn::Select")?;
                let items = self.list("Fn::Select", items)?;
                items.into_iter().nth(index).context("Fn::Select names no item").map(Some)
            }
            "Fn::Split" => {
                let [separator, text] = pair("Fn::Split", argument)?;
                let text = scalar(&self.resolve(text)?.context("Fn::Split has no text")?)?;
                let separator = separator.as_str().context("Fn::Split has no separator")?;
                Ok(Some(text.split(separator).map(Value::from).collect()))
            }
            "Fn::If" => match argument.as_array().map(Vec::as_slice) {
                Some([Value::String(condition), yes, no]) => {
                    self.resolve(if self.condition(condition)? { yes } else { no })
                }
                _ => Err(Error::new("Fn::If takes a condition and two values")),
            },
            _ => Err(Error::new(format!("the intrinsic {name} is not known here"))),
        }
    }

    fn list(&self, name: &str, value: &Value) -> Result<Vec<Value>> {
        match self.resolve(value)? {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(Error::new(format!("{name} takes a list"))),
        }
    }

    fn reference(&self, name: &str) -> Result<Option<Value>> {
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(value.clone()));
        }
        let pseudo = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::Region" => REGION.into(),
            "AWS::AccountId" => ACCOUNT.into(),
            "AWS::Partition" => "aws".into(),
            "AWS::StackName" => STACK_NAME.into(),
            "AWS::StackId" => format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK_NAME}/local"),
            "AWS::URLSuffix" => "amazonaws.com".into(),
            _ => self.physical_id(name)?,
        };
        Ok(Some(Value::String(pseudo)))
    }

    fn physical_id(&self, id: &str) -> Result<String> {
        let (kind, properties) = self.resource(id)?;
        match kind {
            "AWS::Lambda::Function" => self.name_of(id, properties, "FunctionName"),
            "AWS::SQS::Queue" => {
                let name = self.name_of(id, properties, "QueueName")?;
                Ok(format!("{}/{ACCOUNT}/{name}", self.sqs_endpoint))
            }
            "AWS::ApiGatewayV2::Api" => Ok(id.to_lowercase()),
            "AWS::ApiGatewayV2::Stage" => self.name_of(id, properties, "StageName"),
            // Nothing looks at the ids of the rest: they only have to be different.
            _ => Ok(id.to_string()),
        }
    }

    fn attribute_of(&self, argument: &Value) -> Result<String> {
        let (id, attribute) = match argument {
            Value::String(path) => path.split_once('.').context("Fn::GetAtt names no attribute")?,
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(id), Value::String(attribute)] => (id.as_str(), attribute.as_str()),
                _ => return Err(Error::new("Fn::GetAtt takes two names")),
            },
            _ => return Err(Error::new("Fn::GetAtt takes two names")),
        };
        let (kind, properties) = self.resource(id)?;
        match (kind, attribute) {
            ("AWS::SQS::Queue", "Arn") => Ok(queue_arn(&self.name_of(id, properties, "QueueName")?)),
            ("AWS::SQS::Queue", "QueueName") => self.name_of(id, properties, "QueueName"),
            ("AWS::SQS::Queue", "QueueUrl") => self.physical_id(id),
            ("AWS::Lambda::Function", "Arn") => {
                Ok(function_arn(&self.name_of(id, properties, "FunctionName")?))
            }
            ("AWS::IAM::Role", "Arn") => Ok(format!("arn:aws:iam::{ACCOUNT}:role/{STACK_NAME}-{id}")),
            ("AWS::ApiGatewayV2::Api", "ApiId") => self.physical_id(id),
            _ => Err(Error::new(format!("Fn::GetAtt {id}.{attribute} of a {kind} is not known here"))),
        }
    }

    fn name_of(&self, id: &str, properties: &Value, property: &str) -> Result<String> {
        Ok(self.text(properties, property).context(id)?.unwrap_or_else(|| format!("{STACK_NAME}-{id}")))
    }

    fn resource(&self, id: &str) -> Result<(&'a str, &'a Value)> {
        let resource = self.template.get("Resources").and_then(|all| all.get(id));
        let resource = resource.context(format_args!("{id} is neither a parameter nor a resource"))?;
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        Ok((kind, resource.get("Properties").unwrap_or(&Value::Null)))
    }

    fn substitute(&self, argument: &Value) -> Result<String> {
        let (text, own) = match argument {
            Value::String(text) => (text.as_str(), None),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(text), Value::Object(own)] => (text.as_str(), Some(own)),
                _ => return Err(Error::new("Fn::Sub takes a text and a map")),
            },
            _ => return Err(Error::new("Fn::Sub takes a text")),
        };
        let mut pieces = text.split("${");
        let mut resolved = pieces.next().unwrap_or_default().to_string();
        for piece in pieces {
            let (name, rest) = piece.split_once('}').context("Fn::Sub: a ${ is not closed")?;
            resolved.push_str(&match name.strip_prefix('!') {
                Some(literal) => format!("${{{literal}}}"),
                None => self.placeholder(name.trim(), own)?,
            });
            resolved.push_str(rest);
        }
        Ok(resolved)
    }

    fn placeholder(&self, name: &str, own: Option<&Map<String, Value>>) -> Result<String> {
        let value = match own.and_then(|own| own.get(name)) {
            Some(value) => self.resolve(value)?,
            None if name.contains('.') => Some(self.attribute_of(&name.into())?.into()),
            None => self.reference(name)?,
        };
        scalar(&value.context(format_args!("Fn::Sub: {name} has no value"))?)
    }

    fn condition(&self, name: &str) -> Result<bool> {
        let conditions = self.template.get("Conditions");
        let condition = conditions.and_then(|all| all.get(name));
        self.holds(condition.context(format_args!("there is no condition {name}"))?)
    }

    fn holds(&self, condition: &Value) -> Result<bool> {
        let Some((name, argument)) = condition.as_object().and_then(single) else {
            return Err(Error::new("a condition is one function"));
        };
        let all = || argument.as_array().into_iter().flatten().map(|part| self.holds(part));
        match name {
            "Condition" => self.condition(argument.as_str().context("Condition names nothing")?),
            "Fn::Equals" => {
                let [left, right] = pair("Fn::Equals", argument)?;
                Ok(self.comparable(left)? == self.comparable(right)?)
            }
            "Fn::Not" => all().next().context("Fn::Not of nothing")?.map(|held| !held),
            "Fn::And" => all().try_fold(true, |so_far, held| Ok(so_far && held?)),
            "Fn::Or" => all().try_fold(false, |so_far, held| Ok(so_far || held?)),
            _ => Err(Error::new(format!("the condition function {name} is not known here"))),
        }
    }

    fn comparable(&self, value: &Value) -> Result<Option<String>> {
        self.resolve(value)?.map(|value| scalar(&value)).transpose()
    }
}

/// A scalar as CloudFormation writes it into a string.
pub fn scalar(value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Error::new(format!("{value} stands where a text is needed")))
        }
    }
}

fn parameter(kind: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if kind == "CommaDelimitedList" || kind.starts_with("List<") => {
            text.split(',').map(|item| Value::from(item.trim())).collect()
        }
        _ => value.clone(),
    }
}

fn single(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut all = members.iter();
    match (all.next(), all.next()) {
        (Some((name, value)), None) => Some((name, value)),
        _ => None,
    }
}

fn pair<'v>(name: &str, argument: &'v Value) -> Result<[&'v Value; 2]> {
    match argument.as_array().map(Vec::as_slice) {
        Some([first, second]) => Ok([first, second]),
        _ => Err(Error::new(format!("{name} takes two arguments"))),
    }
}
