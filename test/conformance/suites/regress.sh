# PostgreSQL's regression suite.
database=regression
psql -qX -d "$DIRECT dbname=postgres" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" 2>/dev/null
psql -qXAt -d "$DIRECT dbname=postgres" -c "SELECT format('DROP OWNED BY %I; DROP ROLE %I', rolname, rolname) FROM pg_roles WHERE rolname LIKE 'regress%'" |
	psql -qX -d "$DIRECT dbname=postgres"
psql -qX -d "$DIRECT dbname=postgres" -c "CREATE DATABASE $database TEMPLATE template0"
for setting in lc_messages lc_monetary lc_numeric lc_time; do
	psql -qX -d "$DIRECT dbname=postgres" -c "ALTER DATABASE $database SET $setting TO 'C'"
done
psql -qX -d "$DIRECT dbname=postgres" -c "ALTER DATABASE $database SET timezone_abbreviations TO 'Default'"
mkdir -p results && chmod 777 . results
here=$PWD
cd "$WORK/postgresql-15/src/test/regress"
LC_ALL=C /usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress --use-existing --inputdir=. --outputdir="$here" --bindir=/usr/lib/postgresql/15/bin \
	--dlpath="$PWD" --max-concurrent-tests=20 --max-connections=4 --dbname=$database --schedule=parallel_schedule >"$here/log" 2>&1 || true
grep -E 'tests (passed|failed)' "$here/log"
cd "$here" && rm -f log regression.*
sed -i "s#$here#HERE#g" results/*
