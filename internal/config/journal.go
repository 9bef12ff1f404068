package config

import (
	"crypto"
	"fmt"
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/audit/journal"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/statement"
)

func (c *Config) readJournal(root *object) {
	v, ok := root.need("journal", "where the audit records are written")
	if !ok {
		return
	}
	o, ok := v.object()
	if !ok {
		return
	}
	j := journal.Options{
		Node:        c.Node,
		SegmentSize: o.size("segment_size", 64<<20, 1<<20, 4<<30),
	}
	const reserve = 1 << 20
	j.Floor = o.size("floor", 1<<30, 0, 1<<50)
	b := o.section("budget")
	c.Budget = audit.BudgetLimits{
		Rate:  b.size("rate", 32<<20, 1<<10, 1<<40),
		Burst: b.size("burst", 1<<30, 1<<20, 1<<40),
	}
	b.done()
	j.Reserve = o.size("reserve", min(reserve, j.SegmentSize/8), 64<<10, 1<<30)
	if path := o.needWord("path", "the directory of this node's audit journal"); path != "" {
		j.Path = root.l.resolve(path)
	}
	if j.Reserve > j.SegmentSize/2 {
		o.where("reserve").errorf("%s is more than half of a segment (%s): lower it, or make segments larger", printSize(j.Reserve), printSize(j.SegmentSize))
	}
	j.Rotate = o.duration("rotate", 24*time.Hour, time.Minute, 31*24*time.Hour)
	j.Compress = o.oneOf("compression", "zstd", "zstd", "none") == "zstd"
	j.Retention = o.readRetention(j.Compress)
	c.EncryptionOverdue = o.readEncryption(&j)
	if v, ok := o.get("signing_key"); ok {
		j.Signer = v.signer()
	} else {
		c.warnf("journal: without a signing_key, checkpoints are not signed, and whoever can write to the journal can make it anew: run pgcustos audit keygen")
	}
	if v, ok := o.get("digest_key"); ok {
		j.DigestKey = v.digestKey()
	}
	o.done()
	c.Journal = j
}

// digestKey reads the key in the file that v names.
func (v value) digestKey() journal.DigestKey {
	text, ok := v.file(true)
	if !ok {
		return journal.DigestKey{}
	}
	defer clear(text)
	key, err := journal.ReadDigestKey(text)
	if err != nil {
		name, _ := v.word()
		v.errorf("%s: %v; pgcustos audit keygen --digest makes a key", name, err)
	}
	return key
}

// signer reads the private key in the file that v names.
func (v value) signer() crypto.Signer {
	text, ok := v.file(true)
	if !ok {
		return nil
	}
	defer clear(text)
	signer, err := journal.ReadSigner(text)
	if err != nil {
		name, _ := v.word()
		v.errorf("%s: %v; pgcustos audit keygen makes a key", name, err)
		return nil
	}
	return signer
}

// where returns the value of a key, or the object itself where a default is meant.
func (o *object) where(key string) value {
	if v, ok := o.fields[key]; ok {
		return v
	}
	return o.value
}

func (c *Config) readParser(root *object) {
	o := root.section("parser")
	c.Parser = statement.Options{
		Workers:    o.integer("workers", 2, 1, 256),
		Timeout:    o.duration("timeout", time.Second, 10*time.Millisecond, time.Minute),
		Wait:       o.duration("wait", 2*time.Second, 10*time.Millisecond, time.Minute),
		MaxText:    int(o.size("max_text", 4<<20, 1<<10, maxMessage)),
		CacheBytes: o.size("cache", 64<<20, 1<<20, 64<<30),
		Memory:     uint64(o.size("memory", 1<<30, 256<<20, 64<<30)),
	}
	if m := c.Listen.MaxMessage; m > 0 && c.Parser.MaxText > m && o.has("max_text") {
		o.where("max_text").errorf("%s is more than listen.max_message lets through (%s): lower it", printSize(int64(c.Parser.MaxText)), printSize(int64(m)))
	}
	o.done()
}

// warn lists what is allowed and probably not meant.
func (c *Config) warn() {
	used := map[credential]bool{}
	backends := map[string]bool{}
	for i := range c.Rules {
		r := &c.Rules[i]
		used[credential{r.Grant.Backend, r.Grant.Role}] = true
		backends[r.Grant.Backend] = true
		if c.Kerberos.Keytab == nil && (slices.Equal(r.Methods, []auth.Method{auth.Kerberos}) || len(r.Assurance) > 0) {
			c.warnf("rule %s: asks for a Kerberos ticket, and there is no section kerberos: nobody can meet it", r.Name)
		}
		if len(c.ClientCertificates.Authorities) == 0 && slices.Equal(r.Methods, []auth.Method{auth.Certificate}) {
			c.warnf("rule %s: asks for a client certificate, and there is no section client_certificates: nobody can meet it", r.Name)
		}
		if r.Grant.Mode == auth.Observe {
			c.warnf("rule %s: mode observe lets everything through and only records what it would have denied", r.Name)
		}
		if r.Grant.Classes&statement.Unknown != 0 {
			c.warnf("rule %s: class UNKNOWN lets statements through that nobody could read", r.Name)
		}
	}
	for _, b := range c.Backends {
		if !backends[b.Name] {
			c.warnf("backend %s: no rule leads to it", b.Name)
			continue
		}
		for _, role := range sortedKeys(b.Credentials) {
			if !used[credential{b.Name, role}] && c.Catalogs[b.Name].Role != role {
				c.warnf("backend %s: no rule uses the credentials of role %s", b.Name, role)
			}
		}
	}
}

func (c *Config) warnf(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
