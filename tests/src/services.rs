//! One private Postgres and one private Redis for all test processes of a run: found, or started by
//! `tests/services`, which ends them when no test process is left. Servers that the environment names
//! (`TEST_POSTGRES_URL` of a superuser, `TEST_REDIS_URL`) are never started or stopped.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::schema::Schema;

/// The servers of this run.
#[derive(Debug)]
pub struct Services {
    /// Redis, without a database number.
    pub redis_url: String,
    /// Postgres with the schema in it.
    pub schema: Schema,
    /// Held for as long as this process lives: `tests/services` waits for it.
    _alive: Option<File>,
}

/// The servers, started if they are not there.
pub fn services() -> &'static Services {
    static SERVICES: OnceLock<Services> = OnceLock::new();
    // On a thread of its own: the schema is made with a runtime, and a test may have one already.
    SERVICES.get_or_init(|| std::thread::spawn(start).join().expect("the test services start"))
}

fn start() -> Services {
    let folder = folder();
    let named = (std::env::var("TEST_POSTGRES_URL").ok(), std::env::var("TEST_REDIS_URL").ok());
    let alive = open(&folder.join("alive"));
    let starting = open(&folder.join("starting"));
    let (postgres_url, redis_url, alive) = match named {
        (Some(postgres), Some(redis)) => {
            starting.lock().expect("the lock of those who start");
            (postgres, redis, None)
        }
        _ => {
            alive.lock_shared().expect("the lock of those who live");
            starting.lock().expect("the lock of those who start");
            let (postgres, redis) = find(&folder).unwrap_or_else(|| launch(&folder));
            (postgres, redis, Some(alive))
        }
    };
    let schema = Schema::ensure(&postgres_url);
    drop(starting);
    Services { redis_url: redis_url.trim_end_matches("/0").to_owned(), schema, _alive: alive }
}

/// Per checkout, and outside of it: Postgres' own user must be able to get there.
fn folder() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
    let folder = std::env::temp_dir().join(format!("konstruct-tests-{:016x}", hasher.finish()));
    DirBuilder::new().recursive(true).mode(0o711).create(&folder).expect("a folder for the services");
    folder
}

fn open(path: &Path) -> File {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).expect("a lock file")
}

/// The servers that run already.
fn find(folder: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(folder.join("urls")).ok()?;
    let mut lines = text.lines().map(str::to_owned);
    let urls = (lines.next()?, lines.next()?);
    let answers = |url: &str| {
        let place =
            url.rsplit('@').next().and_then(|rest| rest.trim_start_matches("redis://").split('/').next());
        place.and_then(|place| TcpStream::connect(place).ok()).is_some()
    };
    (answers(&urls.0) && answers(&urls.1)).then_some(urls)
}

/// Starts them; tried again where another process took a port in the meantime.
fn launch(folder: &Path) -> (String, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/services");
    let log = folder.join("log");
    for _ in 0..3 {
        let _ = std::fs::remove_file(folder.join("urls"));
        let [postgres, redis] = free_ports();
        let output = File::create(&log).expect("a log file");
        let mut child = Command::new(script)
            .arg(folder)
            .args([postgres.to_string(), redis.to_string()])
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a log file"))
            .stderr(output)
            // Not in the group of this test: it outlives it.
            .process_group(0)
            .spawn()
            .expect("tests/services");
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until && child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if let Some(urls) = find(folder) {
                return urls;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    panic!("tests/services did not start: {}", std::fs::read_to_string(log).unwrap_or_default());
}

fn free_ports() -> [u16; 2] {
    let held = [0; 2].map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("its address").port())
}
