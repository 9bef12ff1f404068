package view

import (
	"strings"
	"testing"
)

// TestEmptyReport: a report of no journal says so itself, for it is read elsewhere.
func TestEmptyReport(t *testing.T) {
	var report, warnings strings.Builder
	err := Report(t.Context(), &report, ReportOptions{Path: t.TempDir(), Warnings: &warnings})
	if err != nil || !strings.Contains(report.String(), "There is no journal") || !strings.Contains(warnings.String(), "holds no journal") {
		t.Errorf("%v, %s, %s", err, report.String(), warnings.String())
	}
}
