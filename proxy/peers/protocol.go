package peers

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/pgcustos/pgcustos/proxy"
)

// alpn names the protocol: whoever speaks another is refused by TLS.
const alpn = "pgcustos-cancel/1"

const (
	// patience bounds an exchange.
	patience = 5 * time.Second
	// mostAtOnce bounds the cancels that are passed on, and those that are taken.
	mostAtOnce = 32
	// maxLine is more than a key and an address can have, in bytes.
	maxLine = 512
)

// Node is another replica.
type Node struct {
	Name    string // of its configuration, and in its certificate
	Address string // host:port
}

// Options are what replicas know of each other.
type Options struct {
	Nodes       []Node
	Certificate tls.Certificate // of this node, for both ends
	Authorities *x509.CertPool  // that sign those of all nodes
	Log         *slog.Logger
	// Cancel looks for the session of a key, here and nowhere else, and reports
	// whether there is one.
	Cancel func(context.Context, proxy.CancelKey) bool
}

type answer struct {
	Found bool `json:"found"`
}

// readLine reads one line of JSON.
func readLine(r io.Reader, v any) error {
	line, err := bufio.NewReaderSize(io.LimitReader(r, maxLine), maxLine).ReadSlice('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

// config is that of either end.
func (o *Options) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn},
		Certificates: []tls.Certificate{o.Certificate}, SessionTicketsDisabled: true,
	}
}

var errStranger = errors.New("the certificate names none of the nodes that are listed")

// names says which of the nodes a certificate names.
func (o *Options) names(leaf *x509.Certificate) (string, error) {
	for _, n := range o.Nodes {
		if leaf.VerifyHostname(n.Name) == nil {
			return n.Name, nil
		}
	}
	return "", errStranger
}

// dialer bounds the way to another node.
func dialer() *net.Dialer { return &net.Dialer{Timeout: patience} }
