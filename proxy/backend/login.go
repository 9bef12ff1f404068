package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/xdg-go/scram"

	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/proxy/handover"
)

// Backend logs in at one backend. It is safe for concurrent use.
type Backend struct {
	opt          Options
	template     *pgconn.Config
	certificates *certificates         // nil where roles log in with a password
	keys         map[string]*scramKeys // by role, where they do
}

// Login says as whom, and with what, a session begins.
type Login struct {
	Role     string
	Database string
	// Settings are the run-time parameters of the StartupMessage.
	Settings map[string]string

	// Principal is for whom a certificate is signed; Signing is told of each
	// signature before it is made, and prevents it by an error.
	Principal string
	Signing   func(Signature) error
	// Probe asks for a certificate that names nobody, in the place of Principal.
	Probe bool
}

// Open checks the options. It connects to nothing.
func Open(opt Options) (*Backend, error) {
	if len(opt.Hosts) == 0 {
		return nil, fmt.Errorf("backend %s has no hosts", opt.Name)
	}
	// pgconn makes configurations by parsing only, and reads the environment
	// when it does: every field is overwritten in config.
	template, err := pgconn.ParseConfig("host=localhost port=5432 user=nobody sslmode=disable target_session_attrs=" + attrs(opt))
	if err != nil {
		return nil, fmt.Errorf("backend %s: unset the PG* environment variables of the proxy: %w", opt.Name, err)
	}
	b := &Backend{opt: opt, template: template, keys: make(map[string]*scramKeys, len(opt.Credentials))}
	for role := range opt.Credentials {
		b.keys[role] = &scramKeys{}
	}
	if opt.Authority != nil {
		b.certificates = newCertificates(opt.Authority, opt.ConnectTimeout)
	}
	return b, nil
}

// credential returns how to log in as a role.
func (b *Backend) credential(role string) (Credential, error) {
	if b.certificates != nil {
		return b.certificates, nil
	}
	credential, ok := b.opt.Credentials[role]
	if !ok {
		return nil, fmt.Errorf("backend %s has no credentials for role %s", b.opt.Name, role)
	}
	return credential, nil
}

func attrs(opt Options) string {
	if opt.TargetSessionAttrs == "" {
		return "any"
	}
	return opt.TargetSessionAttrs
}

// Name returns the backend's name.
func (b *Backend) Name() string { return b.opt.Name }

// Options returns what the backend was opened with.
func (b *Backend) Options() Options { return b.opt }

// Certificate returns the client certificate that a role is logged in with, signed
// if there is none in use; nil where roles have passwords.
func (b *Backend) Certificate(login Login) (*tls.Certificate, error) {
	if b.certificates == nil {
		return nil, nil
	}
	return b.certificates.get(&login)
}

// Connect logs in. The error is a *Failure. What it tells the client is the
// server's own where it is about what the client asked for (its database, its
// parameters, too many connections), 08006 where the fault is the proxy's or the
// network's.
func (b *Backend) Connect(ctx context.Context, login Login) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opt.ConnectTimeout)
	defer cancel()
	config, client, err := b.config(login)
	if err != nil {
		return nil, failure(err)
	}
	var last *gate
	config.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		last = newGate(conn)
		if client != nil {
			last.proof = &proof{client: client}
		}
		return last, nil
	}
	var dialed string
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = address
		return dial(ctx, network, address)
	}
	pc, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, failure(err)
	}
	// SyncConn is not called: it would swallow messages that are the client's.
	hc, err := pc.Hijack()
	if err != nil {
		return nil, failure(err)
	}
	last.shut()
	if err := last.Conn.SetDeadline(time.Time{}); err != nil {
		return nil, failure(err)
	}
	return &Conn{
		Conn: last.Conn, Greeting: last.greeting, Parameters: hc.ParameterStatuses, PID: hc.PID,
		backend: b, host: b.hostAt(dialed), tls: hc.TLSConfig, secret: hc.SecretKey,
	}, nil
}

// config makes pgconn's configuration, field by field. What proves a password, where
// the role has one, is the gate's: pgconn sees a server that asks for nothing.
func (b *Backend) config(login Login) (*pgconn.Config, *scram.Client, error) {
	credential, err := b.credential(login.Role)
	if err != nil {
		return nil, nil, err
	}
	first := b.opt.Hosts[0]
	c := b.route(first)
	c.TLSConfig, c.Fallbacks = b.tls(first), nil
	for _, h := range b.opt.Hosts[1:] {
		c.Fallbacks = append(c.Fallbacks, &pgconn.FallbackConfig{Host: h.Host, Port: h.Port, TLSConfig: b.tls(h)})
	}
	c.Database, c.User = login.Database, login.Role
	c.RuntimeParams = login.Settings
	c.ConnectTimeout = b.opt.ConnectTimeout
	c.KerberosSrvName, c.KerberosSpn = "", ""
	c.SSLCertMode, c.ChannelBinding = "allow", "prefer"
	c.MinProtocolVersion, c.MaxProtocolVersion = "3.0", "3.0"
	c.OAuthTokenProvider = nil
	c.Password, c.RequireAuth = "", "none"
	password, err := credential.apply(c, &login)
	if err != nil || password == nil {
		return c, nil, err
	}
	defer password.Wipe()
	client, err := b.keys[login.Role].of(password.Reveal())
	return c, client, err
}

// hostAt returns the host whose socket an address is; the first where it is none's: of
// one that is not a socket the connection itself knows the address.
func (b *Backend) hostAt(address string) Host {
	for _, h := range b.opt.Hosts {
		if _, own := pgconn.NetworkAddress(h.Host, h.Port); own == address {
			return h
		}
	}
	return b.opt.Hosts[0]
}

// route makes a configuration that says how to come to a host.
func (b *Backend) route(h Host) *pgconn.Config {
	c := b.template.Copy()
	c.Host, c.Port = h.Host, h.Port
	c.SSLNegotiation, c.MaxProtocolMessageBodyLen = "postgres", maxLoginMessage
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4}}
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return handover.New(conn), nil
	}
	c.LookupFunc = (&net.Resolver{}).LookupHost
	return c
}

// tls returns the verify-full configuration for a host; nil for a Unix socket,
// which leaves this machine for nobody.
func (b *Backend) tls(h Host) *tls.Config {
	if strings.HasPrefix(h.Host, "/") {
		return nil
	}
	t := b.opt.TLS.Clone()
	if t.ServerName == "" {
		t.ServerName = h.Host
	}
	return t
}

// Failure is a log-in that did not come about.
type Failure struct {
	Told pgwire.Error // what the client hears; its incident is the caller's to set
	Err  error
}

// Error implements error. It is for logs of the proxy, never for a client.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns what lay below.
func (f *Failure) Unwrap() error { return f.Err }

// failure turns an error into what the client may hear of it.
func failure(err error) *Failure {
	f := &Failure{Err: err, Told: pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.ConnectionFailure,
		Message:  "the database server cannot be reached",
		Hint:     "Try again later; the proxy's operator finds the cause under the incident's id.",
	}}
	var server *pgconn.PgError
	switch {
	case !errors.As(err, &server):
	case toldToClients(server.Code):
		f.Told.Code, f.Told.Message, f.Told.Detail, f.Told.Hint = server.Code, server.Message, server.Detail, server.Hint
	default:
		f.Told.Code = "08004" // sqlserver_rejected_establishment_of_sqlconnection
		f.Told.Message = "the database server refused the session"
	}
	return f
}

// toldToClients lists the errors of a log-in that are about what the client
// asked for, or about the server's own state, or that a trigger on log-in raises for
// it to read (P0001, since PostgreSQL 17).
func toldToClients(code string) bool {
	switch code[:min(2, len(code))] {
	case "0A", "22", "25", "3D", "42", "53", "55", "57", "P0":
		return true
	default:
		return code == "58P01" // undefined_file: of local_preload_libraries
	}
}
