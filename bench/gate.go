package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// gate is a ratio, or a number, that must not be passed. Ratios compare medians
// of interleaved rounds in one run: a busy machine slows both.
type gate struct {
	row, metric string
	against     string // a target; empty where the number itself is bounded
	most        float64
	// fallen is beyond what was ever measured, on machines that were busy otherwise:
	// more is a change for the worse.
	fallen float64
}

// The gates are looser than the targets that docs/performance.md reports on.
var gateRows = []gate{
	{"simple", "cpu_us", pgbouncerName, 0.90, 1.7},
	{"prepared", "cpu_us", pgbouncerName, 0.90, 1.7},
	{"bulk", "cpu_ns_per_byte", pgbouncerName, 0.50, 1.30},
	{"copy out", "cpu_ns_per_byte", pgbouncerName, 0.50, 0.90},
	{"copy in", "cpu_ns_per_byte", pgbouncerName, 0.50, 1.20},
	{"idle", "kb_per_session", "", 24, 30},
}

// tolerant returns the gates that only a fall does not pass.
func tolerant(gates []gate) []gate {
	out := slices.Clone(gates)
	for i := range out {
		out[i].most = out[i].fallen
	}
	return out
}

// gates measures what the gates need, and once more where one falls: twice is no
// accident.
func (b *bench) gates(ctx context.Context, gates []gate) error {
	b.targetsOnly = []string{pgbouncerName, driverName(drivers[0])}
	if err := b.startTargets(ctx); err != nil {
		return err
	}
	fallen := gates
	for range 2 {
		b.result = newResult(ctx, b)
		var err error
		if fallen, err = b.fallenOf(ctx, fallen); err != nil || len(fallen) == 0 {
			return err
		}
	}
	var names []string
	for _, g := range fallen {
		names = append(names, g.row)
	}
	return fmt.Errorf("gates fell, twice: %s", strings.Join(names, ", "))
}

// holds reports whether a value was measured, for nothing costs nothing, and is no more
// than it may be.
func (g gate) holds(value float64) bool { return value > 0 && value <= g.most }

// fallenOf measures the rows of some gates and returns those that fell.
func (b *bench) fallenOf(ctx context.Context, gates []gate) ([]gate, error) {
	var fallen []gate
	for _, g := range gates {
		if b.result.find(g.row, driverName(drivers[0])) == nil { // a COPY is measured both ways at once
			if err := b.gateLoad(ctx, g.row); err != nil {
				return nil, fmt.Errorf("%s: %w", g.row, err)
			}
		}
		value, text := b.judge(g)
		verdict := "holds"
		if !g.holds(value) {
			verdict, fallen = "FALLS", append(fallen, g)
		}
		fmt.Printf("%-8s %s; at most %.2f: %s\n", g.row, text, g.most, verdict)
	}
	return fallen, nil
}

func (b *bench) gateLoad(ctx context.Context, row string) error {
	switch row {
	case "bulk":
		return b.bulk(ctx)
	case "copy out", "copy in":
		return b.copies(ctx)
	case "idle":
		return b.idle(ctx)
	default:
		return b.load(load{row, 8, []string{"-S", "-M", row}})(ctx)
	}
}

func (b *bench) judge(g gate) (value float64, text string) {
	ours := driverName(drivers[0])
	v, _ := b.result.median(g.row, ours, g.metric)
	if g.against == "" {
		return v, fmt.Sprintf("%s %.1f", g.metric, v)
	}
	other, _ := b.result.median(g.row, g.against, g.metric)
	return v / other, fmt.Sprintf("%s %s: %s %s: ratio %.2f", g.metric, ours, b.result.find(g.row, ours).Metrics[g.metric],
		g.against+" "+b.result.find(g.row, g.against).Metrics[g.metric].String(), v/other)
}
