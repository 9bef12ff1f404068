package testkit

import (
	"context"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	os.Exit(Main(m))
}

// childDir makes the test binary start servers in this directory, print their
// process ids, and wait to be killed.
const childDir = "PGCUSTOS_TESTKIT_CHILD"

func child(dir string) {
	c, err := StartController(context.Background(), dir+"/c", Options{})
	if err == nil {
		var p *Postgres
		if p, err = StartPostgres(context.Background(), dir+"/p", PostgresOptions{}); err == nil {
			fmt.Println(c.PID(), p.PID())
			select {}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
