# The own suites of pgx and lib/pq: how each of their tests ends is compared. What
# they say on the way holds times, ports and process ids.
sql() { psql -qX -d "$DIRECT dbname=$1" -c "$2" >/dev/null 2>&1 || true; }
fresh() {
	psql -qX -d "$DIRECT dbname=postgres" -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" -c "CREATE DATABASE $1 TEMPLATE template0" 2>/dev/null
}

# run MODULE DATABASE SKIP VARIABLES...: the tests of each package, one package after the
# other. Running is from the module's folder, where their data is.
run() {
	local name=$1 database=$2 skip=$3 package binary out=$PWD
	shift 3
	for binary in "$WORK/$name.tests"/*; do
		package=$(basename "$binary")
		package=${package#_}
		fresh "$database"
		sql "$database" "CREATE EXTENSION hstore"
		sql "$database" "CREATE EXTENSION ltree"
		sql "$database" "CREATE DOMAIN uint64 AS numeric(20,0)"
		(cd "$WORK/$name/${package//__/\/}" && env "$@" timeout 400 "$binary" -test.v -test.timeout 6m -test.skip "$skip" >"$out/$name.$package.log" 2>&1) || true
		grep -oE '^ *--- (PASS|FAIL|SKIP): [^ ]+|^panic: .*' "$name.$package.log" | sed -E 's/^ *//; s|/tmp/[A-Za-z0-9]+/|/tmp/|g' | sort >"$name.$package.ends" || true
		mkdir -p "$WORK/logs/$(basename "$(dirname "$PWD")").${PWD##*/}" && mv "$name.$package.log" "$_"
		echo "$name $package: $(grep -c ' PASS' "$name.$package.ends" || true) passed, $(grep -c ' FAIL' "$name.$package.ends" || true) failed, $(grep -c ' SKIP' "$name.$package.ends" || true) skipped"
	done
}

sql postgres "CREATE ROLE \" tricky, ' } \\\"\\\" \\ test user \" SUPERUSER"
# Of pgx's: one holds that the server's user is the client's, which is the rule's role
# here; one that servers before 18 give cancel keys of four bytes, where the proxy
# itself speaks protocol 3.2.
run pgx pgx_test '^(TestConnect|TestConnectProtocolVersion32)$' \
	"PGX_TEST_DATABASE=host=$PGHOST port=$PGPORT user=$PGUSER password=$PGPASSWORD dbname=pgx_test sslmode=require"
# Of lib/pq's: those that play a server without TLS themselves, or need its own one.
run pq pqgo '^(TestConnectionTargetSessionAttrs|TestConnectMulti|TestUnexpectedEOF|TestSimpleQueryWithoutResponse|TestSSL.*|TestAuth|TestNewConnector|Example.*)$' \
	PGDATABASE=pqgo
