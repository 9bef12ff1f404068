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
