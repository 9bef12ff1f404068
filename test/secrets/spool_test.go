package secrets

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// spooled is what stands in the file that a large message waits in, while half of it
// is there: the proxy has not judged it, so it may hold anything.
func (p *place) spooled(t *testing.T, g *garden) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := p.enter(t, "full", "").Hijack()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Conn.Close() //nolint:errcheck // it ends in the middle of a message
	const half = 3 << 20
	text := strings.Repeat("SELECT '"+g.secret("text in the spool")+"';", half/30)
	head := binary.BigEndian.AppendUint32([]byte{'Q'}, uint32(2*len(text)))
	if _, err := conn.Conn.Write(append(head, text...)); err != nil {
		t.Fatal(err)
	}
	var found []byte
	err = testkit.WaitFor(ctx, func() error {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.ProxyPID()))
		if err != nil {
			return err
		}
		for _, file := range files {
			to, _ := os.Readlink(file) // it may be closed by now
			if !strings.HasSuffix(to, "(deleted)") || !strings.HasPrefix(to, p.Dir) {
				continue
			}
			if found, _ = os.ReadFile(file); len(found) > half/2 {
				return nil
			}
		}
		return fmt.Errorf("no file of the proxy's holds the message: the last has %d bytes", len(found))
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(found, []byte{0}); n > len(found)/64 {
		t.Errorf("%d of the spool's %d bytes are 0: nothing can be said of it", n, len(found))
	}
	return found
}
