package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTest   = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z0-9]\w+`)
	definedTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z0-9]\w+)\(`)
)

// TestDocumentedTestsExist: a promise is held by the test that the documents name for
// it, so there has to be one of that name.
func TestDocumentedTestsExist(t *testing.T) {
	defined, named := map[string]bool{}, map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		isTest, isDocument := strings.HasSuffix(path, "_test.go"), strings.HasSuffix(path, ".md")
		if !isTest && !isDocument {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if isTest {
			for _, m := range definedTest.FindAllSubmatch(text, -1) {
				defined[string(m[1])] = true
			}
			return nil
		}
		for _, name := range namedTest.FindAllString(string(text), -1) {
			named[name] = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(named) < 50 || len(defined) < 500 {
		t.Fatalf("%d names in documents and %d tests were found only", len(named), len(defined))
	}
	for name, path := range named {
		if !defined[name] {
			t.Errorf("%s names %s: there is no such test", path, name)
		}
	}
}

var decision = regexp.MustCompile(`^(\d{4})-.*\.md$`)

// TestDecisionsAreNumbered: each decision has a number of its own, which its title says.
func TestDecisionsAreNumbered(t *testing.T) {
	entries, err := os.ReadDir("../../docs/decisions")
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]string{}
	for _, e := range entries {
		m := decision.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		if other := taken[m[1]]; other != "" {
			t.Errorf("%s and %s have the same number", other, e.Name())
		}
		taken[m[1]] = e.Name()
		text, err := os.ReadFile(filepath.Join("../../docs/decisions", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if title := "# " + strings.TrimLeft(m[1], "0") + ". "; !strings.HasPrefix(string(text), title) {
			t.Errorf("%s does not begin with %q", e.Name(), title)
		}
	}
	if len(taken) == 0 {
		t.Error("there are no decisions")
	}
}
