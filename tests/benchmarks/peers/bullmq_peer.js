// BullMQ with undici and pg: `bullmq_peer.js URL STUB COUNT CONCURRENCY REDIS`; the table `outbox` is filled.
//
// A job names a row; the work is to read it, to post its payload and to mark it sent.

"use strict";

const { Queue, Worker } = require("bullmq");
const pg = require("pg");
const undici = require("undici");

const HEADERS = { Authorization: "Bearer SG.bench", "Content-Type": "application/json" };
// With a name a statement is prepared once for each connection.
const READ = { name: "read", text: "SELECT payload FROM outbox WHERE id = $1 AND status = 'pending'" };
const MARK = { name: "mark", text: "UPDATE outbox SET status = 'sent', sent_at = $2, response = $3 WHERE id = $1" };

async function enqueue(connection, count) {
  const queue = new Queue("send", { connection });
  for (let first = 1; first <= count; first += 1000) {
    const ids = Array.from({ length: Math.min(1000, count + 1 - first) }, (_, index) => first + index);
    await queue.addBulk(ids.map((id) => ({ name: "send", data: { id } })));
  }
  await queue.close();
}

// Return what was done; the jobs are there before the clock starts.
async function main(url, stub, count, concurrency, redis) {
  const connection = { url: redis };
  const database = new pg.Pool({ connectionString: url, max: 16 });
  const client = new undici.Pool(stub, { connections: concurrency });
  await enqueue(connection, count);

  async function send(job) {
    const { id } = job.data;
    const { rows } = await database.query({ ...READ, values: [id] });
    const body = rows[0].payload;
    const answer = await client.request({ path: "/v3/mail/send", method: "POST", headers: HEADERS, body });
    if (answer.statusCode !== 202) throw new Error(`the stub answered ${answer.statusCode}`);
    await answer.body.dump();
    await database.query({ ...MARK, values: [id, Date.now(), answer.headers["x-message-id"]] });
  }

  const worker = new Worker("send", send, { connection, concurrency, autorun: false, removeOnComplete: { count: 0 } });
  await worker.waitUntilReady();
  const began = Date.now();
  await new Promise((resolve, reject) => {
    let done = 0;
    worker.on("completed", () => ++done === count && resolve());
    worker.on("failed", (_, error) => reject(error));
    worker.on("error", reject);
    worker.run().catch(reject);
  });
  const ended = Date.now();
  await Promise.all([worker.close(), client.close(), database.end()]);
  return { sent: count, began: began / 1000, ended: ended / 1000 };
}

const [url, stub, count, concurrency, redis] = process.argv.slice(2);
main(url, stub, Number(count), Number(concurrency), redis).then(
  (run) => console.log(JSON.stringify(run)),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
