// What is in a project.

/** Queues with jobs in every state, failures of several kinds, schedules, a pipeline, and an operation. */
export async function shop(project) {
  await project.addDependencies();
  await project.run(`
    insert into supaqueue.queue (name, edge_function_name, max_attempts, backoff_base_ms, backoff_max_ms) values
      ('emails', 'send-email', 3, 300000, 300000),
      ('invoices', 'make-invoice', 1, 1000, 300000),
      ('thumbnails', 'resize-image', 1, 1000, 300000),
      ('webhooks', 'deliver-webhook', 1, 1000, 300000);
    select supaqueue.set_workers('emails', 4), supaqueue.set_workers('invoices', 2),
      supaqueue.set_workers('thumbnails', 2), supaqueue.set_workers('webhooks', 4);
    select supaqueue.schedule('nightly-report', 'invoices', '0 3 * * mon-fri', timezone => 'Europe/Berlin');
    select supaqueue.schedule('keep-warm', 'thumbnails', every => interval '5 minutes');
  `);
  for (let number = 1; number <= 40; number++) {
    await end(project, "thumbnails", { image: number, width: 320 }, {
      http_status: 200,
      duration_ms: 80 + (number * 37) % 200,
      result: { bytes: 12_000 + number },
    });
    await end(
      project,
      "emails",
      { to: `customer-${number}@example.com`, template: "welcome" },
      { http_status: 200, duration_ms: 120 + (number * 53) % 400 },
    );
  }
  for (let number = 1; number <= 12; number++) {
    await end(project, "webhooks", { order: 1000 + number }, {
      http_status: number % 3 ? 503 : 404,
      duration_ms: 900 + number,
      error: number % 3
        ? {
          message: `upstream shop-${number}.example.com is not available`,
          body: "Service Unavailable",
        }
        : { message: `no endpoint for order ${1000 + number}` },
    });
  }
  await end(project, "emails", {
    to: "nobody@example.com",
    template: "welcome",
  }, [
    {
      http_status: 503,
      duration_ms: 812,
      error: { message: "the e-mail service is busy" },
    },
    {
      http_status: 503,
      duration_ms: 640,
      error: { message: "the e-mail service is busy" },
    },
    {
      http_status: 422,
      duration_ms: 95,
      error: {
        message: "nobody@example.com does not exist",
        body: '{"error": "unknown recipient"}',
      },
    },
  ]);
  await end(project, "invoices", { order: 1042 }, {
    http_status: 500,
    duration_ms: 45,
    error: { message: 'template "invoice-fr" does not exist' },
  });
  await project.run(`
    insert into supaqueue.job (queue, payload, key)
    select supaqueue.queue_id('emails'), jsonb_build_object('to', format('customer-%s@example.com', n)), format('customer-%s', n)
    from generate_series(41, 60) n;
    insert into supaqueue.job (queue, payload, run_at)
    select supaqueue.queue_id('invoices'), jsonb_build_object('order', n), now() + interval '1 hour' from generate_series(1, 5) n;
    insert into supaqueue.job (queue, payload, status) select supaqueue.queue_id('invoices'), '{"order": 7}', 'cancelled';
    select supaqueue.enqueue_pipeline('[
      {"name": "split", "queue": "invoices", "payload": {"document": 7}, "run_at": "2100-01-01"},
      {"name": "one", "queue": "thumbnails", "payload": {"part": 1}, "depends_on": ["split"]},
      {"name": "two", "queue": "thumbnails", "payload": {"part": 2}, "depends_on": ["split"]},
      {"name": "combine", "queue": "invoices", "depends_on": ["one", "two"]}
    ]');
  `);
  await project.tick();
}

/** The same, and nothing works: no address to call, no workers, and no tick. */
export async function broken(project) {
  await shop(project);
  await project.admin.unsafe(`
    delete from vault.secrets where name = 'supaqueue_url';
    update cron.job set active = false;
    insert into supaqueue.queue (name, edge_function_name) values ('orphans', 'nobody');
    insert into supaqueue.job (queue) values (supaqueue.queue_id('orphans'));
  `);
}

/** Inserts a job and reports its call, or each of its attempts; returns its id. */
export async function end(project, queue, payload, reports, options = {}) {
  const id = await project.value(
    `insert into supaqueue.job (queue, payload, key, tenant) values (supaqueue.queue_id($1), $2, $3, $4) returning id`,
    queue,
    payload,
    options.key ?? null,
    options.tenant ?? null,
  );
  for (const [index, report] of [reports].flat().entries()) {
    if (index > 0) await project.value("select supaqueue.run_now($1)", id);
    const calls = await project.sql.unsafe(
      `select public.end_current_job(c.id, true, $2, $3) from supaqueue.current_job c where c.job = $1`,
      [id, report.error === undefined, report],
    );
    if (calls.length === 0) throw new Error(`no worker of ${queue} was free`);
  }
  return id;
}

/** A day of jobs in the charts, as if the project were in use. */
export async function history(project) {
  await project.admin.unsafe(`
    with job as (
      select q.id as queue, m.at, (20 + 15 * sin(extract(epoch from m.at) / 7200 + q.number) + r.number % 10)::integer as succeeded,
        case when r.number % 12 = 0 then 2 else 0 end as failed
      from (select q.id, row_number() over (order by q.name) as number from supaqueue.queue q) q
      cross join generate_series(
        date_trunc('minute', now()) - interval '24 hours', date_trunc('minute', now()) - interval '1 minute', '1 minute') m (at)
      cross join lateral (select abs(hashtext(m.at::text || q.id)) as number) r
    )
    insert into supaqueue.minute (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
    select
      s.queue, s.at, s.succeeded + s.failed, s.succeeded, s.failed, 0, s.failed,
      array(select (s.succeeded * exp(-abs(b.number - 3)) / 2)::integer from generate_series(1, 14) b (number)),
      array(select (s.succeeded * exp(-abs(b.number - 5)) / 2)::integer from generate_series(1, 14) b (number))
    from (
      -- Its sums are those of all queues.
      select coalesce(j.queue, '00000000-0000-0000-0000-000000000000') as queue, j.at, sum(j.succeeded) as succeeded, sum(j.failed) as failed
      from job j
      group by grouping sets ((j.queue, j.at), (j.at))
    ) s
    on conflict do nothing;

    create aggregate pg_temp.sum_of_histograms (bigint[]) (sfunc = supaqueue.add_histograms, stype = bigint[]);
    insert into supaqueue.hour (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
    select
      m.queue, date_trunc('hour', m.at, 'UTC'), sum(m.started), sum(m.succeeded), sum(m.failed), sum(m.cancelled), sum(m.retried),
      pg_temp.sum_of_histograms(m.wait), pg_temp.sum_of_histograms(m.run)
    from supaqueue.minute m
    group by 1, 2
    on conflict do nothing`);
}
