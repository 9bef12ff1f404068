"""psycopg 2: one line for each thing that applications do with it."""
import io, select, sys
sys.path.pop(0)  # this file has the library's name
import psycopg2, psycopg2.extras

c = psycopg2.connect("")
c.autocommit = True
cur = c.cursor()


def show(sql, *args):
    try:
        cur.execute(sql, *args)
        print(cur.statusmessage, cur.fetchall() if cur.description else None)
    except psycopg2.Error as e:
        print(type(e).__name__, e.pgcode, e.diag.message_primary, e.diag.constraint_name)


show("SELECT 1, 'x', NULL, 1.5::numeric, true, '{1,2}'::int[], now() > '2000-01-01'")
show("SELECT %s, %s, %s", (1, "a'b\\c", None))
show("DROP TABLE IF EXISTS p2; CREATE TABLE p2 (id int PRIMARY KEY, t text)")
psycopg2.extras.execute_values(cur, "INSERT INTO p2 VALUES %s", [(i, "t%d" % i) for i in range(1000)])
psycopg2.extras.execute_batch(cur, "UPDATE p2 SET t = %s WHERE id = %s", [("u", i) for i in range(50)])
show("SELECT count(*), count(DISTINCT t) FROM p2")
show("INSERT INTO p2 VALUES (1, 'again')")
show("SELECT 1/0")
show("SELEC")
cur.copy_expert("COPY p2 FROM STDIN", io.StringIO("".join("%d\tc\n" % i for i in range(1000, 5000))))
out = io.StringIO()
cur.copy_expert("COPY (SELECT * FROM p2 ORDER BY id) TO STDOUT WITH CSV", out)
print("copy", len(out.getvalue()))
try:
    cur.copy_expert("COPY p2 FROM STDIN", io.StringIO("1\tdouble\n"))
except psycopg2.Error as e:
    print(e.pgcode)
c.autocommit = False
named = c.cursor("scroll")
named.itersize = 100
named.execute("SELECT id FROM p2 ORDER BY id")
print("cursor", sum(r[0] for r in named))
c.rollback()
show("SELECT 1/0")
show("SELECT 1")
c.rollback()
c.set_session(isolation_level="SERIALIZABLE", readonly=True)
show("SHOW transaction_isolation")
show("DELETE FROM p2")
c.rollback()
c.set_session(readonly=False, autocommit=True)
cur.execute("LISTEN ch; SELECT pg_backend_pid()")
print("pid", cur.fetchone()[0] == c.info.backend_pid)
cur.execute("NOTIFY ch, 'payload'")
select.select([c], [], [], 10)
c.poll()
print("notify", [(n.channel, n.payload, n.pid == c.info.backend_pid) for n in c.notifies])
c.autocommit = False
lo = c.lobject(0, "wb")
lo.write(b"large" * 1000)
oid = lo.oid
lo.close()
lo = c.lobject(oid, "rb")
lo.seek(4995)
print("lo", lo.read(), lo.tell())
lo.unlink()
c.commit()
c.autocommit = True
show("SET statement_timeout = 50; SELECT pg_sleep(5)")
show("RESET statement_timeout")
cur.execute("DO $$BEGIN RAISE NOTICE 'seen'; RAISE WARNING 'too'; END$$")
print("notices", c.notices[-2:])
print("parameters", [c.get_parameter_status(p) for p in ("server_version", "client_encoding", "DateStyle", "TimeZone", "integer_datetimes", "is_superuser")])
c.close()
