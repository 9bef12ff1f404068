package main

import (
	"math"
	"slices"
)

// stat is what the rounds of one measurement gave.
type stat struct {
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Samples []float64 `json:"samples"`
}

func (s *stat) add(v float64) {
	s.Samples = append(s.Samples, round(v))
	sorted := slices.Sorted(slices.Values(s.Samples))
	s.Min, s.Median, s.Max = sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]
}

// round keeps four digits: the rest is noise.
func round(v float64) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-3)
	return math.Round(math.Round(v/unit)*unit*1e6) / 1e6
}

// percentile returns the value below which a share of the sorted values lies.
func percentile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
