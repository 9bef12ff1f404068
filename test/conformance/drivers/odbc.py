"""psqlodbc by way of pyodbc."""
import os, sys
import pyodbc

c = pyodbc.connect("Driver={PostgreSQL Unicode};Servername=%(PGHOST)s;Port=%(PGPORT)s;Database=%(PGDATABASE)s;UID=%(PGUSER)s;PWD=%(PGPASSWORD)s;SSLmode=require;UseDeclareFetch=1;Fetch=50" % os.environ, autocommit=True)
cur = c.cursor()


def show(sql, *args):
    try:
        cur.execute(sql, *args)
        print([tuple(r) for r in cur.fetchall()] if cur.description else cur.rowcount)
    except pyodbc.Error as e:
        print(e.args[0], e.args[1].splitlines()[0])


show("SELECT 1, 'x', NULL, 1.5::float8")
show("SELECT ?, ?", 1, "a'b\\")
show("DROP TABLE IF EXISTS o")
show("CREATE TABLE o (id int PRIMARY KEY, t text)")
cur.executemany("INSERT INTO o VALUES (?, ?)", [(i, "t") for i in range(300)])
show("SELECT count(*) FROM o")
show("INSERT INTO o VALUES (1, '')")
show("SELECT 1/0")
show("SELECT sum(id) FROM (SELECT id FROM o ORDER BY id) s")
cur.execute("SELECT id FROM o ORDER BY id")
print(sum(r[0] for r in cur.fetchall()))
print([(r.table_name, r.table_type) for r in cur.tables(schema="public", table="o")])
print([(r.column_name, r.type_name) for r in cur.columns(schema="public", table="o")])
print([r.column_name for r in cur.primaryKeys("o")])
c.autocommit = False
show("DELETE FROM o")
c.rollback()
show("SELECT 1/0")
show("SELECT count(*) FROM o")
c.rollback()
show("SELECT count(*) FROM o")
print(c.getinfo(pyodbc.SQL_DBMS_NAME), c.getinfo(pyodbc.SQL_DBMS_VER))
