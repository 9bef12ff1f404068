package crowds

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// holdings are what the proxy has: memory that no file stands behind, in MiB,
// descriptors, and goroutines.
type holdings struct{ memory, descriptors, goroutines float64 }

func (h holdings) String() string {
	return fmt.Sprintf("%4.0f %6.0f %6.0f", h.memory, h.descriptors, h.goroutines)
}

// anonymous is the memory of a process that no file stands behind, in bytes.
func anonymous(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kB, _, _ := strings.Cut(rest, "kB")
	n, err := strconv.ParseInt(strings.TrimSpace(kB), 10, 64)
	return n << 10, err
}

func descriptors(pid int) (int, error) {
	d, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return len(names), err
}

// metric reads one of the proxy's metrics without labels.
func metric(t *testing.T, s *testkit.Site, name string) float64 {
	t.Helper()
	var all strings.Builder
	if err := s.Get(t.Context(), "/metrics", &all); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut("\n"+all.String(), "\n"+name+" ")
	line, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(line, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

func held(t *testing.T, s *testkit.Site) holdings {
	t.Helper()
	memory, err := anonymous(s.ProxyPID())
	if err != nil {
		t.Fatal(err)
	}
	n, err := descriptors(s.ProxyPID())
	if err != nil {
		t.Fatal(err)
	}
	return holdings{float64(memory) / (1 << 20), float64(n), metric(t, s, "go_goroutines")}
}

// peak watches what a process holds until stop is called.
func peak(pid int) (stop func() holdings) {
	var most holdings
	var watch sync.WaitGroup
	end := make(chan struct{})
	watch.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if memory, err := anonymous(pid); err == nil {
				most.memory = max(most.memory, float64(memory)/(1<<20))
			}
			if n, err := descriptors(pid); err == nil {
				most.descriptors = max(most.descriptors, float64(n))
			}
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	})
	return func() holdings {
		close(end)
		watch.Wait()
		return most
	}
}

// said counts the lines of the proxy's log, and its bytes.
func said(t *testing.T, s *testkit.Site) (lines int) {
	t.Helper()
	f, err := os.Open(s.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := f.Read(b)
		lines += bytes.Count(b[:n], []byte{'\n'})
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
