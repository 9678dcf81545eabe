//! Passwords that are made for each connection, as IAM tokens are: a real Postgres and a real Redis behind TLS, whose
//! users get another password between one connection and the next. The roots come from a file, so each test runs in a
//! process of its own that has it in `SSL_CERT_FILE`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use konstruct_domain::{ConversationId, TenantId};
use konstruct_postgres::{DbError, TenantPool};
use konstruct_redis::{Redis, RedisError};
use konstruct_tests::redis_keys::RedisKeys;
use konstruct_tests::services::services;
use konstruct_tests::{TestApp, id};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

const FOLDER: &str = "KONSTRUCT_TEST_TLS";

#[test]
fn every_new_connection_to_postgres_asks_for_a_password_of_its_own() {
    in_a_process_that_trusts_us("logins::postgres_asks_anew");
}

#[test]
fn every_new_connection_to_redis_asks_for_a_password_of_its_own() {
    in_a_process_that_trusts_us("logins::redis_asks_anew");
}

#[test]
fn a_server_that_nobody_vouches_for_gets_no_password() {
    in_a_process_that_trusts_us("logins::a_stranger_gets_nothing");
}

/// Runs an ignored test of this file with a certificate of its own, which it trusts.
fn in_a_process_that_trusts_us(test: &str) {
    let folder = std::env::temp_dir().join(format!("konstruct-tls-{}", id().simple()));
    std::fs::create_dir(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(FOLDER, &folder)
        .env("SSL_CERT_FILE", folder.join("certificate.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "{told}");
}

/// What a server says before TLS begins.
#[derive(Clone, Copy)]
enum Opening {
    /// Postgres is asked for TLS in clear (SSLRequest) and says yes.
    Postgres,
    Redis,
}

/// Where the process that runs this one has put a certificate.
#[expect(clippy::disallowed_methods, reason = "the test itself sets it")]
fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os(FOLDER).expect("run by the test that gives it a certificate"))
}

/// Puts TLS in front of a server; the port it is found at.
async fn front(place: String, opening: Opening) -> u16 {
    let folder = folder();
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut outside, _) = listener.accept().await.unwrap();
            let (acceptor, place) = (acceptor.clone(), place.clone());
            tokio::spawn(async move {
                if matches!(opening, Opening::Postgres) {
                    let mut asked = [0; 8];
                    outside.read_exact(&mut asked).await?;
                    assert_eq!(asked, [0, 0, 0, 8, 4, 210, 22, 47]);
                    outside.write_all(b"S").await?;
                }
                let mut outside = acceptor.accept(outside).await?;
                copy_bidirectional(&mut outside, &mut TcpStream::connect(place).await?).await
            });
        }
    });
    port
}

/// `host:port` of a URL.
fn place(url: &str) -> String {
    let rest = url.rsplit('@').next().unwrap().trim_start_matches("redis://");
    rest.split('/').next().unwrap().to_owned()
}

/// Gives `secret-1`, `secret-2` and so on, and remembers who asked.
#[derive(Clone, Default)]
struct Passwords(Arc<Mutex<Vec<String>>>);

impl Passwords {
    fn next(&self, asked: String) -> String {
        let mut all = self.0.lock().unwrap();
        all.push(asked);
        format!("secret-{}", all.len())
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn postgres(url: &str, passwords: &Passwords) -> TenantPool {
    let passwords = passwords.clone();
    let login = konstruct_postgres::Login::new(url, konstruct_postgres::Roots::Native).unwrap();
    let fresh: konstruct_postgres::FreshPassword =
        Arc::new(move |host, port, user| Ok(passwords.next(format!("{user}@{host}:{port}"))));
    TenantPool::of(login.with_fresh_passwords(fresh).unwrap(), 2).unwrap()
}

fn redis(url: &str, passwords: &Passwords) -> Redis {
    let passwords = passwords.clone();
    let login = konstruct_redis::Login::new(url, konstruct_redis::Roots::Native).unwrap();
    let fresh: konstruct_redis::FreshPassword = Arc::new(move |user| Ok(passwords.next(user.to_owned())));
    Redis::of(login.with_fresh_passwords(fresh).unwrap())
}

#[tokio::test]
#[ignore = "run by the test that gives it a certificate"]
async fn postgres_asks_anew() {
    let app = TestApp::start().await;
    let role = format!("login_{}", id().simple());
    let password = async |number: usize| {
        let sql = format!("ALTER ROLE {role} PASSWORD 'secret-{number}'");
        app.root.batch_execute(&sql).await.unwrap();
    };
    app.root.batch_execute(&format!("CREATE ROLE {role} LOGIN NOINHERIT")).await.unwrap();
    let port = front(place(&app.world.postgres_url("konstruct_app")), Opening::Postgres).await;
    let passwords = Passwords::default();
    let url = format!("postgres://{role}:unused@localhost:{port}/{}", app.world.database);
    let pool = postgres(&url, &passwords);

    password(1).await;
    let first = pool.begin(TenantId(id())).await.unwrap();
    password(2).await;
    let second = pool.begin(TenantId(id())).await.unwrap();
    drop((first, second));
    pool.check().await.unwrap();
    assert_eq!(passwords.asked(), [format!("{role}@localhost:{port}"), format!("{role}@localhost:{port}")]);

    // The third password is not in force, so a third connection is refused.
    let stale = postgres(&url, &passwords).begin(TenantId(id())).await.unwrap_err();
    assert!(matches!(&stale, DbError::Query(why) if why.starts_with("28P01")), "{stale}");
    drop(pool);
    app.root.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
#[ignore = "run by the test that gives it a certificate"]
async fn redis_asks_anew() {
    let keys = RedisKeys::open(&format!("{}/0", services().redis_url)).await;
    let user = format!("login-{}", id().simple());
    let password = async |number: usize| {
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER").arg(&user).arg("reset").arg("on").arg(format!(">secret-{number}"));
        keys.run::<()>(set.arg("~*").arg("&*").arg("+@all")).await;
    };
    let port = front(place(&services().redis_url), Opening::Redis).await;
    let passwords = Passwords::default();
    let redis = redis(&format!("rediss://{user}@localhost:{port}/0"), &passwords);

    password(1).await;
    redis.check().await.unwrap();
    redis.check().await.unwrap();
    assert_eq!(passwords.asked().len(), 1, "one connection serves all");
    password(2).await;
    keys.run::<i64>(redis::cmd("CLIENT").arg("KILL").arg("USER").arg(&user)).await;
    redis.check().await.unwrap();
    password(3).await;
    redis.subscribe_responses(TenantId(id()), ConversationId(id())).await.unwrap();
    assert_eq!(passwords.asked(), [user.clone(), user.clone(), user.clone()]);

    // The fourth password is not in force.
    keys.run::<i64>(redis::cmd("CLIENT").arg("KILL").arg("USER").arg(&user)).await;
    assert!(matches!(redis.check().await, Err(RedisError::Command(_))));
    keys.run::<i64>(redis::cmd("ACL").arg("DELUSER").arg(&user)).await;
}

#[tokio::test]
#[ignore = "run by the test that gives it a certificate"]
async fn a_stranger_gets_nothing() {
    let app = TestApp::start().await;
    // The certificate is for localhost: at 127.0.0.1 it is somebody else's.
    let port = front(place(&app.world.postgres_url("konstruct_app")), Opening::Postgres).await;
    let url = format!("postgres://konstruct_app@127.0.0.1:{port}/{}", app.world.database);
    let refused = postgres(&url, &Passwords::default()).begin(TenantId(id())).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");

    let port = front(place(&services().redis_url), Opening::Redis).await;
    let refused = redis(&format!("rediss://u@127.0.0.1:{port}/0"), &Passwords::default()).check().await;
    assert!(refused.as_ref().unwrap_err().to_string().contains("certificate"), "{refused:?}");

    // Postgres that offers no TLS at all gets none either.
    let plain = app.world.postgres_url("konstruct_app").replace("sslmode=disable", "sslmode=prefer");
    let refused = postgres(&plain, &Passwords::default()).begin(TenantId(id())).await.unwrap_err();
    assert!(refused.to_string().contains("TLS"), "{refused}");
}
