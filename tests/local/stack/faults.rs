use serde_json::Value;
use supaqueue_local::Stack;
use supaqueue_tests::{assert_rows, eventually, get, run};

use crate::{builder, connect, function_url, http, json, line, on_stack, rpc, start};

/// Inserts a job and waits until it has succeeded.
async fn a_job_runs(stack: &Stack, after: &str) {
    println!("a job after {after}");
    // The fault may have closed older connections.
    let client = connect(stack).await;
    let insert = "insert into supaqueue.job (queue, payload)
                  select id, '{}' from supaqueue.queue returning id";
    let id = get(&client, insert).await;
    let status = format!("select status from supaqueue.job where id = '{id}'");
    eventually(&client, &status, "successful").await;
}

#[test]
fn a_stack_recovers_from_each_fault() {
    on_stack(async |_| {
        let stack = start(builder()).await;
        run(
            &connect(&stack).await,
            "insert into supaqueue.queue (edge_function_name) values ('echo');
             insert into supaqueue.worker (queue) select id from supaqueue.queue",
        )
        .await;
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
        let stack = start(builder()).await;
        let url = function_url(&stack, "echo");
        assert_eq!(http().get(&url).send().await.unwrap().status(), 200);
        let postgres = stack.postgres().unwrap();
        let folder = postgres.folder().to_owned();
        let pids = [stack.function_pid("echo").await.unwrap(), postgres.pid()];
        stack.stop().await;
        for pid in pids {
            let signal = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None);
            let gone = Err(nix::errno::Errno::ESRCH);
            assert_eq!(signal, gone, "process {pid} is still running");
        }
        assert!(!folder.exists());
        assert!(http().get(&url).send().await.unwrap_err().is_connect());
    });
}

#[test]
fn rpc_responds_with_503_while_postgres_is_down() {
    on_stack(async |_| {
        let stack = start(builder()).await;
        let call = async || {
            let body = r#"{"cur_job_id": "00000000-0000-0000-0000-000000000000",
                           "_is_complete": true, "_is_successful": true}"#;
            let call = rpc(&stack, "end_current_job").header("apikey", stack.service_role_key());
            call.body(body).send().await.unwrap().status().as_u16()
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
        let stack = start(builder()).await;
        let mut logs = stack.logs();
        let schedule = "select cron.schedule('bad', '1 second', 'select 1 / 0')";
        run(&connect(&stack).await, schedule).await;
        let text = line(&mut logs, "pg_cron", "select 1 / 0").await;
        assert!(text.contains("division by zero"), "{text}");
        stack.stop().await;
    });
}

#[test]
fn clock_and_variables_apply_when_a_function_restarts() {
    on_stack(async |_| {
        let proxy = "http://127.0.0.1:9";
        let stack = start(builder().public_url(proxy)).await;
        let platform = async || -> Value {
            stack.stop_function("platform").await;
            let request = http().get(function_url(&stack, "platform"));
            json(request.send().await.unwrap()).await
        };
        let stored =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'";
        // The database uses the public address.
        assert_rows(&connect(&stack).await, stored, proxy).await;
        assert_eq!(platform().await["env"]["SUPABASE_URL"], proxy);

        let hour = 3_600_000;
        for offset in [-hour, hour, 0] {
            stack.set_clock_offset(offset);
            let secret = format!("changed {offset}");
            stack.set_env("SUPAQUEUE_SECRET", &secret);
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
            assert_eq!(platform["env"]["SUPAQUEUE_SECRET"], secret);
        }
        stack.stop().await;
    });
}
