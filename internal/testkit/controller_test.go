package testkit

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// finds reports whether the filter finds exactly one account.
func finds(t *testing.T, c *Controller, filter string) bool {
	t.Helper()
	dns, err := c.search(t.Context(), BaseDN, "sub", filter, "1.1")
	if err != nil {
		t.Fatal(err)
	}
	return len(dns) == 1
}

func TestSeed(t *testing.T) {
	c := SharedController(t)
	for _, u := range theSeed().Users {
		filter := "(&(sAMAccountName=" + escapeFilter(u.Account) + ")(cn=" + escapeFilter(u.Name) + "))"
		if !finds(t, c, filter) {
			t.Errorf("no %s", filter)
		}
	}
	for account, condition := range map[string]string{
		"alice": "(memberOf:1.2.840.113556.1.4.1941:=CN=" + GroupReaders + ",OU=Groups," + BaseDN + ")",
		"dave":  "(userAccountControl:1.2.840.113556.1.4.803:=2)",
		"erin":  "(!(accountExpires=9223372036854775807))",
		"frank": "(pwdLastSet=0)",
		"grace": "(lockoutTime>=1)",
		"heidi": "(!(pwdLastSet>=133000000000000000))", // before June 2022
		"ivan":  "(!(userPrincipalName=*))",
	} {
		if !finds(t, c, "(&(sAMAccountName="+account+")"+condition+")") {
			t.Errorf("%s: not %s", account, condition)
		}
	}
}

func TestAdministration(t *testing.T) {
	c := SharedController(t)
	ctx := timeout(t, time.Minute)
	const who, group = "näme (1)", "Gruppe (1)"
	for _, step := range []struct {
		what   string
		do     func() error
		filter string // finds one account afterwards
	}{
		{"create", func() error { return c.CreateUser(ctx, who, "First-Passw0rd") }, "(userPrincipalName=" + escapeFilter(who) + "@" + Domain + ")"},
		{"group", func() error { return c.CreateGroup(ctx, group) }, "(sAMAccountName=" + escapeFilter(group) + ")"},
		{"add", func() error { return c.AddToGroup(ctx, who, group) }, "(&(objectClass=group)(member=*)(sAMAccountName=" + escapeFilter(group) + "))"},
		{"remove", func() error { return c.RemoveFromGroup(ctx, who, group) }, "(&(objectClass=group)(!(member=*))(sAMAccountName=" + escapeFilter(group) + "))"},
		{"disable", func() error { return c.Disable(ctx, who) }, "(&(sAMAccountName=" + escapeFilter(who) + ")(userAccountControl=514))"},
		{"enable", func() error { return c.Enable(ctx, who) }, "(&(sAMAccountName=" + escapeFilter(who) + ")(userAccountControl=512))"},
		{"expire", func() error { return c.SetExpiry(ctx, who, time.Unix(0, 0)) }, "(&(sAMAccountName=" + escapeFilter(who) + ")(accountExpires=116444736000000000))"},
		{"never expire", func() error { return c.SetExpiry(ctx, who, time.Time{}) }, "(&(sAMAccountName=" + escapeFilter(who) + ")(accountExpires=0))"},
		{"password", func() error { return c.SetPassword(ctx, who, "Sec0nd-Password") }, "(sAMAccountName=" + escapeFilter(who) + ")"},
		{"unlock", func() error { return c.Unlock(ctx, who) }, "(&(sAMAccountName=" + escapeFilter(who) + ")(lockoutTime=0))"},
		{"rename", func() error { return c.Rename(ctx, who, "other") }, "(&(cn=other)(sAMAccountName=other)(userPrincipalName=other@" + Domain + "))"},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if !finds(t, c, step.filter) {
			t.Errorf("%s: not %s", step.what, step.filter)
		}
	}
	if err := c.Delete(ctx, "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DN(ctx, "other"); err == nil {
		t.Error("a deleted account is still there")
	}
}

func TestControllerFaults(t *testing.T) {
	c := NewController(t, Options{})
	ctx := timeout(t, time.Minute)
	if err := greet(ctx, c, time.Second); err != nil {
		t.Fatal(err)
	}
	if err := c.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := greet(ctx, c, 200*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("frozen: %v", err)
	}
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := greet(ctx, c, 5*time.Second); err != nil {
		t.Errorf("thawed: %v", err)
	}
	if err := c.CreateUser(ctx, "kept", "Is-Kept-0n-Disk"); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func() error{c.Kill, c.Shutdown} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := greet(ctx, c, time.Second); err == nil {
			t.Error("it still answers")
		}
		if err := c.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.DN(ctx, "kept"); err != nil {
			t.Error(err)
		}
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
}

// greet makes a TLS connection by the name of the certificate.
func greet(ctx context.Context, c *Controller, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: c.CA.Pool(), ServerName: ControllerName, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(c.Addr.String(), "636"))
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestCreateGroups(t *testing.T) {
	c := NewController(t, Options{})
	if err := c.CreateGroups(t.Context(), "carol", "Many", 50); err != nil {
		t.Fatal(err)
	}
	groups, err := c.search(t.Context(), BaseDN, "sub", "(&(sAMAccountName=Many-*)(member=CN=Carol Clark,OU=People,"+BaseDN+"))")
	if err != nil || len(groups) != 50 {
		t.Errorf("%d groups, %v", len(groups), err)
	}
}
