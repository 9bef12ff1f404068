package testkit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Options say how to start a controller. The zero value will do.
type Options struct {
	// CA signs the controller's certificate; one of its own where it is nil.
	CA *CA
	// Certificate is shown instead of one that is in order.
	Certificate *Certificate
	// Other makes it a controller of OTHER.EXAMPLE instead, a domain of its own.
	Other bool
	// Detached lets the controller outlive the program that started it.
	Detached bool
}

// Controller is a running domain controller of CORP.EXAMPLE.COM, or OTHER.EXAMPLE, a copy of its
// own of the seeded directory. Copies have the same SIDs and GUIDs, but nothing
// replicates between them.
type Controller struct {
	Dir    string
	Addr   netip.Addr // 127.x.y.z, its alone
	URL    string     // ldaps://127.x.y.z:636
	CA     *CA
	CAFile string // PEM

	options   Options
	names     names
	temporary bool
	process   *process
}

// startTimeout bounds what any server may take until it answers.
const startTimeout = 60 * time.Second

// StartController starts a domain controller in dir, which must be empty or
// absent; an empty name stands for a temporary directory that Stop removes. The
// first call on a machine provisions the domain, which takes some seconds.
func StartController(ctx context.Context, dir string, options Options) (*Controller, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*startTimeout)
	defer cancel()
	n := corp
	if options.Other {
		n = other
	}
	packed, err := image(ctx, n)
	if err != nil {
		return nil, err
	}
	dir, temporary, err := prepareDir(dir, "pgcd")
	if err != nil {
		return nil, err
	}
	c := &Controller{Dir: dir, options: options, names: n, temporary: temporary, CA: options.CA}
	if err := c.start(ctx, packed); err != nil {
		return nil, errors.Join(fmt.Errorf("start a domain controller: %w", err), c.Stop())
	}
	return c, nil
}

func (c *Controller) start(ctx context.Context, packed string) error {
	if err := run(exec.CommandContext(ctx, "tar", "-C", c.Dir, "-xf", packed)); err != nil {
		return err
	}
	var err error
	if c.Addr, err = freeAddress(controllerPorts); err != nil {
		return err
	}
	c.URL = "ldaps://" + c.Addr.String() + ":636"
	if err := c.writeCertificates(); err != nil {
		return err
	}
	if err := c.writeConfig(); err != nil {
		return err
	}
	if err := c.writeKrb5Conf(); err != nil {
		return err
	}
	return c.Start(ctx)
}

func (c *Controller) writeCertificates() error {
	var err error
	if c.CA == nil {
		if c.CA, err = NewCA(c.names.NetBIOS + " test CA"); err != nil {
			return err
		}
	}
	if c.CAFile, err = c.CA.Write(c.Dir, "ca"); err != nil {
		return err
	}
	cert := c.options.Certificate
	if cert == nil {
		cert, err = c.CA.Issue(Leaf{CommonName: c.names.Controller, Names: []string{c.names.Controller}, Addresses: []netip.Addr{c.Addr}})
		if err != nil {
			return err
		}
	}
	_, _, err = cert.Write(c.Dir, "dc")
	return err
}

func (c *Controller) configFile() string { return filepath.Join(c.Dir, "smb.conf") }
func (c *Controller) logFile() string    { return filepath.Join(c.Dir, "samba.log") }

func (c *Controller) writeConfig() error {
	var b strings.Builder
	fmt.Fprintf(&b, `[global]
netbios name = DC1
realm = %s
workgroup = %s
server role = active directory domain controller
server services = ldap, kdc
dcerpc endpoint servers =
bind interfaces only = yes
interfaces = %s/8
ldap server require strong auth = allow_sasl_over_tls
tls enabled = yes
tls keyfile = %[4]s/dc.key
tls certfile = %[4]s/dc.crt
tls cafile = %[4]s/ca.crt
private dir = %[4]s/private
state directory = %[4]s/state
log level = 1
`, c.names.Realm, c.names.NetBIOS, c.Addr, c.Dir)
	// With a bare address instead of one with /8, samba runs and listens nowhere.
	for option, name := range map[string]string{
		"cache directory":            "cache",
		"lock directory":             "lock",
		"pid directory":              "pid",
		"ncalrpc dir":                "rpc",
		"winbindd socket directory":  "wb",
		"ntp signd socket directory": "ntp",
		"binddns dir":                "dns",
	} {
		path := filepath.Join(c.Dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s = %s\n", option, path)
	}
	return os.WriteFile(c.configFile(), []byte(b.String()), 0o600)
}

// Start starts a controller again that was killed or shut down, with the
// directory and the address that it had.
func (c *Controller) Start(ctx context.Context) error {
	samba, err := lookTool("samba", "samba")
	if err != nil {
		return err
	}
	// Of the process models only "single" notifies of changes without a delay.
	cmd := exec.Command(samba, "-F", "--no-process-group", "-M", "single", "-s", c.configFile(), "--debug-stdout")
	if c.process, err = startProcess("samba", c.logFile(), cmd, c.options.Detached); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = WaitFor(ctx, func() error {
		if err := c.process.alive(); err != nil {
			return err
		}
		_, err := c.search(ctx, "", "base", "(objectClass=*)", "defaultNamingContext")
		return err
	})
	if err != nil {
		return fmt.Errorf("the domain controller does not answer: %w\n%s", err, c.process.logTail())
	}
	return nil
}

// PID returns the process id of samba.
func (c *Controller) PID() int { return c.process.pid }

// LogTail returns the end of samba's log.
func (c *Controller) LogTail() string { return c.process.logTail() }

// Freeze stops the controller in its tracks (SIGSTOP): connections stay open,
// new ones are accepted by the kernel, and nothing answers. Thaw lets it go on.
func (c *Controller) Freeze() error { return c.process.signalGroup(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (c *Controller) Thaw() error { return c.process.signalGroup(syscall.SIGCONT) }

// Kill ends the controller at once (SIGKILL) and keeps its directory.
func (c *Controller) Kill() error { return c.process.kill() }

// Shutdown ends the controller in order and keeps its directory.
func (c *Controller) Shutdown() error {
	if err := c.Thaw(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.process.stop(ctx, syscall.SIGTERM)
}

// Stop ends the controller, and removes its directory where that is temporary.
func (c *Controller) Stop() error {
	var err error
	if c.process != nil {
		err = c.Kill()
	}
	if c.temporary {
		err = errors.Join(err, os.RemoveAll(c.Dir))
	}
	return err
}
