// Package plot draws the few kinds of diagrams that the benchmarks need, as SVG
// by itself: no script, no font, no link to anything.
package plot
