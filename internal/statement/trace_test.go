package statement

import (
	"fmt"
	"strings"
	"testing"
)

const (
	traced   = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
	tracedTo = "5bd66ef5095369c7b0d1f8f4bd33716a c532cb4098ac3dd2"
)

func readTrace(text string) string {
	t := ReadTrace([]byte(text))
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%x %x", t.ID, t.Span)
}

func TestReadTrace(t *testing.T) {
	other := strings.ReplaceAll(traced, "5b", "6b")
	for text, want := range map[string]string{
		"SELECT 1 /*traceparent='" + traced + "'*/":                                                              tracedTo,
		"/*traceparent='" + traced + "'*/ SELECT 1":                                                              tracedTo,
		"SELECT 1 /*action='%2Fp*d',controller='in\\'dex',traceparent='" + traced + "',tracestate='a%3Dt61'*/":   tracedTo,
		"SELECT 1 /*action='%2Fparam*d',controller='index,'framework='spring',\ntraceparent='" + traced + "'*/;": tracedTo,
		"SELECT 1 /* traceparent = '" + traced + "' */":                                                          tracedTo,
		"SELECT 1 /* traceparent=" + traced + " */":                                                              tracedTo,
		"SELECT 1 /*traceparent='" + strings.ReplaceAll(traced, "-", "%2D") + "'*/":                              tracedTo,
		"SELECT 1 /*controller:x,traceparent='" + traced + "'*/":                                                 tracedTo,
		"/*traceparent='" + other + "'*/ SELECT 1 /*traceparent='" + traced + "'*/":                              tracedTo,
		"/*traceparent='" + traced + "'*/ SELECT 1 /*traceparent='x'*/":                                          tracedTo,
		"SELECT 1 /*traceparent='cc" + traced[2:] + "-more'*/":                                                   tracedTo,
		"SELECT 'it''s' /*traceparent='" + traced + "'*/ , $1":                                                   tracedTo,
		"SELECT '/*traceparent=''" + traced + "''*/'":                                                            "",
		"SELECT $$ /*traceparent='" + traced + "'*/ $$":                                                          "",
		"SELECT \"/*traceparent='" + traced + "'*/\"":                                                            "",
		"SELECT 1 -- /*traceparent='" + traced + "'*/":                                                           "",
		"SELECT 1 /*traceparent='" + traced + "'":                                                                "",
		"SELECT 1 /*see traceparent='" + traced + "'*/":                                                          "",
		"SELECT 1 /*a='traceparent=" + traced + "'*/":                                                            "",
		"SELECT 1 /*traceparent='" + traced + "-more'*/":                                                         "",
		"SELECT 1 /*traceparent='" + traced + "0'*/":                                                             "",
		"SELECT 1 /*traceparent='" + traced[:54] + "'*/":                                                         "",
		"SELECT 1 /*traceparent='" + strings.ToUpper(traced) + "'*/":                                             "",
		"SELECT 1 /*traceparent='ff" + traced[2:] + "'*/":                                                        "",
		"SELECT 1 /*traceparent='00-" + strings.Repeat("0", 32) + traced[35:] + "'*/":                            "",
		"SELECT 1 /*traceparent='" + traced[:36] + strings.Repeat("0", 16) + "-01'*/":                            "",
		"SELECT 1 /*traceparent='" + strings.Replace(traced, "5b", "5%", 1) + "'*/":                              "",
		"SELECT 1 /*traceparent='%'*/":                                                                           "",
		"SELECT 1 /*traceparent='%2'*/":                                                                          "",
		"SELECT 1 /*traceparent='\\*/":                                                                           "",
		"SELECT 1 /*traceparent='*/":                                                                             "",
		"SELECT 1 /*traceparent=*/":                                                                              "",
		"SELECT 1 /*traceparent*/":                                                                               "",
		"SELECT 1 /*,,,='',traceparent*/":                                                                        "",
		"traceparent":                                                                                            "",
		"":                                                                                                       "",
		"SELECT 1 /*" + strings.Repeat("x", maxTraceComment) + ",traceparent='" + traced + "'*/":                 "",
		strings.Repeat(" ", maxTraced) + "/*traceparent='" + traced + "'*/":                                      "",
	} {
		if got := readTrace(text); got != want {
			t.Errorf("%.200q: %q, want %q", text, got, want)
		}
	}
}

// Whatever the text, a trace that is found stands in it, spelt out or escaped.
func FuzzReadTrace(f *testing.F) {
	f.Add("SELECT 1 /*traceparent='" + traced + "'*/")
	f.Add("/*a=b,traceparent=" + traced + "*/")
	f.Add("'/*traceparent=%2d\\'")
	f.Fuzz(func(t *testing.T, text string) {
		found := ReadTrace([]byte(text))
		if found.IsZero() {
			return
		}
		if !strings.Contains(text, "%") && !strings.Contains(text, fmt.Sprintf("-%x-%x-", found.ID, found.Span)) {
			t.Fatalf("%x %x is not in %q", found.ID, found.Span, text)
		}
	})
}

func TestReadTraceAllocatesNothing(t *testing.T) {
	for _, text := range tracedTexts() {
		if n := testing.AllocsPerRun(100, func() { ReadTrace(text) }); n != 0 {
			t.Errorf("%v allocations for %s", n, text)
		}
	}
}

func tracedTexts() [][]byte {
	plain := "SELECT abalance, bbalance, tbalance FROM pgbench_accounts JOIN pgbench_branches USING (bid) WHERE aid = $1 AND filler <> 'none' ORDER BY aid LIMIT 100"
	return [][]byte{[]byte(plain), []byte(plain + " /*action='run',traceparent='" + traced + "'*/")}
}

func BenchmarkReadTrace(b *testing.B) {
	for i, text := range tracedTexts() {
		b.Run([]string{"none", "comment"}[i], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ReadTrace(text)
			}
		})
	}
}
