//go:build !linux

package succession

import (
	"context"
	"errors"
	"log/slog"
	"os"
)

// Incumbent waits for an heir, on Linux.
type Incumbent struct{}

// Listen fails: the proxy serves on Linux only.
func Listen(string, Office, *slog.Logger) (*Incumbent, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (i *Incumbent) Close() error { return nil }

// Find finds nobody: the proxy serves on Linux only.
func Find(context.Context, string, *slog.Logger) (*Predecessor, error) { return nil, ErrNobody }

func hasEnded(*os.File) bool { return false }
