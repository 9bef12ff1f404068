package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pgcustos/pgcustos/"

type pkg struct {
	ImportPath   string
	Name         string
	Doc          string
	GoFiles      []string
	CgoFiles     []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (p *pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// in reports whether the package is one of the trees, or below one.
func in(name string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return name == tree || strings.HasPrefix(name, tree+"/") })
}

func packages(t *testing.T) []*pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Doc,GoFiles,CgoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []*pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &pkg{}
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 5 {
		t.Fatalf("go list found %d packages only", len(list))
	}
	return list
}

// arrow forbids the packages under from, but not those under except, to import
// the packages under to.
type arrow struct {
	from, except, to []string
	why              string
}

var top = []string{"auth", "audit", "proxy", "cmd"}

var forbidden = []arrow{
	{from: []string{"auth"}, to: []string{"audit", "proxy", "cmd"}, why: "auth knows neither records nor sessions"},
	{from: []string{"audit"}, to: []string{"auth", "proxy", "cmd"}, why: "audit records what it is told"},
	{from: []string{"proxy"}, to: []string{"internal/config", "cmd"}, why: "the server is given options, not a file"},
	{
		from: []string{"internal"}, except: []string{"internal/config", "internal/testkit", "internal/telemetry"}, to: top,
		why: "of internal, only config may import the packages whose options it builds",
	},
	{from: []string{"internal/statement"}, to: append([]string{"internal/config"}, top...), why: "statements know no rules"},
}

func TestArrows(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			target, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			for _, a := range forbidden {
				if in(p.name(), a.from...) && !in(p.name(), a.except...) && in(target, a.to...) {
					t.Errorf("%s imports %s: %s", p.name(), target, a.why)
				}
			}
			if target == "internal/testkit" && !in(p.name(), "internal/testkit", "test", "bench", "cmd/pgcustos-demo") {
				t.Errorf("%s imports testkit outside its tests", p.name())
			}
		}
	}
}

// importers names who alone may import a library, tests included.
var importers = map[string][]string{
	"github.com/go-ldap/ldap":          {"auth/directory", "internal/testkit"},
	"github.com/jcmturner":             {"auth/kerberos"},
	"github.com/pganalyze/pg_query_go": {"internal/statement/pgparse"},
	"github.com/goccy/go-yaml":         {"internal/config"},
	"github.com/prometheus":            {"internal/telemetry", "proxy", "cmd"},
	"github.com/pires/go-proxyproto":   {"proxy/startup"},
	"github.com/xdg-go/scram":          {"proxy/backend"},
	"github.com/xdg-go/stringprep":     {"proxy/backend"},
	"github.com/klauspost/compress":    {"audit/journal", "test/secrets"},
	"filippo.io/age":                   {"audit/journal", "test/auditors"},
	"github.com/spf13/cobra":           {"cmd"},
	"github.com/coreos/go-systemd":     {"cmd"},
	"go.opentelemetry.io/otel":         {"internal/telemetry"},
	"C":                                {},
}

func TestImporters(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for library, allowed := range importers {
				if in(path, library) && !in(p.name(), allowed...) {
					t.Errorf("%s imports %s; only %v may", p.name(), path, allowed)
				}
			}
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles)+len(p.CgoFiles) == 0 {
			continue
		}
		want := "Package " + p.name()[strings.LastIndexByte(p.name(), '/')+1:] + " "
		if p.Name == "main" {
			want = "Command " + p.name()[strings.LastIndexByte(p.name(), '/')+1:] + " "
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: the doc comment has to begin with %q, it is %q", p.name(), want, p.Doc)
		}
	}
}
