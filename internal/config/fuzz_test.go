package config

import (
	"errors"
	"strings"
	"testing"
)

// FuzzLoad: whatever the file holds, Load returns a complete configuration or
// complaints that name the file, and never panics.
func FuzzLoad(f *testing.F) {
	text := example(f)
	f.Add([]byte(text))
	for _, line := range []string{"a: &x [*x]", "{}", "- a", "a: b: c", "? [a]\n: b", "!!binary a", "<<: *a", "&a *a", "%YAML 1.3\n---\na", "rules: [{grant: {limits: 3}}]", "\xff\xfe", "a: |\n b", "listen: !!map {}"} {
		f.Add([]byte(line))
	}
	for _, part := range strings.Split(text, "\n\n") {
		f.Add([]byte(part))
	}
	f.Add([]byte(several(f)))
	f.Add([]byte(both + "services: [{account: 'OTHER\\a', owner: 'OTHER\\a@b', purpose: x}]\nrules: [{accounts: [a@b, 'X\\y'], groups: ['@']}]"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse(&loader{file: dir + "/pgcustos.yaml", anchors: anchorsOf{}}, data)
		var complaints Errors
		switch {
		case err == nil && (len(c.Rules) == 0 || c.Listen.Startup.TLS == nil || len(c.Backends) == 0):
			t.Fatalf("loaded without what it needs: %+v", c)
		case err != nil && (!errors.As(err, &complaints) || len(complaints) == 0):
			t.Fatalf("not Errors: %T", err)
		}
		for _, e := range complaints {
			if e.Message == "" || e.File == "" || (e.Line > 0) != (e.Column > 0) {
				t.Fatalf("an empty complaint: %+v", e)
			}
		}
	})
}
