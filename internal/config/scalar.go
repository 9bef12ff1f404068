package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// str reads a string. Numbers and truth values are refused and not spelled
// back: 1.20 and 1.2 are one number and two strings.
func (v value) str() (string, bool) {
	switch v.node.(type) {
	case *ast.StringNode, *ast.LiteralNode:
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		v.errorf("expected a string, got %s: put it in quotes", kind(v.node))
		return "", false
	default:
		v.errorf("expected a string, got %s", kind(v.node))
		return "", false
	}
	s := text(v.node)
	if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }); i >= 0 {
		v.errorf("holds a control character, or bytes that are not UTF-8")
		return "", false
	}
	return s, true
}

// word reads a string that is neither empty nor has spaces around it.
func (v value) word() (string, bool) {
	s, ok := v.str()
	if !ok {
		return "", false
	}
	if s == "" {
		v.errorf("is empty: give a value, or remove the key")
		return "", false
	}
	if s != strings.TrimSpace(s) {
		v.errorf("has spaces around %q: remove them", strings.TrimSpace(s))
		return "", false
	}
	return s, true
}

// words reads a list of words, each once.
func (v value) words() []value {
	items := v.items()
	seen := map[string]bool{}
	out := items[:0]
	for _, item := range items {
		s, ok := item.word()
		if !ok {
			continue
		}
		if fold := strings.ToLower(s); seen[fold] {
			item.errorf("%q is listed twice: remove one", s)
		} else {
			seen[fold] = true
			out = append(out, item)
		}
	}
	return out
}

func (o *object) str(key, otherwise string) string {
	if v, ok := o.get(key); ok {
		if s, ok := v.str(); ok {
			return s
		}
	}
	return otherwise
}

func (o *object) needWord(key, why string) string {
	if v, ok := o.need(key, why); ok {
		s, _ := v.word()
		return s
	}
	return ""
}

// oneOf reads a word out of a few.
func (o *object) oneOf(key, otherwise string, choices ...string) string {
	v, ok := o.get(key)
	if !ok {
		return otherwise
	}
	s, ok := v.str()
	if !ok {
		return otherwise
	}
	for _, c := range choices {
		if s == c {
			return s
		}
	}
	v.errorf("%q is not one of %s", s, strings.Join(choices, ", "))
	return otherwise
}

// truth reads true or false.
func (o *object) truth(key string) bool {
	v, ok := o.get(key)
	if !ok {
		return false
	}
	b, ok := v.node.(*ast.BoolNode)
	if !ok {
		v.errorf("expected true or false, got %s", kind(v.node))
		return false
	}
	return b.Value
}

// integer reads a whole number between least and most.
func (o *object) integer(key string, otherwise, least, most int) int {
	v, ok := o.get(key)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text(v.node), "_", ""))
	if _, number := v.node.(*ast.IntegerNode); !number || err != nil {
		v.errorf("expected a whole number, got %s", kind(v.node))
		return otherwise
	}
	if n < least || n > most {
		v.errorf("%d is out of range: from %d to %d", n, least, most)
		return otherwise
	}
	return n
}

// duration reads a time such as 30s, 1m30s or 12h between least and most.
func (o *object) duration(key string, otherwise, least, most time.Duration) time.Duration {
	v, ok := o.get(key)
	if !ok {
		return otherwise
	}
	if n, number := v.node.(*ast.IntegerNode); number {
		v.errorf("%s has no unit: write 500ms, 30s, 5m or 12h", text(n))
		return otherwise
	}
	s, ok := v.str()
	if !ok {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		v.errorf("%q is not a duration: write 500ms, 30s, 5m or 12h", s)
		return otherwise
	}
	if d < least || d > most {
		v.errorf("%s is out of range: from %s to %s", s, short(least), short(most))
		return otherwise
	}
	return d
}

// short prints a duration without its zero parts: 12h instead of 12h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var sizeUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// size reads a number of bytes such as 64MiB between least and most.
func (o *object) size(key string, otherwise, least, most int64) int64 {
	v, ok := o.get(key)
	if !ok {
		return otherwise
	}
	n, err := parseSize(text(v.node))
	switch v.node.(type) {
	case *ast.StringNode, *ast.LiteralNode:
	default:
		v.errorf("expected a size with its unit, such as 512KiB, 64MiB or 1GiB, got %s", kind(v.node))
		return otherwise
	}
	if err != nil {
		v.errorf("%v", err)
		return otherwise
	}
	if n < least || n > most {
		v.errorf("%s is out of range: from %s to %s", text(v.node), printSize(least), printSize(most))
		return otherwise
	}
	return n
}

func parseSize(s string) (int64, error) {
	for _, u := range sizeUnits {
		digits, found := strings.CutSuffix(s, u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.factor {
			break
		}
		return n * u.factor, nil
	}
	return 0, fmt.Errorf("%q is not a size: write a whole number and KiB, MiB or GiB, such as 64MiB", s)
}

func printSize(n int64) string {
	for i := len(sizeUnits) - 2; i >= 0; i-- {
		if u := sizeUnits[i]; n >= u.factor && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
