//! A dashboard for a test's database, and requests with any headers.

use std::collections::HashMap;

use supaqueue_dashboard::{Access, ConfigConnectImpl, Dashboard, Options};
use supaqueue_tests::Db;
use supaqueue_tests::protocol::{NONE, RUN, acknowledge_all, current_job_of, report};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;

/// What a dashboard answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The fields of the first form that leads to an action's question, encoded.
    pub(crate) fn form(&self, action: &str) -> String {
        let path = format!("action=\"/actions/{action}/confirm\"");
        let form = self.body.split("<form").find(|form| form.contains(&path));
        let form = form.unwrap_or_else(|| panic!("no form for {action}: {}", self.body));
        let mut fields = url::form_urlencoded::Serializer::new(String::new());
        for input in form
            .split("</form>")
            .next()
            .unwrap()
            .split("<input type=\"hidden\"")
            .skip(1)
        {
            let attribute = |name: &str| {
                let (_, value) = input.split_once(&format!(" {name}=\"")).unwrap();
                unescape(value.split('"').next().unwrap())
            };
            fields.append_pair(&attribute("name"), &attribute("value"));
        }
        fields.finish()
    }

    /// Where the link with a text leads to.
    pub(crate) fn link(&self, text: &str) -> String {
        let links = self.body.split("<a ").skip(1);
        let link = links
            .map(|link| link.split("</a>").next().unwrap())
            .find(|link| link.contains(text));
        let link = link.unwrap_or_else(|| panic!("no link {text:?}: {}", self.body));
        let (_, href) = link.split_once("href=\"").unwrap();
        unescape(href.split('"').next().unwrap())
    }

    /// How often the page contains a text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.body.matches(text).count()
    }

    /// Panics if the page does not contain a text.
    pub(crate) fn says(&self, text: &str) {
        assert!(
            self.body.contains(text),
            "{} without {text:?}: {}",
            self.status,
            self.body
        );
    }
}

/// A dashboard that is served as long as the test runs.
pub(crate) struct Client {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    /// What the program prints.
    pub(crate) link: String,
    cookie: String,
}

impl Client {
    /// A dashboard of a test's database, with a session.
    pub(crate) async fn new(db: &Db) -> Self {
        Self::serve(db.database().url(), false).await.let_in().await
    }

    /// The same with `--read-only`.
    pub(crate) async fn read_only(db: &Db) -> Self {
        Self::serve(db.database().url(), true).await.let_in().await
    }

    /// A dashboard without a session.
    pub(crate) async fn serve(database: &str, is_read_only: bool) -> Self {
        Self::with(database, is_read_only, Access::Token { port: 0 }).await
    }

    pub(crate) async fn with(database: &str, is_read_only: bool, access: Access) -> Self {
        let options = Options {
            project: "a <test>".into(),
            access,
            is_read_only,
        };
        let connect = ConfigConnectImpl { tls: NoTls };
        let dashboard = Dashboard::bind(options, database.parse().unwrap(), connect)
            .await
            .unwrap();
        let link = dashboard.link().to_owned();
        let address = link.split('/').nth(2).unwrap().to_owned();
        tokio::spawn(dashboard.serve());
        Self {
            address,
            link,
            cookie: String::new(),
        }
    }

    /// Opens the link.
    async fn let_in(mut self) -> Self {
        let path = self.link.split_once(&self.address).unwrap().1.to_owned();
        let answer = self.get(&path).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"));
        self.keep_cookie(&answer);
        self
    }

    pub(crate) fn keep_cookie(&mut self, answer: &Answer) {
        let cookie = answer.header("set-cookie").split(';').next().unwrap();
        self.cookie = cookie.to_owned();
    }

    /// As a browser that follows a link.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("host", &self.address)], "").await
    }

    /// As a browser that posts a form of the dashboard.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        let origin = format!("http://{}", self.address);
        let headers = [
            ("host", self.address.as_str()),
            ("origin", &origin),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send("POST", path, &headers, form).await
    }

    /// A request with exactly these headers, and those that HTTP needs.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n",
            body.len()
        );
        if !self.cookie.is_empty() {
            head += &format!("cookie: other=1; {}\r\n", self.cookie);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("{head}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        Answer {
            status: status.parse().unwrap(),
            headers: lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}

/// HTML text as it is read.
pub(crate) fn unescape(html: &str) -> String {
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

/// Ends the call of a queue's only worker, with details as JSON.
pub(crate) async fn end_call(db: &Db, queue: &str, is_successful: bool, details: &str) {
    db.run(&acknowledge_all(RUN)).await;
    let details = details.replace('\'', "''");
    db.run(&report(
        &current_job_of(queue),
        RUN,
        is_successful,
        &details,
        NONE,
    ))
    .await;
}

/// A database with the queue `emails`.
pub(crate) async fn database() -> Db {
    let db = Db::new().await;
    db.run("insert into supaqueue.queue (name, edge_function_name) values ('emails', 'send')")
        .await;
    db
}
