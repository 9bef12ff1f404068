package config

import (
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// maxRecipients bounds the public keys that a file is encrypted to.
const maxRecipients = 32

// readEncryption reads who alone can read sealed segments, and how long one may wait for
// its sinks before that is an alarm.
func (o *object) readEncryption(j *journal.Options) (overdue time.Duration) {
	if !o.has("encryption") {
		return 0
	}
	s := o.section("encryption")
	v, ok := s.need("recipients", "the age public keys (age1…) of the auditors who can read sealed segments")
	if ok {
		j.Recipients = v.recipients()
	}
	overdue = s.duration("overdue", time.Hour, time.Minute, 31*24*time.Hour)
	if !j.Compress {
		o.where("encryption").errorf("needs compression: zstd: what is encrypted are compressed segments")
	}
	if !o.has("signing_key") {
		o.where("encryption").errorf("needs a signing_key: nobody on this host could prove what it cannot read; pgcustos audit keygen makes one")
	}
	s.done()
	return overdue
}

// recipients reads the public keys in a list.
func (v value) recipients() (all journal.Recipients) {
	items := v.items()
	if v.emptyList() {
		v.errorf("names nobody: list the auditors' public keys, or leave encryption out")
	}
	if len(items) > maxRecipients {
		v.errorf("%d recipients: %d are the most", len(items), maxRecipients)
		return all
	}
	for _, item := range items {
		key, ok := item.word()
		if !ok {
			continue
		}
		one, err := journal.ParseRecipient(key)
		if err == nil {
			one, err = all.With(one)
		}
		if err != nil {
			item.errorf("%v", err)
			continue
		}
		all = one
	}
	return all
}

// encrypted tells the difference between two configurations.
func (d *diff) encrypted(before, after *Config) {
	of(d, "journal: encryption.recipients", strings.Join(before.Journal.Recipients.Names(), ", "), strings.Join(after.Journal.Recipients.Names(), ", "))
	of(d, "journal: encryption.overdue", before.EncryptionOverdue, after.EncryptionOverdue)
}
