//go:build !unix

package stdout

import (
	"context"
	"os"
)

func write(_ context.Context, out *os.File, b []byte) (int, error) { return out.Write(b) }
