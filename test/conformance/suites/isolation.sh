# PostgreSQL's isolation suite.
database=isolation_regression
psql -qX -d "$DIRECT dbname=postgres" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" -c "CREATE DATABASE $database TEMPLATE template0" 2>/dev/null
psql -qX -d "$DIRECT dbname=$database" -c "ALTER DATABASE $database SET lc_messages TO 'C'" -c "ALTER DATABASE $database SET timezone_abbreviations TO 'Default'"
"$WORK/pg_isolation_regress" --use-existing --inputdir="$WORK/postgresql-15/src/test/isolation" --outputdir=. --bindir=/usr/lib/postgresql/15/bin \
	--dbname=$database --schedule="$WORK/postgresql-15/src/test/isolation/isolation_schedule" >log 2>&1 || true
grep -E 'tests (passed|failed)' log
rm -f log regression.* && rm -rf output_iso
