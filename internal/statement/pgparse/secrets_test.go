package pgparse

import (
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// Invariant 8: no secret is stored. The secret is s3cr3t, in every spelling.
func TestNoSecretIsStored(t *testing.T) {
	for _, text := range []string{
		"CREATE ROLE bob PASSWORD 's3cr3t'",
		"CREATE USER bob WITH ENCRYPTED PASSWORD 's3cr3t' LOGIN",
		"ALTER ROLE bob PASSWORD 's3cr3t' VALID UNTIL '2030-01-01'",
		"ALTER USER bob /* x */ PASSWORD /* 'y' */ 's3cr3t'",
		"CREATE GROUP g PASSWORD $$s3cr3t$$",
		"ALTER ROLE bob PASSWORD $a$s3cr3t$a$",
		"ALTER ROLE bob PASSWORD E'\\x73s3cr3t\\''",
		"ALTER ROLE bob PASSWORD U&'s3cr3t'",
		"ALTER ROLE bob PASSWORD 's3c'\n'r3t s3cr3t'",
		"ALTER ROLE bob PASSWORD 'a''s3cr3t''b'",
		"SELECT 1; ALTER ROLE bob PASSWORD 's3cr3t'; SELECT 2",
		"ALTER ROLE é PASSWORD 's3cr3t'",
		"CREATE USER MAPPING FOR bob SERVER s OPTIONS (user 'bob', password 's3cr3t')",
		"ALTER USER MAPPING FOR bob SERVER s OPTIONS (SET password 's3cr3t')",
		"CREATE SERVER s FOREIGN DATA WRAPPER f OPTIONS (api_token 's3cr3t', \"Secret_Key\" 's3cr3t')",
		"ALTER SERVER s OPTIONS (ADD sslpassword 's3cr3t')",
		"CREATE FOREIGN DATA WRAPPER f OPTIONS (pass 's3cr3t')",
		"CREATE FOREIGN TABLE t (a int OPTIONS (token 's3cr3t')) SERVER s OPTIONS (apikey 's3cr3t')",
		"IMPORT FOREIGN SCHEMA r FROM SERVER s INTO x OPTIONS (password 's3cr3t')",
		"CREATE SUBSCRIPTION s CONNECTION 'host=h password=s3cr3t' PUBLICATION p",
		"CREATE SUBSCRIPTION s CONNECTION 's3cr3t' PUBLICATION p",
		"ALTER SUBSCRIPTION s CONNECTION 's3cr3t'",
		"SELECT dblink_connect('s3cr3t')",
		"SELECT dblink_connect('c', 'host=h user=u password=s3cr3t')",
		"SELECT * FROM public.dblink('host=s3cr3t', 'SELECT 1') AS t (a int)",
		"SELECT dblink_exec('host=h ' || 'password' || '=s3cr3t', 'SELECT 1')",
		"SELECT dblink_connect_u(connstr => 's3cr3t')",
		"COPY t TO PROGRAM 'PGPASSWORD=s3cr3t psql'",
		"COPY t FROM PROGRAM 'curl -u bob:s3cr3t http://h'",
		"COPY t FROM PROGRAM 'mysql --password s3cr3t'",
		"COPY t FROM PROGRAM E'curl https://bob:s3cr3t@h'",
		"COPY t FROM PROGRAM $$curl -H \"Authorization: Bearer s3cr3t\" h$$",
		"SELECT set_config('app.password', 's3cr3t', false)",
		"SELECT set_config($1, 's3cr3t', false)",
		"SET app.jwt_secret = 's3cr3t'",
		"SET app.jwt_secret = s3cr3t",
		"SET LOCAL \"request.header.authorization\" = 'Bearer s3cr3t'",
		"SELECT set_config('request.method', 'GET', true), set_config('request.headers', '{\"authorization\":\"Bearer s3cr3t\"}', true)",
		"SELECT http(('GET', 'https://h', ARRAY[http_header('Authorization', 'Bearer s3cr3t')], NULL, NULL)::http_request)",
		"SET app.password TO \"s3cr3t\"",
		"SET app.keys = a, s3cr3t, 'b'",
		"ALTER ROLE bob SET app.token TO s3cr3t",
		"ALTER SYSTEM SET archive_command = 'AWS_SECRET_ACCESS_KEY=s3cr3t wal-push %p'",
		"UPDATE pg_settings SET setting = 's3cr3t' WHERE name = 'app.password'",
		"SELECT vault.create_secret('s3cr3t', 'name')",
		"SELECT aws_commons.create_aws_credentials('x', 's3cr3t', '')",
		"SELECT app.set_password('bob', new => 's3cr3t')",
		"SELECT app.create_user(login => 'bob', password => 's3cr3t')",
		"SELECT * FROM login(\"Pass\" := 's3cr3t', email := 'x')",
		"CALL app.connect(api_token => 'a' || 's3cr3t')",
		"DO $$BEGIN PERFORM app.login(passwd => 's3cr3t'); END$$",
		"PREPARE p AS SELECT app.login(secret => 's3cr3t')",
		// In comments.
		"SELECT 1 -- postgres://bob:s3cr3t@h/db",
		"/* PGPASSWORD=s3cr3t psql */ SELECT 1",
		"SELECT 1; -- ALTER ROLE bob PASSWORD 's3cr3t'\nSELECT 2",
		"SELEC 1 /* host=h password=s3cr3t */",
		// What a password is put together with.
		"SELECT format('ALTER ROLE %I PASSWORD %L', 'bob', 's3cr3t')",
		"SELECT format('ALTER ROLE bob PASSWORD ''%1$s''', 's3cr3t')",
		"SELECT 'ALTER ROLE bob PASSWORD ' || quote_literal('s3cr3t')",
		"SELECT 'ALTER ROLE bob PASSWORD ''' || 's3cr3t' || ''''",
		"SELECT concat('host=h password=', 's3cr3t')",
		"SELECT $$ALTER ROLE bob PASSWORD %L$$ AS a, 's3cr3t' AS b",
		"ALTER SYSTEM SET primary_conninfo = 'host=h password=s3cr3t'",
		"ALTER ROLE bob SET app.token = 's3cr3t'",
		"ALTER DATABASE d SET app.api_key TO 's3cr3t'",
		"SELECT crypt('s3cr3t', gen_salt('bf'))",
		"SELECT pgp_sym_encrypt(a, 's3cr3t') FROM t",
		"INSERT INTO u VALUES ('bob', public.crypt('s3cr3t', gen_salt('bf')))",
		"INSERT INTO log VALUES ('postgres://bob:s3cr3t@h/db')",
		"SELECT 'host=h password=s3cr3t'",
		"SELECT 'ALTER ROLE bob PASSWORD ''s3cr3t'''",
		// In bodies and in what is prepared.
		"DO $$BEGIN ALTER ROLE bob PASSWORD 's3cr3t'; END$$",
		"DO 'BEGIN ALTER ROLE bob PASSWORD ''s3cr3t''; END'",
		"DO $$BEGIN EXECUTE 'ALTER ROLE bob PASSWORD ''s3cr3t'''; END$$",
		"DO $$BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', 'bob', 's3cr3t'); END$$",
		"DO $$BEGIN PERFORM dblink_connect('s3cr3t'); END$$",
		"DO $$BEGIN EXECUTE 'SELECT dblink_connect(''s3cr3t'')'; END$$",
		"DO $$BEGIN DO 'BEGIN ALTER ROLE bob PASSWORD ''s3cr3t''; END'; END$$",
		"DO $$DECLARE r t := dblink_connect('s3cr3t'); BEGIN END$$",
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ALTER ROLE bob PASSWORD 's3cr3t'$$",
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN CREATE USER MAPPING FOR x SERVER s OPTIONS (password 's3cr3t'); END$$",
		"CREATE FUNCTION f() RETURNS text LANGUAGE plpython3u AS $$connect('postgres://a:s3cr3t@h')$$",
		"CREATE FUNCTION f() RETURNS text LANGUAGE plperl AS 'my $password = \"s3cr3t\"'",
		"CREATE FUNCTION f() RETURNS text LANGUAGE sql RETURN dblink_connect('s3cr3t')",
		"CREATE FUNCTION f() RETURNS text LANGUAGE plpython3u AS $$connect(host=\"h\", password=\"s3cr3t\")$$",
		"DO $$BEGIN PERFORM f('host=h password=s3cr3t'); END$$",
		"DO $$BEGIN this is not; read 's3cr3t'; END$$",
		"PREPARE p AS SELECT dblink_connect('s3cr3t')",
		"DECLARE c CURSOR FOR SELECT dblink_connect('s3cr3t')",
		"EXPLAIN ANALYZE SELECT dblink_connect('s3cr3t')",
		"CREATE VIEW v AS SELECT * FROM dblink('password=s3cr3t', 'SELECT 1') AS t (a int)",
		// Not SQL, or not quite.
		"ALTER ROLE bob PASWORD 's3cr3t'",
		"ALTER ROLE bob PASSWORD \"s3cr3t\"",
		"ALTER ROLE bob PASSWORD = s3cr3t",
		"ALTER ROLE bob PASSWORD: s3cr3t LOGIN",
		"ALTER ROLE bob PASSWORD !s3cr3t#s3cr3t",
		"ALTER ROLE bob PASSWORD 'a's3cr3t-s3cr3t' LOGIN",
		"ALTER ROLE bob PASSWORD s3cr3t",
		"ALTER ROLE bob PASSWORD 's3cr3t",
		"ALTER ROLE bob PASSWORD $$s3cr3t",
		"ALTER ROLE bob PASSWORD 'a\\'s3cr3t'",
		"SELEC '\\' s3cr3t '",
		"ALTER ROLE bob PASSWORD 's3cr3t\xff'",
		"ALTER ROLE bob PASSWORD 's3cr3t'\x00",
	} {
		j := Read(text)
		if j.Form == statement.Verbatim {
			t.Errorf("%s: verbatim", text)
		}
		for i := range j.Statements {
			s := &j.Statements[i]
			noSecret(t, text, s)
			if s.Effect.Inner != nil {
				noSecret(t, text, s.Effect.Inner)
			}
		}
	}
}

func noSecret(t *testing.T, text string, s *statement.Statement) {
	t.Helper()
	if strings.Contains(s.Text, "s3c") || strings.Contains(s.Text, "r3t") {
		t.Errorf("%s\n\tis stored as %s", text, s.Text)
	}
	for _, o := range s.Objects {
		if strings.Contains(o.Schema+o.Name, "s3cr3t") {
			t.Errorf("%s\n\tnames %s", text, o.Name)
		}
	}
	if s.Fingerprint != 0 && s.Fingerprint != fingerprint(s.Text, statement.Redacted) {
		t.Errorf("%s\n\thas a fingerprint of more than what is on record", text)
	}
}

// Redaction leaves the rest as it was.
func TestRedaction(t *testing.T) {
	for text, want := range map[string]string{
		"ALTER ROLE bob PASSWORD 'x' VALID UNTIL '2030'":                          "ALTER ROLE bob PASSWORD '<redacted>' VALID UNTIL '2030'",
		"CREATE SERVER s FOREIGN DATA WRAPPER f OPTIONS (host 'h', password 'x')": "CREATE SERVER s FOREIGN DATA WRAPPER f OPTIONS (host 'h', password '<redacted>')",
		"SELECT dblink('host=h', 'SELECT a FROM t')":                              "SELECT dblink('<redacted>', 'SELECT a FROM t')",
		"SELECT crypt('x', 'y') FROM t WHERE a = 'b' -- c":                        "SELECT crypt('<redacted>', '<redacted>') FROM t WHERE a = 'b' -- c",
		"SELECT a -- password=x\nFROM t":                                          "SELECT a /*<redacted>*/\nFROM t",
		"PREPARE p AS SELECT dblink_connect('x'), 'y'":                            "PREPARE p AS SELECT dblink_connect('<redacted>'), 'y'",
	} {
		if j := Read(text); j.Form != statement.Redacted || j.Statements[0].Text != want {
			t.Errorf("%s\n\t%s %q", text, j.Form, j.Statements[0].Text)
		} else if j.Statements[0].Fingerprint == 0 {
			t.Errorf("%s has no fingerprint", text)
		}
	}
	for _, text := range []string{
		"ALTER ROLE bob PASSWORD NULL", "SELECT password FROM users WHERE name = 'x'", "SET password_encryption = 'scram-sha-256'",
		"COPY t TO PROGRAM 'gzip > /tmp/x.gz'", "SELECT * FROM t WHERE password = 'x'", "CREATE TABLE t (password text)",
		"DO $$BEGIN UPDATE users SET password = crypt(password, gen_salt('bf')); END$$",
		"DO $$BEGIN IF new.password = old.password THEN NULL; END IF; END$$", "SELECT 'https://example.com/a@b'",
		"SELECT 1 -- the password is crypted", "/* https://example.com/a@b */ SELECT 1",
		"SET SESSION AUTHORIZATION 'bob'", "SELECT set_config('request.jwt.claims', '{\"sub\": 1}', true)",
		"SELECT * FROM t WHERE name = 'password' AND a = 'x'", "SELECT f(name => 'x', n => 5)", "SELECT f(password => a) FROM t WHERE b = 'x'", "ALTER SYSTEM SET archive_command = 'cp %p /wal/%f'", "SET work_mem = 5",
	} {
		if j := Read(text); j.Form != statement.Verbatim || j.Statements[0].Text != text {
			t.Errorf("%s\n\t%s %q", text, j.Form, j.Statements[0].Text)
		}
	}
}

// What is bound to a parameter may be a secret that the text has not.
func TestParametersThatAreSecrets(t *testing.T) {
	for text, want := range map[string]bool{
		"ALTER ROLE bob PASSWORD $1": true, "CREATE USER bob ENCRYPTED PASSWORD $1": true, "DO $$BEGIN ALTER ROLE bob PASSWORD 'x'; END$$": true,
		"SELECT app.login(login => $1, password => $2)": true, "SELECT app.login(login => $1)": false,
		"SELECT crypt($1, 'x')": true, "SET app.password = $1": true, "PREPARE p AS SELECT f(token => $1)": true,
		"ALTER ROLE bob VALID UNTIL 'infinity'": false, "SELECT password FROM t WHERE a = $1": false,
	} {
		if got := statement.TakesSecrets(&Read(text).Statements[0]); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// Statements that differ in a secret alone have one fingerprint, as they have one text.
func TestFingerprintIsOfWhatIsRecorded(t *testing.T) {
	of := func(text string) uint64 { return Read(text).Statements[0].Fingerprint }
	for _, text := range []string{
		"ALTER ROLE bob PASSWORD 's3cr3t'", "CREATE USER MAPPING FOR bob SERVER s OPTIONS (user 'u', password 's3cr3t')",
		"CREATE SUBSCRIPTION s CONNECTION 's3cr3t' PUBLICATION p", "SELECT dblink_connect('s3cr3t')",
	} {
		one, other := of(text), of(strings.Replace(text, "s3cr3t", "another", 1))
		if one == 0 || one != other {
			t.Errorf("%s: %x and %x", text, one, other)
		}
	}
	if of("ALTER ROLE bob PASSWORD 's3cr3t'") == of("ALTER ROLE eve PASSWORD 's3cr3t'") {
		t.Error("two roles have one fingerprint")
	}
}
