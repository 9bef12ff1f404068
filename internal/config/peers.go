package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net"
	"slices"
	"strings"

	"github.com/pgcustos/pgcustos/proxy/peers"
)

// Peers are the other replicas, to which cancel requests are passed on. There are no
// Nodes where this one is alone.
type Peers struct {
	Address     string // where the others reach this one
	Certificate tls.Certificate
	Authorities *x509.CertPool
	Nodes       []peers.Node
}

// String tells the difference to another, without a secret.
func (p *Peers) String() string {
	if len(p.Nodes) == 0 {
		return ""
	}
	words := []string{"at " + p.Address}
	if leaf := p.Certificate.Leaf; leaf != nil {
		sum := sha256.Sum256(leaf.Raw)
		words = append(words, "certificate "+hex.EncodeToString(sum[:8]))
	}
	for _, n := range p.Nodes {
		words = append(words, n.Name+" at "+n.Address)
	}
	return strings.Join(words, ", ")
}

// mostPeers bounds the nodes: a short cancel key may have to be shown to several.
const mostPeers = 64

func (c *Config) readPeers(root *object) {
	v, given := root.get("peers")
	if !given {
		return
	}
	o, ok := v.object()
	if !ok {
		return
	}
	p := Peers{Address: o.address("address", "where the other nodes reach this one, such as 10.0.0.21:6433")}
	if t, ok := o.need("tls", "cancels are passed on between nodes that know each other"); ok {
		if t, ok := t.object(); ok {
			p.Certificate, p.Authorities = t.nodeCertificate(c.Node), t.pool()
			t.done()
		}
	}
	p.Nodes = o.nodes(c.Node)
	o.done()
	c.Peers = p
}

// nodeCertificate reads the certificate that both ends of a connection between nodes
// look at: it has to name this one.
func (o *object) nodeCertificate(node string) (pair tls.Certificate) {
	certificate, ok := o.need("certificate", "the file of this node's certificate, PEM: its DNS name is the node's")
	key, okKey := o.need("key", "the file of the certificate's private key, PEM")
	if !ok || !okKey {
		return pair
	}
	certPEM, ok := certificate.file(false)
	keyPEM, okKey := key.file(true)
	defer clear(keyPEM)
	if !ok || !okKey {
		return pair
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		certificate.errorf("%s and its key cannot be used: %v", text(certificate.node), err)
		return pair
	}
	if err := pair.Leaf.VerifyHostname(node); err != nil {
		certificate.errorf("%s does not name this node: %v", text(certificate.node), err)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if len(pair.Leaf.ExtKeyUsage) > 0 && !slices.Contains(pair.Leaf.ExtKeyUsage, usage) && !slices.Contains(pair.Leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
			certificate.errorf("%s is not for both ends: it needs serverAuth and clientAuth", text(certificate.node))
			break
		}
	}
	return pair
}

func (o *object) nodes(own string) (nodes []peers.Node) {
	v, ok := o.need("nodes", "the other nodes, each with node and address")
	if !ok {
		return nil
	}
	items := v.items()
	if len(items) > mostPeers {
		v.errorf("%d nodes: there may be %d", len(items), mostPeers)
		return nil
	}
	seen := map[string]bool{own: true}
	for _, item := range items {
		n, ok := item.object()
		if !ok {
			continue
		}
		name := n.needWord("node", "its node, as its own configuration says it")
		address := n.address("address", "where it is reached, such as 10.0.0.22:6433")
		n.done()
		switch at, given := n.fields["node"]; {
		case name == "" || !given:
		case !isHost(name) || net.ParseIP(name) != nil:
			at.errorf("%q is not the form of a DNS name, which its certificate has to have", name)
		case name == own:
			at.errorf("%q is this node: list the others alone", name)
		case seen[name]:
			at.errorf("%q is listed twice: remove one", name)
		}
		seen[name] = true
		nodes = append(nodes, peers.Node{Name: name, Address: address})
	}
	return nodes
}
