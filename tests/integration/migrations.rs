//! Migrating: again, by an older program, and on RDS. The owner here is what RDS gives: it may make roles and owns its
//! database, and is no superuser.

use konstruct_postgres::migrate::migrate;
use konstruct_postgres::{DbError, Login, Roots};
use konstruct_tests::TestApp;
use tokio::sync::Mutex;

/// Roles belong to all databases of a server: while one test has made RDS' own role, no other may look for it.
static ROLES: Mutex<()> = Mutex::const_new(());

fn owner(app: &TestApp) -> Login {
    Login::new(&app.world.postgres_url("konstruct_owner"), Roots::CompiledIn).unwrap()
}

/// proves TEN-01
#[tokio::test]
async fn migrating_again_changes_nothing() {
    let _alone = ROLES.lock().await;
    let app = TestApp::alone().await;
    let owner = owner(&app);
    let again = tokio::join!(migrate(&owner), migrate(&owner));
    let (first, second) = (again.0.unwrap(), again.1.unwrap());
    assert_eq!((first.applied.len(), first.is_newer), (0, false));
    assert_eq!(first, second);
}

#[tokio::test]
async fn the_owner_is_no_superuser() {
    let app = TestApp::start().await;
    let owner = "SELECT 1 FROM pg_roles WHERE rolname = 'konstruct_owner' AND rolcreaterole AND NOT rolsuper
                 AND NOT rolbypassrls AND NOT rolreplication";
    assert_eq!(app.count(owner, &[]).await, 1);
}

#[tokio::test]
async fn a_schema_that_is_newer_than_the_program_is_left_as_it_is() {
    let _alone = ROLES.lock().await;
    let app = TestApp::alone().await;
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (999, 'newer', '2026-11-21T09:30:00Z', '1')";
    app.root.batch_execute(newer).await.unwrap();
    let migrated = migrate(&owner(&app)).await.unwrap();
    assert_eq!((migrated.applied.len(), migrated.version, migrated.is_newer), (0, 999, true));
}

#[tokio::test]
async fn a_migration_that_is_another_than_it_was_is_refused() {
    let _alone = ROLES.lock().await;
    let app = TestApp::alone().await;
    let changed = "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2";
    app.root.batch_execute(changed).await.unwrap();
    let refused = migrate(&owner(&app)).await.unwrap_err();
    assert!(matches!(&refused, DbError::Query(why) if why.contains("V2__tenants")), "{refused}");
}

#[tokio::test]
async fn on_rds_the_functions_roles_may_sign_in_by_iam() {
    let _alone = ROLES.lock().await;
    let app = TestApp::alone().await;
    // Of RDS' superuser the owner has what counts here: it may hand this role on.
    let rds =
        "BEGIN; CREATE ROLE rds_iam NOLOGIN; GRANT rds_iam TO konstruct_owner WITH ADMIN OPTION; COMMIT";
    app.root.batch_execute(rds).await.unwrap();
    for _ in 0..2 {
        migrate(&owner(&app)).await.unwrap();
    }
    let members = "SELECT m.rolname FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid
                   JOIN pg_roles m ON m.oid = a.member
                   WHERE r.rolname = 'rds_iam' AND m.rolname <> 'konstruct_owner' ORDER BY 1";
    let rows = app.root.query(members, &[]).await.unwrap();
    app.root.batch_execute("DROP ROLE rds_iam").await.unwrap();
    let members: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(members, ["konstruct_agent", "konstruct_app", "konstruct_channels", "konstruct_platform"]);
}
