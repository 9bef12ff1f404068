package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

// tour shows what the proxy does, a command and its answer at a time, and fails
// when an answer is not what the tour is about to explain.
type tour struct {
	out  io.Writer
	site *testkit.Site
}

func (t *tour) step(s string)    { fmt.Fprintf(t.out, "· %s\n", s) }
func (t *tour) chapter(s string) { fmt.Fprintf(t.out, "\n━━ %s\n", s) }

// visit is one psql command.
type visit struct {
	user, password string
	database       string // orders where it is empty
	options        string
	commands       []string
	expect         []string // what the answer holds
}

func (t *tour) take(ctx context.Context) error {
	for _, chapter := range []struct {
		title  string
		visits []visit
	}{
		{"Alice is in APP-Orders-Readers only through Team-Desk. She reads.", []visit{
			alice([]string{"SELECT id, status FROM orders ORDER BY id LIMIT 3"}, "paid"),
		}},
		{"What her rule does not give is denied before it reaches PostgreSQL.", []visit{
			alice([]string{"DELETE FROM orders"}, "42501", "orders-readers", "Incident", "HINT"),
			alice([]string{"DROP TABLE orders"}, "42501", "Incident"),
		}},
		{"In a transaction the error is PostgreSQL's own: the transaction is aborted.", []visit{
			alice([]string{"BEGIN", "SELECT count(*) FROM orders", "DELETE FROM orders", "SELECT 1", "COMMIT"}, "42501", "25P02", "ROLLBACK"),
		}},
		{"Bob may migrate. He asks for that role, and says why.", []visit{
			{
				user: "bob", password: testkit.BobPassword, options: "-c pgcustos.role=migrate_orders -c pgcustos.reason=CHG-7",
				commands: []string{"SELECT current_user", "ALTER TABLE orders ADD COLUMN shipped_by text", "ALTER TABLE orders DROP COLUMN shipped_by"},
				expect:   []string{"migrate_orders", "ALTER TABLE", "tag destructive"},
			},
		}},
		{"A wrong password, a disabled account, an account that no rule names: one message.", []visit{
			{user: "alice", password: "not her password", commands: []string{"SELECT 1"}, expect: []string{"authentication failed for user"}},
			{user: "dave", password: testkit.DavePassword, commands: []string{"SELECT 1"}, expect: []string{"authentication failed for user"}},
			{user: "carol", password: testkit.CarolPassword, commands: []string{"SELECT 1"}, expect: []string{"authentication failed for user"}},
		}},
	} {
		t.chapter(chapter.title)
		for _, v := range chapter.visits {
			if err := t.visit(ctx, v); err != nil {
				return err
			}
		}
	}
	if err := t.ticket(ctx); err != nil {
		return err
	}
	if err := t.ledger(ctx); err != nil {
		return err
	}
	if err := t.application(ctx); err != nil {
		return err
	}
	if err := t.evidence(ctx); err != nil {
		return err
	}
	return t.auditors(ctx)
}

func alice(commands []string, expect ...string) visit {
	return visit{user: "alice", password: testkit.AlicePassword, commands: commands, expect: expect}
}

// visit runs psql, prints the command as a person would type it, and its answer.
func (t *tour) visit(ctx context.Context, v visit) error {
	if v.database == "" {
		v.database = testkit.OrdersDatabase
	}
	shown := fmt.Sprintf("$ psql -h %s -p %d -U %s %s", t.site.Host, t.site.Port, v.user, v.database)
	if v.options != "" {
		shown = fmt.Sprintf("$ PGOPTIONS='%s' %s", v.options, shown[2:])
	}
	return t.psql(ctx, shown, t.site.DSN(v.user, "", v.database), v)
}

// psql runs the commands of a visit wherever dsn says.
func (t *tour) psql(ctx context.Context, shown, dsn string, v visit) error {
	args := []string{dsn, "-X", "--set=VERBOSITY=verbose"}
	for _, c := range v.commands {
		args = append(args, "-c", c)
		shown += fmt.Sprintf(" \\\n    -c %q", c)
	}
	fmt.Fprintln(t.out, shown)
	cmd := exec.CommandContext(ctx, "psql", args...)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+v.password, "PGOPTIONS="+v.options, "PSQL_PAGER=",
		"PGGSSENCMODE=disable") // whoever runs the tour may hold tickets of another domain
	return t.answer(cmd, v.expect)
}

// ticket logs Alice on to the domain; from then on she types no password.
func (t *tour) ticket(ctx context.Context) error {
	t.chapter("Alice is logged on to the domain: her Kerberos ticket will do, and nobody asks for a password.")
	tickets, err := t.site.Controller.Kinit(ctx, filepath.Join(t.site.Dir, "alice.tickets"), "alice", testkit.AlicePassword)
	if err != nil {
		return err
	}
	const sql = "SELECT count(*) || ' orders' FROM orders"
	fmt.Fprintf(t.out, "$ kinit alice@%s\n$ psql -h %s -p %d -U alice orders -c %q\n", testkit.Realm, testkit.ProxyName, t.site.Port, sql)
	cmd := exec.CommandContext(ctx, "psql", t.site.TicketDSN("alice", "orders"), "-Xtwc", sql)
	cmd.Env = append(os.Environ(), tickets.Environment...)
	return t.answer(cmd, []string{" orders"})
}

// answer runs a command, prints what it says, and checks it. The exit status is
// part of the show: psql ends with 1 where the last command was refused.
func (t *tour) answer(cmd *exec.Cmd, expect []string) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	for line := range strings.SplitSeq(strings.TrimRight(said.String(), "\n"), "\n") {
		fmt.Fprintf(t.out, "  %s\n", line)
	}
	for _, e := range expect {
		if !strings.Contains(said.String(), e) {
			return fmt.Errorf("the answer does not say %q\n%s", e, t.site.LogTail())
		}
	}
	return nil
}

// application runs the same program against PostgreSQL and through the proxy:
// only its connection string changes.
func (t *tour) application(ctx context.Context) error {
	t.chapter("An application: the same program, directly and through the proxy.")
	program := filepath.Join(t.site.Dir, "app")
	if err := t.build(ctx, program); err != nil {
		return err
	}
	direct := t.site.Postgres.DSN("app_rw_orders", testkit.OrdersRoles()["app_rw_orders"], "orders")
	proxied := t.site.DSN("svc-orders", testkit.OrdersPassword, "orders")
	var answers []string
	for _, c := range []struct{ how, dsn string }{{"directly, with a database password", direct}, {"through the proxy, as svc-orders of the domain", proxied}} {
		fmt.Fprintf(t.out, "$ DATABASE_URL=… app        # %s\n", c.how)
		cmd := exec.CommandContext(ctx, program)
		cmd.Env = []string{"DATABASE_URL=" + c.dsn}
		said, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("the application: %w\n%s", err, said)
		}
		fmt.Fprintf(t.out, "  %s\n", strings.ReplaceAll(strings.TrimSpace(string(said)), "\n", "\n  "))
		answers = append(answers, string(said))
	}
	if answers[0] != answers[1] {
		return errors.New("the application's answers differ")
	}
	return nil
}

func (t *tour) build(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "./internal/testkit/demo/app")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	return nil
}

// evidence shows what was recorded of all that.
func (t *tour) evidence(ctx context.Context) error {
	t.chapter("Who did what, when, from where, under which role, and what came of it:")
	for _, q := range []struct {
		args   []string
		expect []string
	}{
		{nil, []string{"alice", "bob", "svc-orders", "DENIED", "migrate_orders"}},
		{[]string{"--decision", "denied"}, []string{"wrong password", "disabled", "no matching rule", "destructive"}},
	} {
		if err := t.query(ctx, q.args, q.expect); err != nil {
			return err
		}
	}
	return nil
}

func (t *tour) query(ctx context.Context, args, expect []string) error {
	fmt.Fprintf(t.out, "$ pgcustos audit query %s\n", strings.Join(args, " "))
	args = append([]string{"audit", "query", "--config", t.site.ConfigFile}, args...)
	return t.answer(exec.CommandContext(ctx, t.site.Binary, args...), expect)
}

// invite tells how to go on by hand.
func (t *tour) invite() {
	t.chapter("Everything goes on running. Try it:")
	fmt.Fprintf(t.out, `  PGPASSWORD=%s psql "%s"
  PGPASSWORD=%s psql "%s"
  %s audit tail -f --config %s
  %s explain --config %s --user bob --source 127.0.0.1 --database orders
  make demo-stop
`, testkit.AlicePassword, t.site.DSN("alice", "", "orders"), testkit.BobPassword, t.site.DSN("bob", "", "orders"),
		t.site.Binary, t.site.ConfigFile, t.site.Binary, t.site.ConfigFile)
}
