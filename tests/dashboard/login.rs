//! `--listen`: a password instead of the token.

use std::net::SocketAddr;

use supaqueue_dashboard::{Access, ConfigConnectImpl, Dashboard, Error, Options};
use supaqueue_tests::Db;
use tokio_postgres::NoTls;

use crate::client::{Client, database};

const PASSWORD: &str = "correct horse";

fn access(listen: &str, hosts: &[&str], password: &str) -> Access {
    Access::Password {
        listen: listen.parse().unwrap(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        password: password.into(),
    }
}

async fn client(db: &Db) -> Client {
    let access = access("127.0.0.1:0", &["queues.example.com"], PASSWORD);
    Client::with(db.database().url(), false, access).await
}

#[tokio::test]
async fn it_is_refused_without_a_password_and_without_a_name() {
    let refusal = async |listen: &str, hosts: &[&str], password: &str| {
        let options = Options {
            project: "test".into(),
            access: access(listen, hosts, password),
            is_read_only: false,
        };
        let config = "host=127.0.0.1 port=1".parse().unwrap();
        let connect = ConfigConnectImpl { tls: NoTls };
        Dashboard::bind(options, config, connect).await.err()
    };
    for password in ["", "eleven char", "äöüäöüäöüäö"] {
        let error = refusal("127.0.0.1:0", &[], password).await;
        assert!(matches!(error, Some(Error::ShortPassword)), "{password}");
    }
    let error = refusal("0.0.0.0:0", &[], PASSWORD).await;
    assert!(matches!(error, Some(Error::NoHost(_))), "{error:?}");
    assert!(
        refusal("0.0.0.0:0", &["a.example.com"], PASSWORD)
            .await
            .is_none()
    );
    assert!(refusal("127.0.0.1:0", &[], PASSWORD).await.is_none());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let error = refusal(&address.to_string(), &[], PASSWORD).await;
    assert!(matches!(error, Some(Error::Listen(..))), "{error:?}");
}

#[tokio::test]
async fn the_password_lets_in_until_the_log_out() {
    let db = database().await;
    let mut client = client(&db).await;
    assert_eq!(client.link, format!("http://{}/", client.address));
    for path in ["/", "/queues/emails", "/?token=x"] {
        let answer = client.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/login"));
    }
    client.get("/login").await.says("type=\"password\"");
    for form in [
        "",
        "password=",
        "password=wrong+horse+",
        "password=correct+horse+",
    ] {
        let answer = client.post("/login", form).await;
        assert_eq!(answer.status, 403, "{form}");
        assert_eq!(answer.header("set-cookie"), "");
    }
    let answer = client.post("/login", "password=correct+horse").await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    assert!(!answer.header("set-cookie").contains("Secure"));
    client.keep_cookie(&answer);
    client.get("/").await.says("emails");
    assert_eq!(
        client.post("/logout", "").await.header("location"),
        "/login"
    );
    assert_eq!(client.get("/").await.status, 303, "the session is over");
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_cookie_is_secure() {
    let db = database().await;
    let client = client(&db).await;
    let log_in = async |host: &str, origin: &str| {
        let headers = [("host", host), ("origin", origin)];
        client
            .send("POST", "/login", &headers, "password=correct+horse")
            .await
    };
    let answer = log_in("queues.example.com", "https://queues.example.com").await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("set-cookie").ends_with("; Secure"));
    let answer = log_in("queues.example.com", "https://other.example.com").await;
    assert_eq!(answer.status, 403);
    let answer = log_in("other.example.com", "https://other.example.com").await;
    assert_eq!(answer.status, 421);
}

#[tokio::test]
async fn attempts_are_limited() {
    let db = database().await;
    let client = client(&db).await;
    let mut refused = 0;
    while client.post("/login", "password=wrong").await.status != 429 {
        refused += 1;
        assert!(refused < 50, "no limit");
    }
    assert!(refused >= 10, "only {refused} attempts");
    let answer = client.post("/login", "password=correct+horse").await;
    assert_eq!(answer.status, 429, "nor the right one meanwhile");
    assert_ne!(answer.header("retry-after"), "");
}
