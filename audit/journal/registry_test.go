package journal

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// TestRegistryIsTheDocument holds the reader's tables to FORMAT.md.
func TestRegistryIsTheDocument(t *testing.T) {
	doc, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]kind{"string": kindString, "u64": kindUint, "bits": kindUint, "i64": kindInt, "list of object": kindObject, "list of resolved": kindResolved, "bytes": kindBytes, "list of bytes": kindBytes, "blob": kindBlob}
	lines := regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \| (string|u64|bits|i64|list of object|list of resolved|bytes|list of bytes|blob) \|`).FindAllStringSubmatch(string(doc), -1)
	if len(lines) != len(knownFields) {
		t.Errorf("%d fields in FORMAT.md, %d known", len(lines), len(knownFields))
	}
	for _, line := range lines {
		id, _ := strconv.Atoi(line[1])
		if got := knownFields[uint16(id)]; got != (knownField{line[2], kinds[line[3]]}) {
			t.Errorf("field %d is %v, FORMAT.md says %s", id, got, line[0])
		}
	}
	types := regexp.MustCompile(`(?m)^\| (\d+) \| ([a-z.]+) \|$`).FindAllStringSubmatch(string(doc), -1)
	if len(types) != len(knownTypes) {
		t.Errorf("%d types in FORMAT.md, %d known", len(types), len(knownTypes))
	}
	for _, line := range types {
		n, _ := strconv.Atoi(line[1])
		if knownTypes[uint16(n)] != line[2] || typeNumber(audit.Type(line[2])) != uint16(n) {
			t.Errorf("type %d: %s", n, line[2])
		}
	}
}

// The bits in the journal must not move when the program's own do.
func TestBitsAreTheDocument(t *testing.T) {
	doc, err := os.ReadFile("../FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(doc)), " ")
	for name, names := range map[string][]string{"class": classBits, "tags": tagBits} {
		if want := "**" + name + "** bits from 0: " + strings.Join(names, ", ") + "."; !strings.Contains(flat, want) {
			t.Errorf("FORMAT.md does not say %s", want)
		}
	}
	if !slices.Equal(classBits, statement.ClassNames()) || !slices.Equal(tagBits, statement.TagNames()) {
		t.Error("a class or tag has another bit in the journal than in the program")
	}
	for use := statement.UseRead; use <= statement.UseExecute; use++ {
		if useNames[use] != use.String() {
			t.Errorf("use %d is %s in the journal, %s in the program", use, useNames[use], use)
		}
	}
}

// What a newer version wrote is kept and shown.
func TestUnknownIsKept(t *testing.T) {
	field := func(id uint16, v string) []byte {
		b := binary.LittleEndian.AppendUint16(nil, id)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
		return append(b, v...)
	}
	body := slices.Concat(field(900, "one"), field(1, "session"), field(900, "two"), field(51, "\x01\x00\x00\x00\x00\x00\x00\x80"))
	r := Record{Type: typeName(77)}
	if err := r.decode(body); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"field_900":["b25l","dHdv"]`, `"session":"session"`, `"type":"type_77"`, `"class":["READ","bit_63"]`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
	for _, bad := range [][]byte{body[:3], body[:8], field(51, "x"), field(53, "\x01\xff\xff"), field(53, "\x01\x00\x00\xff\xff\xff\xff")} {
		if err := new(Record).decode(bad); err == nil {
			t.Errorf("%x was taken", bad)
		}
	}
}
