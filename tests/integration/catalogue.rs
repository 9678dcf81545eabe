//! What Postgres itself says of the schema: row level security on every table, no way around it, and the shape that
//! operators rely on. It reads the catalogue only, so a new table is judged the day it is added.

use std::collections::{BTreeMap, BTreeSet};

use konstruct_domain::Channel;
use konstruct_tests::TestApp;

/// Tables that hold nobody's data.
const NO_TENANT: [&str; 1] = ["refinery_schema_history"];
/// Tables that are a tenant, or belong to several.
const ABOVE_TENANTS: [&str; 2] = ["tenants", "portal_users"];
/// Indexes of roles that read across tenants; none is unique.
const ACROSS_TENANTS: [&str; 5] = [
    "tenant_members_by_user",
    "web_conversations_by_id",
    "web_conversations_of_all",
    "turns_due_of_all",
    "turn_steps_waiting_of_all",
];
const TENANT: &str = "NULLIF(current_setting('app.current_tenant'::text, true), ''::text)";

/// The first column of each row of a query, as text.
async fn list(app: &TestApp, sql: &str) -> Vec<String> {
    app.root.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn tables(app: &TestApp) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p', 'm') AND relnamespace = 'public'::regnamespace";
    list(app, sql).await.into_iter().filter(|table| !NO_TENANT.contains(&table.as_str())).collect()
}

/// proves TEN-01
#[tokio::test]
async fn every_table_has_row_level_security_and_forces_it() {
    let app = TestApp::start().await;
    let sql = "SELECT relname::text FROM pg_class
        WHERE relkind IN ('r', 'p', 'm') AND relnamespace = 'public'::regnamespace
          AND NOT (relrowsecurity AND relforcerowsecurity)";
    assert_eq!(list(&app, sql).await, NO_TENANT);
    let seen = "SELECT table_name::text FROM information_schema.role_table_grants
        WHERE table_name = 'refinery_schema_history' AND grantee <> 'konstruct_owner'";
    assert_eq!(list(&app, seen).await, [""; 0], "what is not secured is granted to nobody");
}

/// proves TEN-01
#[tokio::test]
async fn every_policy_is_the_tenants_own_or_one_of_the_named_doors() {
    let app = TestApp::start().await;
    let sql = "SELECT tablename::text, policyname::text, permissive, roles::text[], cmd, qual, with_check
        FROM pg_policies WHERE schemaname = 'public'";
    let mut tenant_only = BTreeSet::new();
    for row in app.root.query(sql, &[]).await.unwrap() {
        let (table, policy): (String, String) = (row.get(0), row.get(1));
        let (roles, command): (Vec<String>, String) = (row.get(3), row.get(4));
        let (qual, check): (Option<String>, Option<String>) = (row.get(5), row.get(6));
        let qual = qual.unwrap_or_default();
        let what = format!("{table}.{policy}: {qual} {check:?} {roles:?}");
        // Who is a member is narrowed once more: of a disabled tenant nobody is.
        let narrows = policy == "active_tenants_only";
        assert_eq!(row.get::<_, String>(2), if narrows { "RESTRICTIVE" } else { "PERMISSIVE" }, "{what}");
        assert_eq!(check, None, "a check of its own could be wider: {what}");
        match policy.as_str() {
            "tenant_only" => {
                let column = if table == "tenants" { "id" } else { "tenant_id" };
                assert!(qual.starts_with(&format!("({column} = ( SELECT ({TENANT})::uuid")), "{what}");
                assert_eq!((roles, command.as_str()), (vec!["public".to_owned()], "ALL"), "{what}");
                tenant_only.insert(table);
            }
            "members_only" => {
                assert!(table == "portal_users" && qual.contains(TENANT), "{what}");
                tenant_only.insert(table);
            }
            "directory_reads" => {
                assert_eq!(
                    (roles, command.as_str()),
                    (vec!["konstruct_directory".to_owned()], "SELECT"),
                    "{what}"
                );
            }
            "platform_reads" => {
                assert_eq!(
                    (roles, command.as_str()),
                    (vec!["konstruct_platform".to_owned()], "SELECT"),
                    "{what}"
                );
            }
            "active_tenants_only" => {
                assert_eq!((table.as_str(), command.as_str()), ("tenant_members", "SELECT"), "{what}");
                let asking = "SELECT DISTINCT grantee::text FROM information_schema.column_privileges
                    WHERE table_name = 'tenant_members' AND privilege_type = 'SELECT'
                      AND grantee NOT IN ('konstruct_owner', 'konstruct_admin') ORDER BY 1";
                assert_eq!(roles, list(&app, asking).await, "whoever asks who is a member: {what}");
            }
            "administration" => {
                assert!(ABOVE_TENANTS.contains(&table.as_str()), "{what}");
                assert_eq!((roles, command.as_str()), (vec!["konstruct_admin".to_owned()], "ALL"), "{what}");
            }
            _ => panic!("nobody knows this policy: {what}"),
        }
    }
    assert_eq!(
        tenant_only,
        tables(&app).await.into_iter().collect(),
        "each table has a policy of its tenant"
    );
}

/// proves TEN-01
#[tokio::test]
async fn the_roles_of_the_service_own_nothing_and_cannot_bypass_anything() {
    let app = TestApp::start().await;
    let sql = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'konstruct\\_%' AND rolname <> 'konstruct_owner'
        AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolinherit)";
    assert_eq!(list(&app, sql).await, [""; 0]);
    let owned = "SELECT c.relname::text FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE r.rolname IN ('konstruct_app', 'konstruct_channels', 'konstruct_agent', 'konstruct_platform', 'konstruct_directory',
            'konstruct_admin')";
    assert_eq!(list(&app, owned).await, [""; 0]);
    let functions = "SELECT p.proname::text FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
        WHERE r.rolname IN ('konstruct_app', 'konstruct_channels', 'konstruct_agent', 'konstruct_platform', 'konstruct_admin')";
    assert_eq!(list(&app, functions).await, [""; 0]);
    let member_of = "SELECT m.roleid::regrole::text FROM pg_auth_members m
        WHERE m.member::regrole::text IN ('konstruct_app', 'konstruct_channels', 'konstruct_agent', 'konstruct_platform', 'konstruct_directory',
            'konstruct_admin')";
    assert_eq!(list(&app, member_of).await, [""; 0], "a member could set that role");
    let logs_in = "SELECT rolname::text FROM pg_roles
        WHERE rolname IN ('konstruct_directory', 'konstruct_admin') AND rolcanlogin";
    assert_eq!(list(&app, logs_in).await, [""; 0]);
    let owner =
        "SELECT rolname::text FROM pg_roles WHERE rolname = 'konstruct_owner' AND (rolsuper OR rolbypassrls)";
    assert_eq!(list(&app, owner).await, [""; 0]);
}

/// proves TEN-01
#[tokio::test]
async fn every_key_of_a_tenants_table_starts_with_the_tenant() {
    let app = TestApp::start().await;
    let sql =
        "SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, i.indisunique, a.attname::text
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')";
    for row in app.root.query(sql, &[]).await.unwrap() {
        let (table, index, unique, first): (String, String, bool, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        if NO_TENANT.contains(&table.as_str()) || ABOVE_TENANTS.contains(&table.as_str()) {
            continue;
        }
        let across = !unique && ACROSS_TENANTS.contains(&index.as_str());
        assert!(first == "tenant_id" || across, "{table}: {index} starts with {first}");
    }
}

/// proves TEN-01
#[tokio::test]
async fn every_reference_between_tenants_tables_carries_the_tenant() {
    let app = TestApp::start().await;
    let sql = "SELECT c.conrelid::regclass::text, c.confrelid::regclass::text,
            (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(num, n)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num),
            (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(num, n)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.num)
        FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace";
    let rows = app.root.query(sql, &[]).await.unwrap();
    assert!(rows.len() > 5, "there are references");
    for row in rows {
        let (from, to): (String, String) = (row.get(0), row.get(1));
        let (columns, referenced): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
        let what = format!("{from} {columns:?} -> {to} {referenced:?}");
        match to.as_str() {
            "tenants" => assert_eq!(columns, ["tenant_id"], "{what}"),
            "portal_users" => assert_eq!(referenced, ["id"], "{what}"),
            _ => assert!(columns[0] == "tenant_id" && referenced[0] == "tenant_id", "{what}"),
        }
        assert_ne!(to, "tenant_members", "deleting a member is hindered by nothing: {what}");
    }
}

/// proves TEN-04
#[tokio::test]
async fn closed_sets_are_text_with_a_check() {
    let app = TestApp::start().await;
    let enums =
        "SELECT typname::text FROM pg_type WHERE typtype = 'e' AND typnamespace = 'public'::regnamespace";
    assert_eq!(list(&app, enums).await, [""; 0]);
    let sql = "SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'c' AND connamespace = 'public'::regnamespace";
    let checks = list(&app, sql).await;
    let sets = [
        "'tenant_admin'::text, 'tenant_member'::text",
        "'user'::text, 'assistant'::text",
        "'ai'::text, 'human'::text",
    ];
    for set in sets {
        assert!(checks.iter().any(|check| check.contains(set)), "{set}: {checks:?}");
    }
}

/// proves CHAN-02, TEN-04
#[tokio::test]
async fn the_database_knows_exactly_the_channels_of_the_code() {
    let app = TestApp::start().await;
    let sql = "SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
        WHERE c.contype = 'c' AND a.attname = 'channel'";
    let checks = list(&app, sql).await;
    assert_eq!(checks.len(), 2, "channel_connections and web_conversations: {checks:?}");
    let names: BTreeSet<&str> = Channel::ALL.into_iter().map(Channel::as_str).collect();
    for check in checks {
        let listed: BTreeSet<&str> = check.split('\'').skip(1).step_by(2).collect();
        assert_eq!(listed, names);
    }
}

/// proves TEN-01
#[tokio::test]
async fn every_view_asks_as_its_reader() {
    let app = TestApp::start().await;
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
        AND NOT ('security_invoker=true' = ANY (coalesce(reloptions, '{}')))";
    assert_eq!(list(&app, sql).await, [""; 0]);
}

/// proves TEN-01, TEN-02
#[tokio::test]
async fn functions_that_see_more_than_their_caller_are_the_directorys() {
    let app = TestApp::start().await;
    let sql = "SELECT p.proname::text, p.proowner::regrole::text, n.nspname::text,
            coalesce(array_to_string(p.proconfig, ','), ''), has_function_privilege('public', p.oid, 'EXECUTE'),
            has_function_privilege('konstruct_app', p.oid, 'EXECUTE')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')";
    let rows = app.root.query(sql, &[]).await.unwrap();
    let names: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        names,
        ["conversation_tenant", "due_turns", "expired_confirmations", "installation"]
            .map(str::to_owned)
            .into()
    );
    for row in rows {
        let name: String = row.get(0);
        assert_eq!(row.get::<_, String>(1), "konstruct_directory", "{name}");
        assert_eq!(row.get::<_, String>(2), "directory", "{name}");
        assert_eq!(row.get::<_, String>(3), "search_path=pg_catalog, pg_temp", "{name}");
        assert!(!row.get::<_, bool>(4), "{name} is not for everybody");
        assert!(row.get::<_, bool>(5), "{name} is for the service");
    }
    let created = "SELECT 1::text WHERE has_schema_privilege('konstruct_directory', 'directory', 'CREATE')
        OR has_schema_privilege('konstruct_app', 'public', 'CREATE')
        OR has_schema_privilege('konstruct_app', 'directory', 'CREATE')";
    assert_eq!(list(&app, created).await, [""; 0]);
}

/// proves TEN-01
#[tokio::test]
async fn the_doors_across_tenants_see_no_more_than_they_need() {
    let app = TestApp::start().await;
    let sql = "SELECT grantee || ' ' || table_name || ' ' || string_agg(column_name, ',' ORDER BY column_name)
        FROM information_schema.column_privileges
        WHERE grantee IN ('konstruct_directory', 'konstruct_platform') GROUP BY grantee, table_name ORDER BY 1";
    let granted = list(&app, sql).await;
    assert_eq!(
        granted,
        [
            "konstruct_directory channel_connections channel,created_at,id,status,tenant_id,workspace_id",
            "konstruct_directory turn_steps decision,expires_at,number,state,tenant_id,turn_id",
            "konstruct_directory turns conversation_id,created_at,delivered_at,ended_at,epoch,id,state,tenant_id,trace_id",
            "konstruct_directory web_conversations epoch,id,lease_until,tenant_id",
            "konstruct_platform agents id,is_active,name,tenant_id",
            "konstruct_platform web_conversation_messages content,conversation_id,id,position,tenant_id",
            "konstruct_platform web_conversations agent_id,channel,created_at,id,session_id,status,tenant_id,updated_at,user_id",
        ]
    );
    let written = "SELECT table_name::text FROM information_schema.role_table_grants
        WHERE grantee IN ('konstruct_directory', 'konstruct_platform') AND privilege_type <> 'SELECT'";
    assert_eq!(list(&app, written).await, [""; 0]);
    let config =
        "SELECT grantee::text FROM information_schema.column_privileges WHERE privilege_type = 'SELECT'
        AND table_name = 'channel_connections' AND column_name = 'config' AND grantee <> 'konstruct_owner'
        ORDER BY 1";
    assert_eq!(
        list(&app, config).await,
        ["konstruct_agent", "konstruct_channels"],
        "who calls a channel reads its sealed secrets"
    );
    let keys = "SELECT DISTINCT grantee::text FROM information_schema.column_privileges
        WHERE table_name IN ('provider_keys', 'tool_servers') AND column_name = 'key' AND privilege_type = 'SELECT'
          AND grantee <> 'konstruct_owner'";
    assert_eq!(list(&app, keys).await, ["konstruct_agent"], "only the agent uses models and tools");
    let kept = "SELECT DISTINCT grantee::text FROM information_schema.column_privileges
        WHERE table_name IN ('provider_keys', 'tool_servers') AND grantee <> 'konstruct_owner' ORDER BY 1";
    assert_eq!(
        list(&app, kept).await,
        ["konstruct_admin", "konstruct_agent"],
        "and only commands write them"
    );
    let said = "SELECT DISTINCT table_name::text FROM information_schema.column_privileges
        WHERE grantee = 'konstruct_admin' ORDER BY 1";
    assert_eq!(
        list(&app, said).await,
        [
            "agent_models",
            "agent_tools",
            "agents",
            "portal_users",
            "provider_keys",
            "tenant_members",
            "tenants",
            "token_months",
            "tool_servers",
        ],
        "nothing that was said"
    );
}

/// proves TEN-04
#[tokio::test]
async fn the_columns_that_operators_rely_on_are_there() {
    let app = TestApp::start().await;
    let sql = "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
        WHERE table_schema = 'public'";
    let columns: BTreeSet<String> = list(&app, sql).await.into_iter().collect();
    for column in [
        "portal_users.id uuid",
        "portal_users.email text",
        "tenant_members.tenant_id uuid",
        "tenant_members.user_id uuid",
        "tenant_members.role text",
        "agents.is_active boolean",
        "web_conversations.updated_at timestamp with time zone",
        "web_conversation_messages.created_at timestamp with time zone",
        "web_conversation_messages.role text",
    ] {
        assert!(columns.contains(column), "{column}");
    }
    let expected = [
        "agents",
        "channel_connections",
        "llm_usage",
        "portal_users",
        "tenant_members",
        "tenants",
        "turn_steps",
        "turns",
        "web_conversation_messages",
        "web_conversations",
    ];
    let tables: BTreeSet<String> = tables(&app).await.into_iter().collect();
    assert!(expected.iter().all(|table| tables.contains(*table)), "{tables:?}");
}

/// proves TEN-04
#[tokio::test]
async fn uniques_cascade_and_index_are_as_the_specification_says() {
    let app = TestApp::start().await;
    let sql = "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace";
    let constraints = list(&app, sql).await;
    let has = |text: &str| assert!(constraints.iter().any(|c| c == text), "{text}: {constraints:#?}");
    has("web_conversations UNIQUE (tenant_id, agent_id, user_id, session_id)");
    has("web_conversation_messages FOREIGN KEY (tenant_id, conversation_id) REFERENCES \
         web_conversations(tenant_id, id) ON DELETE CASCADE");
    let users: BTreeMap<&str, ()> =
        constraints.iter().filter_map(|c| c.strip_prefix("portal_users ")).map(|c| (c, ())).collect();
    assert_eq!(users.into_keys().collect::<Vec<_>>(), ["PRIMARY KEY (id)", "UNIQUE (email)"]);
    let indexes = list(&app, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'").await;
    let by_time = "ON public.web_conversation_messages USING btree (tenant_id, conversation_id, created_at)";
    assert!(indexes.iter().any(|index| index.contains(by_time)), "{indexes:#?}");
}

/// proves TEN-04
#[tokio::test]
async fn deleting_a_member_or_a_conversation_takes_what_it_should_and_no_more() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    app.message(&tenant, conversation, "hello").await;
    app.remove_member(tenant.id, tenant.user).await;
    let messages = "SELECT 1 FROM web_conversation_messages WHERE tenant_id = $1";
    assert_eq!(app.count(messages, &[&tenant.id.0]).await, 1, "removing a member deletes nothing");
    let sql = "DELETE FROM web_conversations WHERE tenant_id = $1";
    app.root.execute(sql, &[&tenant.id.0]).await.unwrap();
    assert_eq!(app.count(messages, &[&tenant.id.0]).await, 0);
    assert_eq!(app.count("SELECT 1 FROM turns WHERE tenant_id = $1", &[&tenant.id.0]).await, 0);
}
