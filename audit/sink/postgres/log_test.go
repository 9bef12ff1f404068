package postgres_test

import (
	"encoding/hex"
	"log/slog"
	"strconv"
	"testing"
)

func testLog(tb testing.TB) *slog.Logger {
	tb.Helper()
	return slog.New(slog.NewTextHandler(tb.Output(), nil))
}

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
