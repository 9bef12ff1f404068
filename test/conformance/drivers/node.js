// node-postgres, with pg-cursor, pg-copy-streams and pg-query-stream where they are there.
const { Client, Pool } = require('pg')
const ssl = { rejectUnauthorized: false }
const tell = (e) => console.log(e.code, e.message, e.constraint)
async function main() {
  const c = new Client({ ssl })
  c.on('notice', (n) => console.log('notice', n.message))
  await c.connect()
  const show = async (...a) => { try { const r = await c.query(...a); for (const x of [].concat(r)) console.log(x.command, x.rowCount, JSON.stringify(x.rows)) } catch (e) { tell(e) } }
  await show("SELECT 1 AS a, 'x' AS b, NULL AS c, now() > '2000-01-01' AS d")
  await show('SELECT $1::int + $2::int AS s, $3::text[] AS t', [1, 2, ['a', 'b"c']])
  await show("DROP TABLE IF EXISTS n; CREATE TABLE n (id int PRIMARY KEY, j jsonb)")
  for (let i = 0; i < 50; i++) await c.query({ name: 'ins', text: 'INSERT INTO n VALUES ($1, $2)', values: [i, { i }] })
  await Promise.all([...Array(200).keys()].map((i) => c.query('INSERT INTO n VALUES ($1, $2)', [1000 + i, { i }])))
  await show('SELECT count(*) FROM n')
  await show('INSERT INTO n VALUES (1)')
  await show('SELECT 1/0')
  await show('SELECT 1; SELECT 2; SELECT 1/0; SELECT 3')
  await show('BEGIN'); await show('SELECT 1/0'); await show('SELECT 1'); await show('ROLLBACK')
  await show({ text: 'SELECT g FROM generate_series(1,3) g', rowMode: 'array' })
  await show({ text: 'SELECT $1::bytea AS b', values: [Buffer.from([0, 255])], binary: true })
  const heard = new Promise((ok) => c.on('notification', ok))
  await c.query('LISTEN ch'); await c.query("NOTIFY ch, 'x'")
  const n = await heard
  console.log(n.channel, n.payload, n.processId === c.processID)
  console.log((await c.query('SELECT pg_backend_pid() AS p')).rows[0].p === c.processID)
  await show("DO $$BEGIN RAISE NOTICE 'seen'; END$$")
  const Cursor = require('pg-cursor')
  const cur = c.query(new Cursor('SELECT g FROM generate_series(1,1000) g'))
  console.log((await cur.read(10)).length, (await cur.read(2000)).length); await cur.close()
  const copy = require('pg-copy-streams'), { pipeline } = require('stream/promises'), { Readable } = require('stream')
  await pipeline(Readable.from(Array.from({ length: 1000 }, (_, i) => `${i + 5000}\t{}\n`)), c.query(copy.from('COPY n FROM STDIN')))
  let bytes = 0
  for await (const chunk of c.query(copy.to('COPY n TO STDOUT'))) bytes += chunk.length
  console.log('copy', bytes)
  await pipeline(Readable.from(['1\t{}\n']), c.query(copy.from('COPY n FROM STDIN'))).catch(tell)
  const Stream = require('pg-query-stream')
  let rows = 0
  for await (const _ of c.query(new Stream('SELECT * FROM generate_series(1,5000)'))) rows++
  console.log('stream', rows)
  await show('SET statement_timeout = 100; SELECT pg_sleep(9)')
  await c.end()
  const pool = new Pool({ ssl, max: 5 })
  const r = await Promise.all([...Array(100).keys()].map((i) => pool.query('SELECT $1::int AS i', [i])))
  console.log(r.reduce((s, x) => s + x.rows[0].i, 0))
  await pool.end()
}
main().catch((e) => { console.log('failed', e); process.exit(1) })
