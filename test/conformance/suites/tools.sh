# PostgreSQL's own programs, on a database with pgbench's tables and what else a
# dump has to carry.
psql -qX -d "$DIRECT dbname=postgres" -c "DROP DATABASE IF EXISTS suite WITH (FORCE)" -c "DROP DATABASE IF EXISTS restored WITH (FORCE)" \
	-c "CREATE DATABASE suite TEMPLATE template0" -c "CREATE DATABASE restored TEMPLATE template0" 2>/dev/null
keep() { # runs a program; its output is compared, but for durations
	local out=$1
	shift
	"$@" >"$out" 2>&1 && echo "exit status 0" >>"$out" || echo "exit status $?" >>"$out"
	sed -i -E 's/[0-9]+(\.[0-9]+)? (ms|s)\b/T/g; s/tps = .*/tps/; s/(progress|latency|number of transactions).*//; s/port [0-9]+/port/; s/svc-orders/conformance/g; /generated|of 200000|vacuuming|creating|dropping|done in/d' "$out"
}
keep pgbench-init pgbench -i -s 2 -q
for mode in simple extended prepared; do
	keep "pgbench-$mode" pgbench -n -c 4 -t 200 -M $mode
	keep "pgbench-select-$mode" pgbench -n -S -c 4 -t 200 -M $mode
done
keep pgbench-reconnect pgbench -n -S -C -c 2 -t 20
keep psql-everything psql -X -v ON_ERROR_STOP=1 <<'SQL'
CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('sad', 'ok'); CREATE DOMAIN s.pos AS int CHECK (VALUE > 0);
CREATE TABLE s.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m s.mood, p s.pos, j jsonb, b bytea, a text[], r int4range, g int GENERATED ALWAYS AS (1) STORED);
INSERT INTO s.t (m, p, j, b, a, r) SELECT 'ok', g, jsonb_build_object('g', g), decode('00ff', 'hex'), ARRAY['a"b', NULL], int4range(g, g + 1) FROM generate_series(1, 500) g;
CREATE INDEX ON s.t USING gin (j); CREATE VIEW s.v AS SELECT * FROM s.t; CREATE MATERIALIZED VIEW s.mv AS SELECT count(*) FROM s.t;
CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$; CREATE TRIGGER tr BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f();
CREATE TABLE s.part (k int, v text) PARTITION BY RANGE (k); CREATE TABLE s.part1 PARTITION OF s.part FOR VALUES FROM (0) TO (100);
INSERT INTO s.part SELECT g, 'ä' FROM generate_series(0, 99) g; ALTER TABLE s.t ENABLE ROW LEVEL SECURITY; CREATE POLICY pol ON s.t USING (true);
COMMENT ON TABLE s.t IS 'a comment'; CREATE EXTENSION hstore; CREATE SEQUENCE s.seq; SELECT lo_from_bytea(4711, 'large'); CREATE PUBLICATION pub FOR TABLE s.t; CREATE STATISTICS s.st ON m, p FROM s.t;
SQL
keep psql-watch timeout 30 psql -X -c 'SELECT 1' -c '\watch 0.2 c=3'
keep psql-gexec psql -X <<<"SELECT format('SELECT %s AS n', g) FROM generate_series(1, 5) g \gexec"
keep psql-describe psql -X -c '\d+ s.*' -c '\df s.*' -c '\dT+ s.*' -c '\dp s.*' -c '\l suite' -c '\dRp+'
keep psql-cursor psql -X -v FETCH_COUNT=7 -c 'SELECT id, m FROM s.t ORDER BY id'
keep psql-copy psql -X -c '\copy s.part TO part.csv CSV' -c '\copy s.part1 FROM part.csv CSV' -c 'SELECT count(*) FROM s.part'
keep psql-error psql -X <<<$'SELECT 1/0;\n\\errverbose\nSELECT nothing;\nBEGIN;\nSELEC;\nSELECT 1;\nCOMMIT;'
keep vacuumdb vacuumdb -z -j 3
keep reindexdb reindexdb -j 2 -t pgbench_accounts -t s.t
keep clusterdb clusterdb
keep dump-plain pg_dump --exclude-table-data='pgbench_*'
keep dump-schema pg_dump --schema-only --column-inserts
pg_dump -Fd -j 3 -f dumped
keep restore pg_restore -j 3 -d restored dumped
rm -r dumped
keep restored pg_dump -d restored --exclude-table-data='pgbench_*'
keep dumpall pg_dumpall --roles-only --no-role-passwords
sed -i -E 's/^.(un)?restrict .*//' dump-plain dump-schema restored dumpall # a key of chance
