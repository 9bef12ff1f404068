package config

import (
	"github.com/pgcustos/pgcustos/internal/statement"
)

// readRedact reads what is kept out of all that is recorded.
func (c *Config) readRedact(root *object) {
	v, given := root.get("redact")
	if !given {
		return
	}
	var list []statement.Pattern
	first := map[string]value{}
	faults := len(v.l.errs)
	for _, item := range v.items() {
		o, ok := item.object()
		if !ok {
			continue
		}
		p := o.redaction()
		if at, given := o.fields["name"]; given && p.Name != "" {
			if other, twice := first[p.Name]; twice {
				at.errorf("the name %q is taken by the pattern in line %d: choose another", p.Name, other.at.Line)
			} else {
				first[p.Name] = at
			}
		}
		list = append(list, p)
	}
	if len(v.l.errs) > faults {
		return
	}
	patterns, err := statement.NewPatterns(list)
	if err != nil {
		v.errorf("%v", err)
	}
	c.Patterns = patterns
}

// maxReplacement bounds what stands in the place of a match.
const maxReplacement = 64

func (o *object) redaction() statement.Pattern {
	p := statement.Pattern{Name: o.label("the difference that a reload makes is told by it")}
	if v, ok := o.need("pattern", "a regular expression (RE2) of what is not to be recorded"); ok {
		if p.Expression, ok = v.str(); ok {
			if err := p.Validate(); err != nil {
				v.errorf("%q: %v", p.Expression, err)
			}
		}
	}
	p.Replace = "<" + p.Name + ">"
	if v, given := o.get("replace"); given {
		var ok bool
		if p.Replace, ok = v.str(); ok && len(p.Replace) > maxReplacement {
			v.errorf("has %d bytes, and may have %d", len(p.Replace), maxReplacement)
		}
	}
	o.done()
	return p
}
