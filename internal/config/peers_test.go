package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/internal/testkit"
)

const peersSection = `
peers:
  address: 10.0.0.21:6433
  tls: {certificate: peer.crt, key: peer.key, ca: peers.crt}
  nodes:
    - {node: proxy-2, address: 10.0.0.22:6433}
    - {node: proxy-3, address: 10.0.0.23:6433}
`

// peerFiles writes the certificates of the nodes into the folder of the example.
func peerFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = folder(t)
	ca, err := testkit.NewCA("peers")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Write(dir, "peers"); err != nil {
		t.Fatal(err)
	}
	for name, node := range map[string]string{"peer": "proxy-1", "elsewhere": "proxy-9"} {
		leaf, err := ca.Issue(testkit.Leaf{CommonName: node, Names: []string{node}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := leaf.Write(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPeers(t *testing.T) {
	dir := peerFiles(t)
	c := mustLoad(t, dir, example(t)+peersSection)
	if p := c.Peers; len(p.Nodes) != 2 || p.Nodes[1].Name != "proxy-3" || p.Nodes[1].Address != "10.0.0.23:6433" || p.Authorities == nil {
		t.Errorf("%+v", p)
	}
	alone := mustLoad(t, dir, example(t))
	other, err := testkit.NewCA("other peers")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Write(dir, "peers"); err != nil {
		t.Fatal(err)
	}
	if d := Diff(c, mustLoad(t, dir, example(t)+peersSection)); d != "peers: tls.ca changed" {
		t.Errorf("the difference of the authorities is %q", d)
	}
	if end := c.Trusted["peers.crt"]; !end.After(time.Now()) {
		t.Errorf("the authorities end at %v", end)
	}
	if d := Diff(alone, c); !strings.HasPrefix(d, "peers: (none) becomes at 10.0.0.21:6433, certificate ") || !strings.HasSuffix(d, ", proxy-2 at 10.0.0.22:6433, proxy-3 at 10.0.0.23:6433") {
		t.Errorf("the difference is %q", d)
	}
}

func TestPeersErrors(t *testing.T) {
	dir := peerFiles(t)
	for _, c := range []struct{ name, old, new, want string }{
		{"own node", "node: proxy-2", "node: proxy-1", `peers.nodes[0].node: "proxy-1" is this node: list the others alone`},
		{"twice", "node: proxy-3", "node: proxy-2", `peers.nodes[1].node: "proxy-2" is listed twice: remove one`},
		{"no name of a host", "node: proxy-3", "node: -proxy", `peers.nodes[1].node: "-proxy" is not the form of a DNS name`},
		{"an address", "node: proxy-3", "node: 10.0.0.23", `is not the form of a DNS name`},
		{"of another node", "{certificate: peer.crt, key: peer.key", "{certificate: elsewhere.crt, key: elsewhere.key", `peers.tls.certificate: elsewhere.crt does not name this node`},
		{"not its key", "key: peer.key", "key: elsewhere.key", `peers.tls.certificate: peer.crt and its key cannot be used`},
		{"no authority", ", ca: peers.crt", "", `peers.tls: "ca" is missing`},
		{"no tls", "  tls: {certificate: peer.crt, key: peer.key, ca: peers.crt}\n", "", `peers: "tls" is missing`},
		{"no nodes", peersSection[strings.Index(peersSection, "  nodes:"):], "", `peers: "nodes" is missing`},
		{"no port", "10.0.0.22:6433", "10.0.0.22", `is not host:port`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(peersSection, c.old) {
				t.Fatalf("there is no %q", c.old)
			}
			file := filepath.Join(dir, "pgcustos.yaml")
			write(t, file, example(t)+strings.Replace(peersSection, c.old, c.new, 1), 0o644)
			if _, err := Load(file); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got:\n%v\nwant: %s", err, c.want)
			}
		})
	}
}
