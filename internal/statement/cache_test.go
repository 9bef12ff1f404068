package statement

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func judged(text string) *Judgement {
	return &Judgement{Statements: []Statement{{Command: "SELECT", Class: Read, Text: text}}, Class: Read}
}

func TestCacheIsBounded(t *testing.T) {
	const bound = 256 << 10
	c := newCache(bound)
	for i := range 20_000 {
		text := fmt.Sprintf("SELECT %d", i)
		c.put(text, judged(text))
		c.get([]byte("SELECT 0"), UTF8)
	}
	var s Stats
	c.stats(&s)
	if s.CacheBytes > bound || s.CacheBytes < bound/2 || s.Entries == 0 || s.Evictions == 0 {
		t.Errorf("%+v", s)
	}
	if _, _, ok := c.get([]byte("SELECT 0"), UTF8); !ok {
		t.Error("what is asked for all the time was thrown out")
	}
}

func TestCacheKeepsOnlyWhatItMay(t *testing.T) {
	c := newCache(64 << 20)
	redacted, long := judged("a"), strings.Repeat(" ", maxCachedText+1)
	redacted.Form = Redacted
	c.put("a", redacted)
	c.put("b", UnknownText([]byte("b"), CauseSyntax))
	c.put(long, judged(long))
	c.put("é", judged("é"))
	for _, text := range []string{"a", "b", long} {
		if _, _, ok := c.get([]byte(text), UTF8); ok {
			t.Errorf("%.10q is kept", text)
		}
	}
	if _, _, ok := c.get([]byte("é"), UTF8); !ok {
		t.Error("not kept")
	}
	if _, _, ok := c.get([]byte("é"), Other); ok {
		t.Error("given for another encoding")
	}
}

func TestCacheInParallel(t *testing.T) {
	c := newCache(64 << 10)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				text := fmt.Sprint((g + i) % 500)
				c.put(text, judged(text))
				if j, _, ok := c.get([]byte(text), UTF8); ok && j.Statements[0].Text != text {
					t.Errorf("%q is given for %q", j.Statements[0].Text, text)
				}
			}
		})
	}
	wg.Wait()
}
