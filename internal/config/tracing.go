package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/pgcustos/pgcustos/internal/telemetry/tracing"
)

// Tracing is where spans are sent; without an Endpoint, nowhere.
type Tracing struct {
	tracing.Options

	// words tell the difference to another.
	words string
}

// SameTracing reports whether two configurations trace alike.
func SameTracing(a, b *Config) bool {
	return a.Tracing.words == b.Tracing.words && (a.Tracing.TLS == nil || b.Tracing.TLS == nil || samePool(a.Tracing.TLS.RootCAs, b.Tracing.TLS.RootCAs))
}

func (c *Config) readTracing(root *object) {
	v, given := root.get("tracing")
	if !given {
		return
	}
	o, ok := v.object()
	if !ok {
		return
	}
	t := &c.Tracing
	t.Node = c.Node
	t.Endpoint = o.address("endpoint", "the collector of spans, such as collector.corp.example.com:4317")
	protocol := o.oneOf("protocol", "grpc", "grpc", "http")
	t.HTTP = protocol == "http"
	t.Path = "/v1/traces"
	if v, given := o.get("path"); given {
		if t.Path, ok = v.word(); ok && (!strings.HasPrefix(t.Path, "/") || strings.ContainsAny(t.Path, " ?#%")) {
			v.errorf("%q is not a path such as /v1/traces", t.Path)
		}
		if !t.HTTP {
			v.errorf("is used with protocol: http only: remove it")
		}
	}
	t.Sample = o.fraction("sample", .1)
	texts := o.oneOf("query_text", "none", "none", "masked")
	t.MaskedText = texts == "masked"
	t.ConnectTimeout = o.connectTimeout()
	var mark string
	t.TLS, mark = o.sinkTLSUnlessPlain(t.Endpoint)
	o.done()
	t.words = fmt.Sprintf("to %s (%s, %s, sample %g, query_text %s, timeout %s%s)", t.Endpoint, protocol, t.Path, t.Sample, texts, short(t.ConnectTimeout), mark)
}

// fraction reads a number from 0 to 1.
func (o *object) fraction(key string, otherwise float64) float64 {
	v, ok := o.get(key)
	if !ok {
		return otherwise
	}
	switch v.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
	default:
		v.errorf("expected a number from 0 to 1, got %s", kind(v.node))
		return otherwise
	}
	n, err := strconv.ParseFloat(text(v.node), 64)
	if err != nil || !(n >= 0 && n <= 1) {
		v.errorf("%s is not a number from 0 to 1", text(v.node))
		return otherwise
	}
	return n
}
