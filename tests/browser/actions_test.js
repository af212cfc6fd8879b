// Every action: the question says what will happen to how many jobs of which project, "Back" does nothing, and the
// button does what the question said.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { checkPage, close, closeBrowser, open } from "./support/browser.js";
import { Project, stopAll } from "./support/project.js";
import { end, shop } from "./support/seed.js";

let project, link, page;

before(async () => {
  project = await Project.create();
  await shop(project);
  link = await project.serve();
  page = await open(link);
});

after(async () => {
  await close(page);
  await closeBrowser();
  await stopAll();
});

const button = (action) =>
  page.locator(`form[action="/actions/${action}/confirm"] button`).first();

/** Checks the question that the page asks, and returns its statement. */
async function question({ statement, count }) {
  const main = page.locator("main");
  const text = await main.innerText();
  assert.ok(text.includes(project.name), `no name of the project in ${text}`);
  const sql = await main.locator("pre.sql").innerText();
  assert.ok(sql.includes(statement), `${statement} is not in ${sql}`);
  if (count !== undefined) {
    const shown = await main.locator("dl.facts strong").innerText();
    assert.equal(shown, count);
  }
  return sql;
}

/** The button that answers a question. */
const answer = () => page.locator('main form[method="post"] button');

/** Presses a button, looks at the question, goes back, and then does it. */
async function act(action, { from, press, result, ...asked }) {
  const was = await project.value(result.query);
  assert.notEqual(was, result.want, `${action}: the result is there before`);
  for (const isDone of [false, true]) {
    await page.goto(from);
    await (press ?? (() => button(action).click()))();
    await page.waitForURL(`**/actions/${action}/confirm?*`);
    await question(asked);
    if (isDone) {
      await answer().click();
      await page.locator("#notice").waitFor();
    } else {
      await checkPage(page);
      await page.locator("main").getByRole("link", { name: "Back" }).click();
      assert.equal(
        await project.value(result.query),
        was,
        `${action}: "Back" has changed something`,
      );
    }
  }
  assert.equal(await project.value(result.query), result.want, action);
}

/** Presses the button that an operation shows, and lets the ticks do it. */
async function operate(action, { want, result, ...how }) {
  const count =
    "select count(*)::int from supaqueue.operation where status = 'running'";
  await act(action, { ...how, result: { query: count, want: 1 } });
  await project.tick();
  const row = await project.value(
    "select format('%s %s %s %s', status, matched, done, refused) from supaqueue.operation order by created_at desc limit 1",
  );
  assert.match(row, new RegExp(want), `the operation ${action}`);
  await page.reload();
  await checkPage(page);
  assert.equal(await project.value(result.query), result.want, action);
}

describe("a queue", () => {
  const from = "/queues/emails";

  test("is paused and resumed", async () => {
    const query =
      "select is_paused::text from supaqueue.queue where name = 'emails'";
    await act("pause-queue", {
      from,
      statement: "set is_paused = true where name = 'emails'",
      result: { query, want: "true" },
    });
    await act("resume-queue", {
      from,
      statement: "set is_paused = false where name = 'emails'",
      result: { query, want: "false" },
    });
  });

  test("gets more workers", async () => {
    await act("set-workers", {
      from,
      press: async () => {
        const form = page.locator(
          'form[action="/actions/set-workers/confirm"]',
        );
        await form.locator('input[name="workers"]').fill("6");
        await form.locator("button").click();
      },
      statement: "select supaqueue.set_workers('emails', 6)",
      result: {
        query:
          "select count(*)::int from supaqueue.worker where queue = supaqueue.queue_id('emails')",
        want: 6,
      },
    });
  });

  test("gets other settings, and only those that were changed", async () => {
    await act("change-queue", {
      from: "/queues/emails/settings",
      press: async () => {
        await page.getByLabel("Timeout (ms)").fill("30000");
        await page.getByLabel("Final statuses").fill("400, 422");
        await page.getByRole("button", { name: "Review the change" }).click();
      },
      statement: `update supaqueue.queue
set timeout_ms = 30000,
    final_statuses = '{400, 422}'
where name = 'emails'`,
      result: {
        query:
          "select format('%s %s', timeout_ms, final_statuses) from supaqueue.queue where name = 'emails'",
        want: "30000 {400,422}",
      },
    });
  });

  test("keeps its settings and what was entered when the database refuses", async () => {
    await page.goto("/queues/emails/settings");
    await page.getByLabel("Timeout (ms)").fill("999999");
    await page.getByRole("button", { name: "Review the change" }).click();
    page.allowed = /422/;
    await answer().click();
    await page.getByRole("alert").waitFor();
    await checkPage(page);
    const alert = await page.getByRole("alert").innerText();
    assert.match(alert, /timeout_is_at_most_150_seconds/);
    assert.equal(
      await page.getByLabel("Timeout (ms)").inputValue(),
      "999999",
    );
    page.allowed = undefined;
  });
});

describe("a schedule", () => {
  const from = "/schedules/nightly-report";

  test("is paused and resumed", async () => {
    const query =
      "select is_paused::text from supaqueue.schedule where name = 'nightly-report'";
    await act("pause-schedule", {
      from,
      statement: "set is_paused = true",
      result: { query, want: "true" },
    });
    await act("resume-schedule", {
      from,
      statement: "set is_paused = false",
      result: { query, want: "false" },
    });
  });

  test("runs now", async () => {
    await act("run-schedule", {
      from,
      statement: "select supaqueue.run_schedule('nightly-report')",
      result: {
        query:
          "select count(*)::int from supaqueue.job where key = 'schedule:nightly-report'",
        want: 1,
      },
    });
    assert.match(page.url(), /\/jobs\/[0-9a-f-]{36}/);
  });

  test("is deleted", async () => {
    await act("unschedule", {
      from,
      statement: "select supaqueue.unschedule('nightly-report')",
      result: {
        query:
          "select count(*)::int from supaqueue.schedule where name = 'nightly-report'",
        want: 0,
      },
    });
  });
});

describe("a job", () => {
  const job = async (status) =>
    await project.value(
      `select id from supaqueue.job where status = '${status}' and queue = supaqueue.queue_id('emails') order by id limit 1`,
    );

  test("runs now", async () => {
    const id = await project.value(
      "insert into supaqueue.job (queue, run_at) values (supaqueue.queue_id('emails'), now() + interval '1 day') returning id",
    );
    await act("run-job", {
      from: `/jobs/${id}`,
      statement: `select supaqueue.run_now('${id}')`,
      result: {
        query:
          `select (run_at <= now())::text from supaqueue.job where id = '${id}'`,
        want: "true",
      },
    });
  });

  test("is cancelled", async () => {
    const id = await job("pending");
    await act("cancel-job", {
      from: `/jobs/${id}`,
      statement: `where id = '${id}'`,
      result: {
        query: `select status from supaqueue.job where id = '${id}'`,
        want: "cancelled",
      },
    });
  });

  test("is retried", async () => {
    const id = await end(project, "webhooks", { order: 1 }, {
      error: { message: "gone" },
    });
    await project.run(
      "update supaqueue.queue set is_paused = true where name = 'webhooks'",
    );
    await act("retry-job", {
      from: `/jobs/${id}`,
      statement: `where id = '${id}'`,
      result: {
        query: `select status from supaqueue.job where id = '${id}'`,
        want: "pending",
      },
    });
  });

  test("is deleted", async () => {
    const id = await job("pending");
    await act("delete-job", {
      from: `/jobs/${id}`,
      statement: `delete from supaqueue.job where id = '${id}'`,
      result: {
        query: `select count(*)::int from supaqueue.job where id = '${id}'`,
        want: 0,
      },
    });
  });
});

describe("many jobs", () => {
  const filter = (fields) => encodeURIComponent(JSON.stringify(fields));
  const count = (where) =>
    `select count(*)::int from supaqueue.job where ${where}`;

  test("are retried, a group of failures", async () => {
    const group = await project.value(
      "select error_group from supaqueue.failure where queue = 'webhooks' order by jobs desc limit 1",
    );
    const where = `status = 'failed' and error_group = '${group}'`;
    const failed = await project.value(count(where));
    assert.equal(failed, 8);
    await operate("retry-jobs", {
      from: "/failures",
      press: () =>
        page.locator("article", { hasText: "shop-" })
          .getByRole("button", { name: "Retry all" }).click(),
      statement: "insert into supaqueue.operation (action, filter",
      count: "8",
      want: "^done 8 8 0$",
      result: { query: count(where), want: 0 },
    });
  });

  test("are cancelled, all that match", async () => {
    await operate("cancel-jobs", {
      from: "/jobs?queue=emails&status=pending",
      statement: `'{"queue":"emails","status":"pending"}'`,
      want: "^done (\\d+) \\1 0$",
      result: {
        query: count(
          "status = 'pending' and queue = supaqueue.queue_id('emails')",
        ),
        want: 0,
      },
    });
  });

  test("are deleted, those that are selected", async () => {
    const failed = await project.value(count("status = 'failed'"));
    await operate("delete-jobs", {
      from: "/jobs?status=failed",
      press: async () => {
        const boxes = page.locator('main input[name="id"]');
        await boxes.nth(0).check();
        await boxes.nth(1).check();
        await page.getByRole("group", { name: "Selected jobs" })
          .getByRole("button", { name: "Delete" }).click();
      },
      statement: `{"ids":[`,
      count: "2",
      want: "done 2 2 0",
      result: { query: count("status = 'failed'"), want: failed - 2 },
    });
  });

  test("are changed", async () => {
    const pending =
      "status = 'pending' and queue = supaqueue.queue_id('invoices')";
    const number = await project.value(count(pending));
    await operate("change-jobs", {
      from: "/jobs?queue=invoices&status=pending",
      press: async () => {
        const all = page.getByRole("group", { name: "All jobs that match" });
        await all.getByLabel("Priority").fill("-5");
        await all.getByRole("button", { name: "Change" }).click();
      },
      statement: `'{"priority":-5}'`,
      count: String(number),
      want: `done ${number} ${number} 0`,
      result: { query: count(`${pending} and priority = -5`), want: number },
    });
  });

  test("are left alone while the operation is stopped", async () => {
    const id = await project.value(
      `insert into supaqueue.operation (action, filter, per_second)
       values ('delete', '{"queue": "thumbnails"}', 1) returning id`,
    );
    await act("stop-operation", {
      from: `/operations/${id}`,
      statement: `set status = 'stopped' where id = '${id}'`,
      result: {
        query: `select status from supaqueue.operation where id = '${id}'`,
        want: "stopped",
      },
    });
    const left = count("queue = supaqueue.queue_id('thumbnails')");
    const before = await project.value(left);
    await project.tick();
    assert.equal(await project.value(left), before);
    await act("resume-operation", {
      from: `/operations/${id}`,
      statement: `set status = 'running' where id = '${id}'`,
      result: {
        query: `select status from supaqueue.operation where id = '${id}'`,
        want: "running",
      },
    });
  });

  test("cannot be acted on when none matches", async () => {
    await page.goto(
      `/actions/retry-jobs/confirm?filter=${filter({ key: "nobody" })}`,
    );
    assert.match(await page.locator("main").innerText(), /No job matches/);
    assert.equal(await answer().count(), 0);
    await checkPage(page);
  });
});
