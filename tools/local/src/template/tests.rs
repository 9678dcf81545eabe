//! Resolving intrinsics and reading the wiring, on small templates.

use std::time::Duration;

use serde_json::{Value, json};

use super::resolve::Resolver;
use super::schedules::rate;
use super::*;
use crate::config::Limits;

fn inputs(parameters: &[(&str, &str)]) -> Inputs {
    Inputs {
        parameters: parameters.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        sqs_endpoint: "http://127.0.0.1:8703".into(),
    }
}

fn limits() -> Limits {
    let second = Duration::from_secs(1);
    Limits { idle: 600 * second, max_connection: 7200 * second, integration: 29 * second }
}

fn template() -> Value {
    json!({
        "Parameters": {
            "Url": {"Type": "String"}, "Empty": {"Type": "String", "Default": ""},
            "Origins": {"Type": "CommaDelimitedList"}, "Number": {"Type": "Number", "Default": 7},
        },
        "Conditions": {
            "Given": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Empty"}, ""]}]},
            "Either": {"Fn::Or": [{"Condition": "Given"}, {"Fn::Equals": [{"Ref": "Number"}, "7"]}]},
        },
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Sub": "${AWS::StackName}-q.fifo"}}},
        },
    })
}

#[test]
fn a_resource_whose_condition_does_not_hold_is_not_there() {
    let mut template = template();
    let resources = template.get_mut("Resources").and_then(Value::as_object_mut).unwrap();
    for (id, condition) in [("Left", "Given"), ("Kept", "Either")] {
        resources.insert(id.into(), json!({"Type": "AWS::SQS::Queue", "Condition": condition}));
    }
    let inputs = inputs(&[("Url", "http://x"), ("Origins", "http://a")]);
    let resolver = Resolver::new(&template, &inputs).unwrap();
    let queues: Vec<&str> = resolver.resources("AWS::SQS::Queue").map(|(id, _)| id).collect();
    assert_eq!(queues, ["Kept", "Queue"]);
}

fn resolved(value: &Value) -> crate::error::Result<Option<Value>> {
    let inputs = inputs(&[("Url", "http://x"), ("Origins", "http://a, http://b")]);
    Resolver::new(&template(), &inputs)?.resolve(value)
}

#[test]
fn intrinsics_resolve_to_what_a_deployment_would_see() {
    let cases = [
        (json!({"Ref": "Url"}), json!("http://x")),
        (json!({"Ref": "Queue"}), json!("http://127.0.0.1:8703/000000000000/konstruct-local-q.fifo")),
        (
            json!({"Fn::GetAtt": ["Queue", "Arn"]}),
            json!("arn:aws:sqs:us-east-1:000000000000:konstruct-local-q.fifo"),
        ),
        (json!({"Fn::GetAtt": "Queue.QueueName"}), json!("konstruct-local-q.fifo")),
        (json!({"Fn::Join": [",", {"Ref": "Origins"}]}), json!("http://a,http://b")),
        (json!({"Fn::Select": ["1", {"Fn::Split": ["-", "a-b"]}]}), json!("b")),
        (json!({"Fn::If": ["Given", "yes", "no"]}), json!("no")),
        (json!({"Fn::If": ["Either", "yes", "no"]}), json!("yes")),
        (
            json!({"Fn::Sub": ["${Own}/${Queue.QueueName}/${!kept}", {"Own": {"Ref": "Url"}}]}),
            json!("http://x/konstruct-local-q.fifo/${kept}"),
        ),
        (json!([{"Ref": "AWS::NoValue"}, {"Ref": "Number"}]), json!([7])),
        (json!({"a": {"Ref": "AWS::NoValue"}, "b": {"Ref": "AWS::AccountId"}}), json!({"b": "000000000000"})),
    ];
    for (value, expected) in cases {
        assert_eq!(resolved(&value).unwrap(), Some(expected), "{value}");
    }
}

#[test]
fn what_is_not_known_is_an_error() {
    for value in [
        json!({"Ref": "Nobody"}),
        json!({"Fn::ImportValue": "x"}),
        json!({"Fn::GetAtt": ["Queue", "Colour"]}),
        json!({"Fn::If": ["Nothing", 1, 2]}),
        json!("{{resolve:ssm:secret}}"),
    ] {
        assert!(resolved(&value).is_err(), "{value}");
    }
}

#[test]
fn a_parameter_without_a_value_is_named() {
    let error = Resolver::new(&template(), &inputs(&[("Origins", "x")])).unwrap_err();
    assert!(error.to_string().contains("Url"), "{error}");
}

#[test]
fn rates_are_read_and_cron_is_refused() {
    assert_eq!(rate("rate(1 minute)").unwrap(), Duration::from_secs(60));
    assert_eq!(rate("rate(2 hours)").unwrap(), Duration::from_secs(7200));
    assert!(rate("cron(0 * * * ? *)").is_err());
    assert!(rate("rate(0 minutes)").is_err());
}

fn whole() -> Value {
    let uri = json!({"Fn::Sub": ["arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${FunctionArn}/invocations",
        {"FunctionArn": {"Fn::GetAtt": ["Function", "Arn"]}}]});
    json!({"Resources": {
        "Function": {"Type": "AWS::Lambda::Function", "Properties": {
            "FunctionName": {"Fn::Sub": "${AWS::StackName}-agent"}, "Timeout": 9,
            "Environment": {"Variables": {"QUEUE_URL": {"Ref": "Queue"}}}}},
        "Dead": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "dead.fifo", "FifoQueue": true}},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "turns.fifo", "FifoQueue": true, "VisibilityTimeout": 900,
            "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["Dead", "Arn"]}, "maxReceiveCount": 20}}},
        "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"FunctionName": {"Ref": "Function"},
            "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]}, "BatchSize": 1, "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": 5}}},
        "Rule": {"Type": "AWS::Events::Rule", "Properties": {"ScheduleExpression": "rate(1 minute)",
            "Targets": [{"Arn": {"Fn::GetAtt": ["Function", "Arn"]}, "Id": "x"}]}},
        "Ws": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "$request.body.type"}},
        "WsStage": {"Type": "AWS::ApiGatewayV2::Stage", "Properties": {"ApiId": {"Ref": "Ws"}, "StageName": "ws"}},
        "WsIntegration": {"Type": "AWS::ApiGatewayV2::Integration", "Properties": {"ApiId": {"Ref": "Ws"}, "IntegrationType": "AWS_PROXY", "IntegrationUri": uri}},
        "WsRoute": {"Type": "AWS::ApiGatewayV2::Route", "Properties": {"ApiId": {"Ref": "Ws"}, "RouteKey": "$default",
            "Target": {"Fn::Join": ["/", ["integrations", {"Ref": "WsIntegration"}]]}}},
        "MayRoute": {"Type": "AWS::Lambda::Permission", "Properties": {"FunctionName": {"Ref": "Function"}, "Principal": "apigateway.amazonaws.com"}},
        "MayTime": {"Type": "AWS::Lambda::Permission", "Properties": {"FunctionName": {"Ref": "Function"}, "Principal": "events.amazonaws.com"}},
        "Http": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"ProtocolType": "HTTP", "CorsConfiguration": {"AllowOrigins": ["http://a"]}}},
        "HttpStage": {"Type": "AWS::ApiGatewayV2::Stage", "Properties": {"ApiId": {"Ref": "Http"}, "StageName": "$default"}},
        "HttpIntegration": {"Type": "AWS::ApiGatewayV2::Integration", "Properties": {"ApiId": {"Ref": "Http"}, "IntegrationType": "AWS_PROXY",
            "IntegrationUri": {"Fn::GetAtt": ["Function", "Arn"]}, "TimeoutInMillis": 5000}},
        "HttpRoute": {"Type": "AWS::ApiGatewayV2::Route", "Properties": {"ApiId": {"Ref": "Http"}, "RouteKey": "GET /health",
            "Target": {"Fn::Sub": "integrations/${HttpIntegration}"}}},
    }})
}

#[test]
fn the_wiring_is_read_from_an_expanded_template() {
    let wiring = read(&whole(), &inputs(&[]), &limits()).unwrap();
    let function = &wiring.functions[0];
    assert_eq!((function.folder.as_str(), function.timeout), ("agent", Duration::from_secs(9)));
    assert_eq!(function.environment["QUEUE_URL"], "http://127.0.0.1:8703/000000000000/turns.fifo");
    assert_eq!(
        wiring.queues.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(),
        ["dead.fifo", "turns.fifo"]
    );
    assert_eq!(wiring.queues[1].attributes["VisibilityTimeout"], "900");
    assert_eq!(wiring.queues[1].dead_letter.as_deref(), Some("dead.fifo"));
    let mapping = &wiring.mappings[0];
    assert_eq!((mapping.queue.as_str(), mapping.batch_size, mapping.max_concurrency), ("turns.fifo", 1, 5));
    assert!(mapping.reports_failures);
    assert_eq!(wiring.schedules[0].function, "agent");
    assert_eq!(
        (wiring.websocket.stage.as_str(), wiring.websocket.selection.join(".")),
        ("ws", "type".into())
    );
    assert_eq!(wiring.websocket.routes["$default"].timeout, Duration::from_secs(29));
    assert_eq!(wiring.http.routes["GET /health"].timeout, Duration::from_secs(5));
    assert_eq!(wiring.http.cors.as_ref().unwrap().origins, ["http://a"]);
}

#[test]
fn a_resource_that_is_not_imitated_stops_the_start() {
    let mut template = whole();
    template["Resources"]["Table"] = json!({"Type": "AWS::DynamoDB::Table", "Properties": {}});
    let error = read(&template, &inputs(&[]), &limits()).unwrap_err();
    assert!(error.to_string().contains("AWS::DynamoDB::Table"), "{error}");
}

#[test]
fn what_aws_would_refuse_stops_the_start() {
    let refused = |pointer: &str, value: Value| {
        let mut template = whole();
        *template.pointer_mut(pointer).unwrap() = value;
        read(&template, &inputs(&[]), &limits()).unwrap_err().to_string()
    };
    let refused_permission = refused("/Resources/MayRoute/Properties/Principal", json!("s3.amazonaws.com"));
    assert!(refused_permission.contains("Permission"), "{refused_permission}");
    let refused_time_out = refused("/Resources/Function/Properties/Timeout", json!(901));
    assert!(refused_time_out.contains("visibility"), "{refused_time_out}");
    let large =
        refused("/Resources/Function/Properties/Environment/Variables/QUEUE_URL", json!("x".repeat(4096)));
    assert!(large.contains("4096"), "{large}");
}
