"""psycopg 3: binary, pipelines, COPY, server-side parameters."""
import logging
import psycopg

# It warns where an error comes before the pipeline ends, which is chance.
logging.getLogger("psycopg").setLevel(logging.ERROR)

with psycopg.connect("", autocommit=True) as c:

    def show(sql, args=None, **kw):
        try:
            cur = c.execute(sql, args, **kw)
            print(cur.statusmessage, cur.fetchall() if cur.description else None)
        except psycopg.Error as e:
            print(type(e).__name__, e.sqlstate, e.diag.message_primary)

    show("SELECT %s::int, %s::text, %s::float8", (1, "ä€𝄞", 2.5))
    show("SELECT %s::int[], %s::jsonb", ([1, 2], '{"a": 1}'), binary=True)
    show("DROP TABLE IF EXISTS p3")
    show("CREATE TABLE p3 (id int PRIMARY KEY, b bytea)")
    for i in range(20):
        show("INSERT INTO p3 VALUES (%s, %s)", (i, bytes([i] * 10)), prepare=True)
    show("INSERT INTO p3 VALUES (%s, %s)", (1, b""), prepare=True)
    with c.cursor() as cur:
        cur.executemany("INSERT INTO p3 VALUES (%s, %s)", [(i, b"m") for i in range(100, 400)])
        print(cur.rowcount)
        with cur.copy("COPY p3 FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "bytea"])
            for i in range(1000, 2000):
                copy.write_row((i, b"c"))
        print(cur.rowcount)
        with cur.copy("COPY p3 TO STDOUT") as copy:
            print("copy", sum(1 for _ in copy.rows()))
    try:
        with c.pipeline() as p:
            a = c.execute("SELECT 1")
            b = c.execute("SELECT 1/0")
            d = c.execute("SELECT 3")
            p.sync()
    except psycopg.Error as e:
        print("pipeline", e.sqlstate)
    with c.pipeline() as p:
        curs = [c.execute("SELECT %s::int", (i,)) for i in range(500)]
        p.sync()
        print("pipeline", sum(cur.fetchone()[0] for cur in curs))
    try:
        with c.transaction():
            c.execute("INSERT INTO p3 VALUES (5000, '')")
            with c.transaction(force_rollback=True):
                c.execute("INSERT INTO p3 VALUES (5001, '')")
            raise psycopg.Rollback()
    except psycopg.Error as e:
        print(e)
    show("SELECT count(*) FROM p3 WHERE id >= 5000")
    with c.transaction(), c.cursor("server") as cur:
        cur.execute("SELECT id FROM p3 ORDER BY id")
        print("cursor", cur.fetchmany(3), cur.scroll(10), cur.fetchone())
    show("SELECT pg_backend_pid() = %s", (c.info.backend_pid,))
    c.add_notify_handler(lambda n: print("notify", n.channel, n.payload, n.pid == c.info.backend_pid))
    c.execute("LISTEN p3")
    c.execute("NOTIFY p3, 'x'")
    c.execute("SELECT 1")
    with c.cursor() as cur:
        cur.execute("SELECT g FROM generate_series(1, 5) g")
        print([r for r in cur.stream("SELECT g FROM generate_series(1, 5) g")])
    import threading
    t = threading.Timer(1, c.cancel)
    t.start()
    show("SELECT pg_sleep(60)")
    t.join()
    show("SELECT 'alive'")
    show("PREPARE s AS SELECT 1; EXECUTE s")
    show("DEALLOCATE ALL")
    print(c.info.transaction_status, c.info.server_version, c.info.encoding)
