package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// keytabFile is the keytab with the keys of ProxyPrincipal, below a controller's
// directory.
const keytabFile = "private/postgres.keytab"

// Keytab returns the path of the keytab that holds the keys of ProxyPrincipal,
// as they were when the domain was made.
func (c *Controller) Keytab() string { return filepath.Join(c.Dir, keytabFile) }

// ExportKeytab adds the keys that a principal has now to a keytab.
func (c *Controller) ExportKeytab(ctx context.Context, file, principal string) error {
	return exportKeytab(ctx, c.configFile(), file, principal)
}

func exportKeytab(ctx context.Context, conf, file, principal string) error {
	tool, err := lookTool("samba-tool", "samba")
	if err != nil {
		return err
	}
	return run(exec.CommandContext(ctx, tool, "domain", "exportkeytab", file, "--principal="+principal, "-s", conf))
}

// Krb5Conf returns the path of the Kerberos configuration of the domain's
// clients.
func (c *Controller) Krb5Conf() string { return filepath.Join(c.Dir, "krb5.conf") }

func (c *Controller) writeKrb5Conf() error {
	conf := fmt.Sprintf(`[libdefaults]
default_realm = %[1]s
dns_lookup_kdc = false
dns_lookup_realm = false
rdns = false
dns_canonicalize_hostname = false
udp_preference_limit = 1
[realms]
%[1]s = {
  kdc = %[2]s
}
[domain_realm]
.%[3]s = %[1]s
%[3]s = %[1]s
`, c.names.Realm, c.Addr, c.names.Domain)
	return os.WriteFile(c.Krb5Conf(), []byte(conf), 0o644)
}

// WebAccount is the account that Impersonate makes.
const WebAccount = "svc-web"

// Impersonate makes a service that the domain lets act for anybody at the proxy (constrained
// delegation with protocol transition), and has it get a ticket in somebody's name, without
// their password, into a file. It is for once.
func (c *Controller) Impersonate(ctx context.Context, dir, account string) (cache string, t Tickets, err error) {
	const principal, password, trusted = "http/web.corp.example.com", "Acts-f0r-Others", 0x1000000 // TRUSTED_TO_AUTH_FOR_DELEGATION
	if err := c.CreateUser(ctx, WebAccount, password); err != nil {
		return "", t, err
	}
	for _, a := range [][2]string{
		{"servicePrincipalName", principal}, {"msDS-AllowedToDelegateTo", ProxyPrincipal}, {"userAccountControl", strconv.Itoa(normalAccount | trusted)},
	} {
		if err := c.SetAttribute(ctx, WebAccount, a[0], a[1]); err != nil {
			return "", t, err
		}
	}
	keytab := filepath.Join(dir, WebAccount+".keytab")
	if err := c.ExportKeytab(ctx, keytab, WebAccount); err != nil {
		return "", t, err
	}
	own, err := c.Kinit(ctx, filepath.Join(dir, WebAccount), WebAccount, password, "-f")
	if err != nil {
		return "", t, err
	}
	kvno, err := lookTool("kvno", "krb5-user")
	if err != nil {
		return "", t, err
	}
	cache = filepath.Join(dir, account)
	cmd := exec.CommandContext(ctx, kvno, "-k", keytab, "-U", account, "-P", "--out-cache", "FILE:"+cache, ProxyPrincipal)
	cmd.Env = append(os.Environ(), own.Environment...)
	return cache, Tickets{Environment: []string{"KRB5CCNAME=FILE:" + cache, "KRB5_CONFIG=" + c.Krb5Conf()}}, run(cmd)
}

// Tickets is the environment of a program that holds an account's tickets.
type Tickets struct{ Environment []string }

// Kinit logs an account on by its password and puts the tickets into a file.
// Options go to kinit: "-l", "4s", "-S", principal.
func (c *Controller) Kinit(ctx context.Context, cache, account, password string, options ...string) (Tickets, error) {
	kinit, err := lookTool("kinit", "krb5-user")
	if err != nil {
		return Tickets{}, err
	}
	t := Tickets{Environment: []string{"KRB5CCNAME=FILE:" + cache, "KRB5_CONFIG=" + c.Krb5Conf()}}
	cmd := exec.CommandContext(ctx, kinit, append(options, account)...)
	cmd.Env = append(os.Environ(), t.Environment...)
	cmd.Stdin = strings.NewReader(password + "\n")
	return t, run(cmd)
}
