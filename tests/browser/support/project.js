// A project: a database with Supaqueue, and the dashboard of it.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

import postgres from "postgres";

const { SUPAQUEUE_PROGRAM, DATABASE_URL, ADMIN_URL } = process.env;
export const repository = join(import.meta.dirname, "../../..");

/** What has to be stopped when the tests are done, the last first. */
const stops = [];

export async function stopAll() {
  for (const stop of stops.splice(0).reverse()) await stop();
}

function connection(url) {
  const sql = postgres(url, { max: 2, onnotice() {} });
  stops.push(() => sql.end());
  return sql;
}

let databases = 0;

export class Project {
  /** A database with Supaqueue and nothing in it, and without a dashboard. */
  static async create(name = `browser_${process.pid}_${++databases}`) {
    const project = new Project();
    const on = (url) => url.replace(/\/postgres$/, `/${name}`);
    const server = postgres(ADMIN_URL, { max: 1 });
    await server.unsafe(
      `create database ${name} template supaqueue_template owner postgres`,
    );
    await server.end();
    project.name = `${name} at 127.0.0.1`;
    project.url = on(DATABASE_URL);
    project.sql = connection(project.url);
    project.admin = connection(on(ADMIN_URL));
    await project.run(`
      select vault.create_secret('whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', 'supaqueue_secret');
      select vault.create_secret('http://127.0.0.1:9', 'supaqueue_url');
      select supaqueue.schedule_tick();
    `);
    await project.tick();
    return project;
  }

  /** Runs statements, as the role postgres, which is not a superuser. */
  run(statements) {
    return this.sql.unsafe(statements);
  }

  /** The only value that a query returns. */
  async value(query, ...parameters) {
    const rows = await this.sql.unsafe(query, parameters).values();
    return rows[0]?.[0];
  }

  /** Runs the tick, which no pg_cron runs here. */
  tick() {
    return this.run("call supaqueue.tick()");
  }

  /** Installs the add-on that makes jobs depend on each other. */
  async addDependencies() {
    const folder = join(repository, "sql/add-ons/job_dependencies/migrations");
    for (const file of readdirSync(folder).sort()) {
      await this.run(readFileSync(join(folder, file), "utf8"));
    }
  }

  /** Starts `supaqueue dashboard`; returns the link that it prints, with `stop()`. */
  async serve(options = [], url = this.url, env = {}) {
    const program = spawn(
      SUPAQUEUE_PROGRAM,
      ["dashboard", "--db-url", url, ...options],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, ...env },
        cwd: import.meta.dirname,
      },
    );
    const exited = new Promise((resolve) => program.once("exit", resolve));
    const stop = async () => {
      program.kill("SIGTERM");
      await exited;
    };
    stops.push(stop);
    let said = "";
    program.stderr.on("data", (data) => (said += data));
    for await (const line of createInterface({ input: program.stdout })) {
      return Object.assign(new URL(line), { stop });
    }
    throw new Error(`the dashboard does not start: ${said}`);
  }
}

/** A way to the database that can be cut, as if Postgres were stopped. */
export async function cuttable(url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  let isCut = false;
  const server = createServer((client) => {
    if (isCut) return client.destroy();
    const database = connect(Number(port), hostname);
    for (const [socket, other] of [[client, database], [database, client]]) {
      sockets.add(socket);
      socket.pipe(other);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  stops.push(() => server.close());
  return {
    url: url.replace(`:${port}/`, `:${server.address().port}/`),
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      isCut = false;
    },
  };
}
