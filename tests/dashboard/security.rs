//! Nobody else gets in, and no other page acts.

use crate::client::{Client, database};

const PAUSE: &str = "/actions/pause-queue";
const IS_PAUSED: &str = "select is_paused from supaqueue.queue";

#[tokio::test]
async fn another_host_name_is_refused() {
    let db = database().await;
    let client = Client::new(&db).await;
    let port = client.address.split(':').nth(1).unwrap().to_owned();
    for host in [
        "example.com".to_owned(),
        format!("example.com:{port}"),
        format!("127.0.0.1.example.com:{port}"),
        "127.0.0.1".to_owned(),
        "127.0.0.1:1".to_owned(),
        String::new(),
    ] {
        for path in ["/", "/login", "/assets/x"] {
            let answer = client.send("GET", path, &[("host", &host)], "").await;
            assert_eq!(answer.status, 421, "{host}{path}");
            assert!(!answer.body.contains("emails"), "{host}{path}");
        }
        let origin = format!("http://{host}");
        let headers = [("host", host.as_str()), ("origin", &origin)];
        let answer = client.send("POST", PAUSE, &headers, "queue=emails").await;
        assert_eq!(answer.status, 421, "{host}");
    }
    assert_eq!(db.get(IS_PAUSED).await, "f");
    for host in [&client.address, &format!("LOCALHOST:{port}")] {
        let answer = client.send("GET", "/", &[("host", host)], "").await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn without_the_token_nobody_gets_in() {
    let db = database().await;
    let client = Client::serve(db.database().url(), false).await;
    let zeros = "0".repeat(64);
    for path in [
        "/",
        "/queues/emails",
        "/actions/pause-queue/confirm?queue=emails",
        "/nowhere",
        "/?token=",
        &format!("/?token={zeros}"),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.body.contains("emails</"), "{path}");
        assert!(!answer.body.contains("&lt;test"), "{path}");
        assert_eq!(answer.header("set-cookie"), "", "{path}");
    }
    let asset = client.get("/assets/x").await;
    assert_eq!((asset.status, asset.body.as_str()), (404, ""));
    assert_eq!(client.post(PAUSE, "queue=emails").await.status, 401);
    assert_eq!(db.get(IS_PAUSED).await, "f");
}

#[tokio::test]
async fn the_link_gives_a_cookie_and_the_token_leaves_the_address() {
    let db = database().await;
    let client = Client::serve(db.database().url(), false).await;
    let token = client.link.split_once("token=").unwrap().1;
    assert_eq!(token.len(), 64, "256 bits");
    let path = format!("/queues/emails?period=7d&token={token}");
    let answer = client.get(&path).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), "/queues/emails?period=7d");
    let cookie = answer.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(token), "a session of its own");
    let answer = client.get(&format!("//example.com/?token={token}")).await;
    assert_eq!(answer.header("location"), "/", "no other host");

    let (one, other) = (Client::new(&db).await, Client::new(&db).await);
    assert_ne!(one.link, other.link);
    assert_eq!(one.get("/").await.status, 200);
}

#[tokio::test]
async fn a_post_that_is_not_of_our_own_page_does_nothing() {
    let db = database().await;
    let client = Client::new(&db).await;
    let own = format!("http://{}", client.address);
    let own_tls = format!("https://{}", client.address);
    for (origin, site) in [
        (None, None),
        (None, Some("same-origin")),
        (Some("null"), None),
        (Some("http://example.com"), None),
        (Some("http://127.0.0.1:1"), Some("same-site")),
        (Some(own_tls.as_str()), None),
        (Some(own.as_str()), Some("cross-site")),
        (Some(own.as_str()), Some("same-site")),
        (Some(own.as_str()), Some("none")),
    ] {
        let mut headers = vec![("host", client.address.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        headers.extend(site.map(|site| ("sec-fetch-site", site)));
        for path in [PAUSE, "/logout", "/login"] {
            let answer = client.send("POST", path, &headers, "queue=emails").await;
            assert_eq!(answer.status, 403, "{path} {origin:?} {site:?}");
        }
    }
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let headers = [("host", client.address.as_str()), ("origin", &own)];
        let answer = client.send(method, PAUSE, &headers, "queue=emails").await;
        assert_eq!(answer.status, 405, "{method}");
    }
    let answer = client.get(&format!("{PAUSE}?queue=emails")).await;
    assert_eq!(answer.status, 405, "GET");
    assert_eq!(db.get(IS_PAUSED).await, "f");

    let answer = client.post(PAUSE, "queue=emails").await;
    assert_eq!(answer.status, 303, "from our own page: {}", answer.body);
    assert_eq!(db.get(IS_PAUSED).await, "t");
}

#[tokio::test]
async fn a_read_only_dashboard_offers_and_does_nothing() {
    let db = database().await;
    db.run("select supaqueue.schedule('nightly', 'emails', '0 3 * * *')")
        .await;
    let client = Client::read_only(&db).await;
    for path in ["/", "/queues/emails", "/schedules", "/schedules/nightly"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        answer.says("read-only");
        assert!(!answer.body.contains("action=\"/actions/"), "{path}");
    }
    let answer = client
        .get("/actions/pause-queue/confirm?queue=emails")
        .await;
    assert_eq!(answer.status, 403);
    answer.says("--read-only");
    assert_eq!(client.post(PAUSE, "queue=emails").await.status, 403);
    assert_eq!(db.get(IS_PAUSED).await, "f");
}

/// The sessions of a page, seen by a function that the page calls.
#[tokio::test]
async fn the_sessions_of_a_read_only_dashboard_cannot_write() {
    let db = database().await;
    db.run(
        "select supaqueue.schedule('nightly', 'emails', '0 3 * * *');
         create or replace function supaqueue.explain_schedule(name text) returns text language sql as $$
           select 'read-only ' || current_setting('default_transaction_read_only') || ', limit ' || current_setting('statement_timeout')
         $$",
    )
    .await;
    let page = Client::read_only(&db).await.get("/schedules/nightly").await;
    page.says("read-only on, limit 5s");
    let page = Client::new(&db).await.get("/schedules/nightly").await;
    page.says("read-only off, limit 5s");
}

#[tokio::test]
async fn showing_a_page_cannot_write() {
    let db = database().await;
    db.run(
        "select supaqueue.schedule('nightly', 'emails', '0 3 * * *');
         create or replace function supaqueue.explain_schedule(name text) returns text language sql as $$
           update supaqueue.queue set is_paused = true returning 'done'
         $$",
    )
    .await;
    let page = Client::new(&db).await.get("/schedules/nightly").await;
    page.says("cannot execute UPDATE in a read-only transaction");
    assert_eq!(db.get(IS_PAUSED).await, "f");
}

#[tokio::test]
async fn each_answer_has_the_headers_and_no_page_needs_more_than_they_allow() {
    let db = database().await;
    db.run("select supaqueue.schedule('nightly', 'emails', '0 3 * * *')")
        .await;
    let client = Client::new(&db).await;
    let stranger = Client::serve(db.database().url(), false).await;
    let asset = {
        let page = client.get("/").await.body;
        let (_, rest) = page.split_once("href=\"/assets/").unwrap();
        format!("/assets/{}", rest.split('"').next().unwrap())
    };
    let mut answers = vec![("/", stranger.get("/").await)];
    for path in [
        "/",
        "/queues/emails",
        "/queues/emails/settings",
        "/queues/nobody",
        "/schedules",
        "/schedules/nightly",
        "/actions/pause-queue/confirm?queue=emails",
        "/actions/nothing/confirm",
        "/nowhere",
        "/?a=%00",
        &asset,
    ] {
        answers.push((path, client.get(path).await));
    }
    for (path, answer) in &answers {
        for (name, want) in [
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), want, "{path}");
        }
        let is_asset = *path == asset;
        let cache = answer.header("cache-control");
        assert_eq!(cache.contains("immutable"), is_asset, "{path}: {cache}");
        assert!(is_asset || cache == "no-store", "{path}: {cache}");
        let html = answer.body.replace("style-src", "");
        for forbidden in [" style=", " onclick=", "<style", "javascript:", "http://"] {
            assert!(is_asset || !html.contains(forbidden), "{path}: {forbidden}");
        }
        assert_eq!(
            html.matches("<script").count(),
            html.matches("<script src=\"/assets/").count(),
            "{path}"
        );
    }
    let name = "select distinct application_name from pg_stat_activity
        where datname = current_database() and application_name like 'supaqueue%'";
    assert_eq!(db.get(name).await, "supaqueue dashboard");
}
