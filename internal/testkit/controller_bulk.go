package testkit

import (
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"strings"
)

//go:embed bulk.py
var bulkScript string

// CreateGroups makes n groups whose names begin with prefix, and one account a
// member of each, all in one go.
func (c *Controller) CreateGroups(ctx context.Context, member, prefix string, n int) error {
	memberDN, err := c.DN(ctx, member)
	if err != nil {
		return err
	}
	var records strings.Builder
	for i := range n {
		name := fmt.Sprintf("%s-%d", prefix, i)
		records.WriteString(ldif(
			"dn", "CN="+escapeDN(name)+",OU="+ouGroups+","+c.names.BaseDN, "changetype", "add",
			"objectClass", "group", "sAMAccountName", name, "member", memberDN) + "\n")
	}
	python := exec.CommandContext(ctx, "/usr/bin/python3", "-c", bulkScript, c.configFile())
	python.Stdin = strings.NewReader(records.String())
	return run(python)
}

// Move puts an account into another organisational unit.
func (c *Controller) Move(ctx context.Context, account, ou string) error {
	dn, err := c.DN(ctx, account)
	if err != nil {
		return err
	}
	return c.modify(ctx, ldif("dn", dn, "changetype", "modrdn", "newrdn", "CN="+escapeDN(account), "deleteoldrdn", "1",
		"newsuperior", "OU="+ou+","+c.names.BaseDN))
}

// LockOut sends wrong passwords until the domain locks the account.
func (c *Controller) LockOut(ctx context.Context, account string) error {
	dn, err := c.DN(ctx, account)
	if err != nil {
		return err
	}
	for range LockoutThreshold + 1 {
		cmd, err := c.tool(ctx, "ldapsearch", "-b", "", "-s", "base")
		if err != nil {
			return err
		}
		for i, arg := range cmd.Args {
			switch arg {
			case c.administrator():
				cmd.Args[i] = dn
			case AdministratorPassword:
				cmd.Args[i] = "Wr0ng-" + AdministratorPassword
			}
		}
		_ = cmd.Run() // it fails: that is what it is for
	}
	locked, err := c.Attributes(ctx, account, "lockoutTime")
	if err == nil && (locked["lockoutTime"] == "" || locked["lockoutTime"] == "0") {
		err = fmt.Errorf("%s is not locked out", account)
	}
	return err
}
