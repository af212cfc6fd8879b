use supaqueue_local::Stack;

use crate::{builder, http, on_stack, until};

/// Sends a job the whole way.
async fn a_job_runs(stack: &Stack, after: &str) {
    // A connection of its own: the fault may have ended the others.
    let client = stack.database().connect().await.unwrap();
    let id: String = client
        .query_one(
            "insert into supaqueue.job (queue, payload) select id, '{}' from supaqueue.queue returning id::text",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    until(&format!("a job after {after}"), async || {
        let row = client
            .query_one(
                "select status from supaqueue.job where id::text = $1",
                &[&id],
            )
            .await
            .unwrap();
        row.get::<_, &str>(0) == "successful"
    })
    .await;
}

#[test]
fn a_stack_goes_on_after_each_fault() {
    on_stack(async |_| {
        let stack = builder().start().await.unwrap();
        let client = stack.database().connect().await.unwrap();
        client
            .batch_execute(
                "insert into supaqueue.queue (edge_function_name) values ('echo');
                 insert into supaqueue.worker (queue) select id from supaqueue.queue",
            )
            .await
            .unwrap();
        a_job_runs(&stack, "the start").await;

        stack.restart_postgres(true).await.unwrap();
        a_job_runs(&stack, "a kill of Postgres").await;

        stack.restart_postgres(false).await.unwrap();
        a_job_runs(&stack, "a restart of Postgres").await;

        stack.kill_function("supaqueue").await;
        stack.kill_function("echo").await;
        a_job_runs(&stack, "a kill of the functions").await;

        stack.stop_gateway().await;
        let refused = http().get(stack.gateway_url()).send().await;
        assert!(refused.unwrap_err().is_connect(), "nothing listens");
        stack.start_gateway().await.unwrap();
        a_job_runs(&stack, "a kill of the gateway").await;

        stack.kill_net_worker().await.unwrap();
        stack.start_net_worker();
        a_job_runs(&stack, "a kill of the worker of net").await;
        stack.stop().await;
    });
}

#[test]
fn nothing_is_left_after_a_stack_stops() {
    on_stack(async |_| {
        let stack = builder().start().await.unwrap();
        let url = format!("{}/functions/v1/echo", stack.gateway_url());
        assert_eq!(http().get(&url).send().await.unwrap().status(), 200);
        let pids = [
            stack.function_pid("echo").await.unwrap(),
            stack.postgres().unwrap().pid(),
        ];
        let folder = stack.postgres().unwrap().folder().to_owned();
        stack.stop().await;
        for pid in pids {
            let signal = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None);
            assert_eq!(
                signal,
                Err(nix::errno::Errno::ESRCH),
                "process {pid} still runs"
            );
        }
        assert!(!folder.exists());
        assert!(http().get(&url).send().await.unwrap_err().is_connect());
    });
}

#[test]
fn rpc_answers_503_while_postgres_is_down() {
    on_stack(async |_| {
        let stack = builder().start().await.unwrap();
        let call = async || {
            let url = format!("{}/rest/v1/rpc/end_current_job", stack.gateway_url());
            let request = http().post(url).header("apikey", stack.service_role_key());
            let body = r#"{"cur_job_id": "00000000-0000-0000-0000-000000000000", "_is_complete": true, "_is_successful": true}"#;
            request.body(body).send().await.unwrap().status().as_u16()
        };
        assert_eq!(call().await, 200);
        let postgres = stack.postgres().unwrap();
        postgres.halt(true).await;
        assert_eq!(call().await, 503);
        postgres.resume().await.unwrap();
        assert_eq!(call().await, 200);
        stack.stop().await;
    });
}

#[test]
fn a_job_of_cron_that_fails_is_in_the_log() {
    on_stack(async |_| {
        let stack = builder().start().await.unwrap();
        let mut logs = stack.logs();
        let client = stack.database().connect().await.unwrap();
        client
            .batch_execute("select cron.schedule('bad', '1 second', 'select 1 / 0')")
            .await
            .unwrap();
        let found = async {
            loop {
                let line = logs.recv().await.unwrap();
                if line.source == "pg_cron" {
                    break line.text;
                }
            }
        };
        let text = tokio::time::timeout(std::time::Duration::from_secs(20), found)
            .await
            .unwrap();
        assert!(
            text.contains("select 1 / 0") && text.contains("division by zero"),
            "{text}"
        );
        stack.stop().await;
    });
}

#[test]
fn a_function_started_again_has_the_clock_and_the_variables_that_were_set() {
    on_stack(async |_| {
        let before = "http://127.0.0.1:9";
        let stack = builder().public_url(before).start().await.unwrap();
        let seen = async || {
            stack.stop_function("platform").await;
            let url = format!("{}/functions/v1/platform", stack.gateway_url());
            let key = format!("Bearer {}", stack.anon_key());
            let request = http().get(url).header("authorization", key);
            let text = request.send().await.unwrap().text().await.unwrap();
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        };
        let told =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'";
        let client = stack.database().connect().await.unwrap();
        let told: String = client.query_one(told, &[]).await.unwrap().get(0);
        assert_eq!(
            told, before,
            "the database is told the address before the gateway"
        );
        assert_eq!(seen().await["env"]["SUPABASE_URL"], before);

        let hour = 3_600_000;
        for offset in [-hour, hour, 0] {
            stack.set_clock_offset(offset);
            stack.set_env("SUPAQUEUE_SECRET", &format!("changed {offset}"));
            let seen = seen().await;
            let ours = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
            for clock in seen["clocks"].as_array().unwrap() {
                let ahead = clock.as_f64().unwrap() - ours as f64;
                assert!(
                    (ahead - offset as f64).abs() < 600_000.0,
                    "{ahead} ms ahead, not {offset}: {seen}"
                );
            }
            assert_eq!(seen["epoch"], "1970-01-01T00:00:00.000Z");
            assert_eq!(seen["env"]["SUPAQUEUE_SECRET"], format!("changed {offset}"));
        }
        stack.stop().await;
    });
}
