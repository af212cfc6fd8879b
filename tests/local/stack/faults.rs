use supaqueue_local::Stack;

use crate::{builder, http, on_stack, until};

/// Inserts a job and waits until it has succeeded.
async fn a_job_runs(stack: &Stack, after: &str) {
    // The fault may have closed older connections.
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
fn a_stack_recovers_from_each_fault() {
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
        a_job_runs(&stack, "killing Postgres").await;

        stack.restart_postgres(false).await.unwrap();
        a_job_runs(&stack, "restarting Postgres").await;

        stack.kill_function("supaqueue").await;
        stack.kill_function("echo").await;
        a_job_runs(&stack, "killing the functions").await;

        stack.stop_gateway().await;
        let refused = http().get(stack.gateway_url()).send().await;
        assert!(refused.unwrap_err().is_connect(), "the port is closed");
        stack.start_gateway().await.unwrap();
        a_job_runs(&stack, "stopping the gateway").await;

        stack.kill_net_worker().await.unwrap();
        stack.start_net_worker();
        a_job_runs(&stack, "killing the net worker").await;
        stack.stop().await;
    });
}

#[test]
fn a_stopped_stack_leaves_nothing_behind() {
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
                "process {pid} is still running"
            );
        }
        assert!(!folder.exists());
        assert!(http().get(&url).send().await.unwrap_err().is_connect());
    });
}

#[test]
fn rpc_responds_with_503_while_postgres_is_down() {
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
fn a_failed_cron_job_is_logged() {
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
fn clock_and_variables_apply_when_a_function_restarts() {
    on_stack(async |_| {
        let proxy = "http://127.0.0.1:9";
        let stack = builder().public_url(proxy).start().await.unwrap();
        let platform = async || {
            stack.stop_function("platform").await;
            let url = format!("{}/functions/v1/platform", stack.gateway_url());
            let key = format!("Bearer {}", stack.anon_key());
            let request = http().get(url).header("authorization", key);
            let text = request.send().await.unwrap().text().await.unwrap();
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        };
        let stored =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'";
        let client = stack.database().connect().await.unwrap();
        let stored: String = client.query_one(stored, &[]).await.unwrap().get(0);
        assert_eq!(stored, proxy, "the database uses the public address");
        assert_eq!(platform().await["env"]["SUPABASE_URL"], proxy);

        let hour = 3_600_000;
        for offset in [-hour, hour, 0] {
            stack.set_clock_offset(offset);
            stack.set_env("SUPAQUEUE_SECRET", &format!("changed {offset}"));
            let platform = platform().await;
            let ours = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
            for clock in platform["clocks"].as_array().unwrap() {
                let ahead = clock.as_f64().unwrap() - ours as f64;
                assert!(
                    (ahead - offset as f64).abs() < 600_000.0,
                    "{ahead} ms ahead, not {offset}: {platform}"
                );
            }
            assert_eq!(platform["epoch"], "1970-01-01T00:00:00.000Z");
            assert_eq!(
                platform["env"]["SUPAQUEUE_SECRET"],
                format!("changed {offset}")
            );
        }
        stack.stop().await;
    });
}
