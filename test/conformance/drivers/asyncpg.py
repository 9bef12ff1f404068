"""asyncpg: binary everywhere, its own COPY, cursors, cancel by timeout."""
import asyncio, os, ssl
import sys
sys.path.pop(0)  # this file has the library's name
import asyncpg


async def main():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    c = await asyncpg.connect(ssl=context, database=os.environ["PGDATABASE"])

    async def show(sql, *args):
        try:
            print([tuple(r) for r in await c.fetch(sql, *args)])
        except asyncpg.PostgresError as e:
            print(type(e).__name__, e.sqlstate, e.message)

    await show("SELECT $1::int, $2::text, $3::timestamptz IS NULL, $4::numeric", 1, "ä", None, 3)
    await c.execute("DROP TABLE IF EXISTS a; CREATE TABLE a (id int PRIMARY KEY, t text, j jsonb, ts int[])")
    await c.executemany("INSERT INTO a VALUES ($1, $2)", [(i, str(i)) for i in range(500)])
    print(await c.copy_records_to_table("a", records=[(i, "c") for i in range(1000, 3000)], columns=["id", "t"]))
    import io
    out = io.BytesIO()
    print(await c.copy_from_query("SELECT id FROM a ORDER BY id", output=out), len(out.getvalue()))
    await show("INSERT INTO a VALUES (1)")
    await show("SELECT 1/0")
    await show("SELECT nothing")
    try:
        await c.executemany("INSERT INTO a VALUES ($1)", [(9000,), (1,)])
    except asyncpg.PostgresError as e:
        print(e.sqlstate)
    await show("SELECT count(*) FROM a WHERE id = 9000")
    async with c.transaction(isolation="serializable"):
        total = 0
        async for r in c.cursor("SELECT id FROM a ORDER BY id", prefetch=77):
            total += r["id"]
        print("cursor", total)
    s = await c.prepare("SELECT t FROM a WHERE id = $1")
    print([await s.fetchval(i) for i in (1, 2, 3)], s.get_parameters()[0].name, s.get_attributes()[0].name)
    try:
        await c.fetch("SELECT pg_sleep(60)", timeout=0.5)
    except asyncio.TimeoutError:
        print("timeout")
    await show("SELECT 'alive'")
    heard = asyncio.get_running_loop().create_future()
    await c.add_listener("ch", lambda con, pid, ch, payload: heard.set_result((pid == con.get_server_pid(), ch, payload)))
    await c.execute("NOTIFY ch, 'x'")
    print(await asyncio.wait_for(heard, 10))
    print(await c.fetchval("SELECT pg_backend_pid()") == c.get_server_pid(), c.get_server_version()[0], c.get_settings().client_encoding)
    await c.reset()
    await c.close()
    pool = await asyncpg.create_pool(ssl=context, database=os.environ["PGDATABASE"], min_size=2, max_size=4)
    print(sum(await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(100)])))
    await pool.close()


asyncio.run(main())
