package parameters

import (
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// literals are values of every type that is decoded.
var literals = []string{
	"true", "false", "1::int2", "-5::int4", "9223372036854775807::int8", "42::oid", "'7'::xid", "'(3,4)'::tid",
	"1.5::float4", "-0.1::float8", "'NaN'::float8", "'Infinity'::float8", "'-Infinity'::float4", "1e300::float8", "1e15::float8", "123456789012345::float8", "0.0001::float8", "0.00001::float8", "1e6::float4", "123456::float4", "'-0'::float8",
	"0::numeric", "-12345.6700::numeric", "1e-10::numeric", "'NaN'::numeric", "100000::numeric", "0.00::numeric",
	"'2024-02-29'::date", "'infinity'::date", "'0044-03-15 BC'::date", "'23:59:59.000001'::time", "'12:00'::time",
	"'2024-02-29 12:34:56.789'::timestamp", "'-infinity'::timestamp", "'2024-02-29 12:34:56Z'::timestamptz", "'infinity'::timestamptz",
	"'1 year 2 mons -3 days 04:05:06.7'::interval", "'-1 mon -1 day -00:00:01'::interval", "'0'::interval", "'1 day'::interval", "'-13 mons 2 days'::interval", "'00112233-4455-6677-8899-aabbccddeeff'::uuid",
	"'192.168.0.1'::inet", "'192.168.0.0/24'::inet", "'::1'::inet", "'2001:db8::/32'::cidr", "'08:00:2b:01:02:03'::macaddr",
	"B'101'::bit(3)", "B'1'::varbit", "'(1,2.5)'::point", "'[(0,0),(1,1)]'::lseg", "'(2,2),(1,1)'::box", "'((0,0),(1,1))'::path",
	"'[(0,0),(1,1)]'::path", "'((0,0),(1,1),(2,0))'::polygon", "'{1,2,3}'::line", "'<(1,2),3>'::circle",
	"'text'::text", "''::varchar", "'ab'::bpchar", "'n'::name", "'c'::\"char\"", "'\\x00ff'::bytea", "'{\"a\": 12345678901234567890}'::json",
	"'{\"a\": 12345678901234567890.10}'::jsonb", "'<a/>'::xml",
	"'{1,NULL,3}'::int4[]", "'{{a,\"b c\"},{\"\",NULL}}'::text[]", "'{}'::int4[]", "'[2:3]={1,2}'::int4[]", "ARRAY['null','NULL','a,b','\"','\\']",
	"'{\"2024-01-01 00:00:00Z\"}'::timestamptz[]", "ARRAY['\\x00'::bytea]", "'{t,f}'::bool[]", "ARRAY['{\"a\": 1}'::jsonb]",
	"'[1,10)'::int4range", "'empty'::int8range", "'(,5]'::numrange", "'[2024-01-01,)'::daterange", "'[\"2024-01-01 00:00:00\",\"2024-01-02 00:00:00\")'::tsrange",
	"ARRAY['[1,2)'::int4range]",
}

// What a binary value is on record as is what PostgreSQL prints.
func TestDecodedAsPostgresPrints(t *testing.T) {
	p := testkit.SharedPostgres(t)
	c, err := pgconn.Connect(t.Context(), fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres options='-c TimeZone=UTC -c extra_float_digits=1'", p.Dir, p.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context()) //nolint:errcheck // the test is over
	for _, sql := range literals {
		r := c.ExecParams(t.Context(), "SELECT v, v FROM (SELECT "+sql+" AS v) x", nil, nil, nil, []int16{pgx.BinaryFormatCode, pgx.TextFormatCode}).Read()
		if r.Err != nil {
			t.Errorf("%s: %v", sql, r.Err)
			continue
		}
		text, kind := decode(r.FieldDescriptions[0].DataTypeOID, pgx.BinaryFormatCode, r.Rows[0][0])
		if string(text) != string(r.Rows[0][1]) || kind != 0 {
			t.Errorf("%s: %q, kind %d; PostgreSQL prints %q", sql, text, kind, r.Rows[0][1])
		}
	}
}
