//! Metrics for a scraper and alerts by `on_end`, as the pages show them.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::project::{METRICS_SECRET, Project, operations, test};

/// The answer of the function `metrics` to a request with this authorization.
async fn scrape(project: &Project, authorization: &str) -> String {
    let address = project.stack.gateway_url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /functions/v1/metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{authorization}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_scraper_with_the_secret_reads_the_metrics() {
    test(async |project| {
        let block = operations("supaqueue_metrics()");
        project.run(&block).await;
        for refused in [
            "",
            "authorization: Bearer undefined\r\n",
            "authorization: Bearer \r\n",
        ] {
            let answer = scrape(&project, refused).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{refused}: {answer}");
        }
        let answer = scrape(
            &project,
            &format!("authorization: Bearer {METRICS_SECRET}\r\n"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains(
                "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
            ),
            "{answer}"
        );
        assert!(
            answer.contains("supaqueue_workers{queue=\"send-email\"} "),
            "{answer}"
        );
        assert!(answer.contains("# EOF\n"), "{answer}");
        // Only service_role may.
        for role in ["anon", "authenticated"] {
            let may = format!(
                "select has_function_privilege('{role}', 'public.supaqueue_metrics()', 'execute')"
            );
            assert_eq!(project.get(&may).await, "f", "{role}");
        }
    });
}

#[test]
fn a_failed_job_is_posted_to_slack() {
    test(async |project| {
        let slack = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/services/1", slack.local_addr().unwrap());
        project.stack.set_env("SLACK_WEBHOOK_URL", &url);
        project
            .run(
                "insert into supaqueue.queue (name, edge_function_name, max_attempts, on_end)
                 values ('flaky', 'fail-always', 1, supaqueue.queue_id('alerts'));
                 select supaqueue.set_workers('flaky', 1)",
            )
            .await;
        let id = project.get("select supaqueue.enqueue('flaky')").await;
        let post = async {
            let (mut stream, _) = slack.accept().await.unwrap();
            let mut request = String::new();
            while !request.ends_with('}') {
                let mut part = [0; 4096];
                let length = stream.read(&mut part).await.unwrap();
                assert!(length > 0, "{request}");
                request.push_str(std::str::from_utf8(&part[..length]).unwrap());
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).await.unwrap();
            request
        };
        let request = tokio::time::timeout(std::time::Duration::from_secs(30), post)
            .await
            .expect("Slack is called");
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(
            text.starts_with("flaky: failed after 1 attempts: "),
            "{text}"
        );
        assert!(text.ends_with(&format!("({id})")), "{text}");
        let alerts = "select status from supaqueue.job where queue = supaqueue.queue_id('alerts')";
        project.eventually(alerts, "successful").await;
    });
}
