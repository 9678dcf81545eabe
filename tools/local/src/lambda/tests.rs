//! Real processes on the Runtime API: a small Python bootstrap that does what its event says.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Failure, Host, Invoker, Outcome, Setup, router};
use crate::faults::{Fault, Faults};
use crate::server::serve;
use crate::template::FunctionSpec;

const BOOTSTRAP: &str = include_str!("../../tests/bootstrap.py");

struct Stage {
    host: Arc<Host>,
    faults: Arc<Faults>,
    folder: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn stage() -> Stage {
    let folder = std::env::temp_dir().join(format!("local-{}", crate::ids::uuid()));
    std::fs::create_dir_all(&folder).unwrap();
    let binary = folder.join("echo");
    std::fs::write(&binary, BOOTSTRAP).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spec = FunctionSpec {
        folder: "echo".into(),
        name: "konstruct-local-echo".into(),
        arn: "arn".into(),
        handler: "bootstrap".into(),
        timeout: Duration::from_secs(1),
        memory_mb: 256,
        environment: [("GIVEN".to_string(), "yes".to_string())].into(),
    };
    let setup = Setup {
        state_dir: folder.clone(),
        built: folder.clone(),
        binaries: folder.clone(),
        logs: folder.clone(),
        runtime_api_port: listener.local_addr().unwrap().port(),
        sqs_endpoint: "http://127.0.0.1:1".into(),
    };
    let faults = Arc::new(Faults::default());
    let host = Host::new(vec![spec], setup, &faults);
    tokio::spawn(serve(listener, router(host.clone())));
    Stage { host, faults, folder }
}

impl Stage {
    async fn call(&self, event: Value) -> Outcome {
        self.host.invoke("echo", Bytes::from(event.to_string())).outcome().await
    }

    async fn echo(&self, event: Value) -> Value {
        serde_json::from_slice(&self.call(event).await.unwrap()).unwrap()
    }

    /// Another build of the function; its folder.
    fn build(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let binary = folder.join("echo");
        std::fs::write(&binary, format!("{BOOTSTRAP}\n# {name}\n")).unwrap();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn figure(&self, name: &str) -> u64 {
        self.host.figures()["echo"][name].as_u64().unwrap()
    }
}

#[tokio::test]
async fn a_warm_process_is_used_again_and_a_busy_one_is_not_waited_for() {
    let stage = stage().await;
    let first = stage.echo(json!({})).await;
    assert_eq!(stage.echo(json!({})).await["pid"], first["pid"]);
    let (one, two) = tokio::join!(stage.echo(json!({"sleep": 0.3})), stage.echo(json!({"sleep": 0.3})));
    assert_ne!(one["pid"], two["pid"]);
    assert_eq!((stage.figure("invocations"), stage.figure("cold_starts"), stage.figure("errors")), (4, 2, 0));
    assert!(stage.figure("max_rss_bytes") > 1_000_000);
    stage.host.stop().await;
}

#[tokio::test]
async fn a_function_gets_the_templates_and_lambdas_environment_only() {
    let stage = stage().await;
    let environment = stage.echo(json!({})).await["environment"].clone();
    assert_eq!(environment["GIVEN"], "yes");
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "konstruct-local-echo");
    assert_eq!(environment.get("HOME"), None);
    assert_eq!(environment.get("CARGO_MANIFEST_DIR"), None);
    let headers = stage.echo(json!({})).await["headers"].clone();
    assert!(headers["lambda-runtime-trace-id"].as_str().unwrap().starts_with("Root=1-"));
    assert!(headers["lambda-runtime-deadline-ms"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    stage.host.stop().await;
}

#[tokio::test]
async fn every_way_to_fail_is_an_error_and_the_next_call_works() {
    let stage = stage().await;
    assert_eq!(stage.call(json!({"exit": 3})).await, Err(Failure::Crashed));
    assert_eq!(stage.call(json!({"fail": "Kind"})).await, Err(Failure::Unhandled("Kind".into())));
    assert_eq!(stage.call(json!({"sleep": 30})).await, Err(Failure::TimedOut));
    stage.echo(json!({})).await;
    assert_eq!((stage.figure("invocations"), stage.figure("errors")), (4, 3));
    assert!(matches!(stage.host.invoke("nobody", Bytes::new()).outcome().await, Err(Failure::NotStarted(_))));
    stage.host.stop().await;
}

#[tokio::test]
async fn a_kill_strikes_one_invocation_and_an_early_end_uses_its_mark_up() {
    let stage = stage().await;
    let kill = |after_ms| Fault::KillFunction { function: "echo".into(), after_ms, times: 1 };
    stage.faults.arm(kill(100));
    assert_eq!(stage.call(json!({"sleep": 0.5})).await, Err(Failure::Crashed));
    stage.faults.arm(kill(300));
    stage.echo(json!({})).await;
    stage.echo(json!({"sleep": 0.5})).await;
    assert_eq!(stage.figure("errors"), 1);
    stage.host.stop().await;
}

#[tokio::test]
async fn calls_reach_functions_in_the_order_they_were_made() {
    let stage = stage().await;
    let pending: Vec<_> =
        (0..5).map(|n| stage.host.invoke("echo", Bytes::from(json!({"n": n}).to_string()))).collect();
    for (n, pending) in pending.into_iter().enumerate() {
        let answer: Value = serde_json::from_slice(&pending.outcome().await.unwrap()).unwrap();
        assert_eq!(answer["event"]["n"], n);
    }
    stage.host.stop().await;
    assert!(stage.call(json!({})).await.is_err(), "a stopped host starts nothing");
}

/// Where the process that gave an answer has its binary.
fn home(answer: &Value) -> &str {
    answer["environment"]["LAMBDA_TASK_ROOT"].as_str().unwrap()
}

#[tokio::test]
async fn a_swapped_function_begins_in_its_new_build_and_ends_in_its_old_one() {
    let stage = stage().await;
    let idle = stage.echo(json!({})).await["pid"].as_u64().unwrap();
    let busy = tokio::spawn({
        let host = stage.host.clone();
        let idle_too = Bytes::from(json!({"sleep": 0.4}).to_string());
        async move { (host.invoke("echo", idle_too).outcome().await, host) }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let next = stage.build("next");
    stage.host.swap("echo", Some(&next), false).unwrap();
    std::fs::remove_dir_all(&next).unwrap();
    let fresh = stage.echo(json!({})).await;
    assert!(home(&fresh).ends_with("bin/builds/1"), "set aside, whatever becomes of what was built: {fresh}");
    let (old, _) = busy.await.unwrap();
    let old: Value = serde_json::from_slice(&old.unwrap()).unwrap();
    assert_eq!((old["pid"].as_u64(), home(&old)), (Some(idle), stage.folder.to_str().unwrap()));
    assert_eq!(stage.echo(json!({})).await["pid"], fresh["pid"], "and no invocation more");
    for _ in 0..100 {
        if !std::path::Path::new(&format!("/proc/{idle}")).exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!std::path::Path::new(&format!("/proc/{idle}")).exists(), "its process has ended");
    assert_eq!(stage.host.builds()["echo"], json!({"build": 1, "ended": {"0": 2, "1": 2}}));
    assert_eq!(stage.figure("errors"), 0, "nothing failed by it");
    stage.host.swap("*", None, false).unwrap();
    assert!(home(&stage.echo(json!({})).await).ends_with("bin/builds/2"), "and back to what builds left");
    assert!(stage.host.swap("nobody", None, false).is_err());
    assert!(stage.host.swap("echo", Some(&next), false).is_err(), "what is not built is not swapped in");
    assert_eq!(stage.host.builds()["echo"]["build"], 2);
    stage.host.stop().await;
}

#[tokio::test]
async fn a_swap_that_kills_ends_what_runs_as_a_crash_does() {
    let stage = stage().await;
    let pending = stage.host.invoke("echo", Bytes::from(json!({"sleep": 30}).to_string()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    stage.host.swap("*", Some(&stage.build("next")), true).unwrap();
    assert_eq!(pending.outcome().await, Err(Failure::Crashed));
    assert!(home(&stage.echo(json!({})).await).ends_with("bin/builds/1"));
    assert_eq!(stage.figure("errors"), 1);
    stage.host.stop().await;
}
