package kerberos

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/pgcustos/pgcustos/auth"
)

// Keytab is the keys of a keytab file. It prints nothing of them.
type Keytab struct {
	keys    []key
	ignored int
}

type key struct {
	Key
	secret types.EncryptionKey
}

// Key says what a key is for, without the key.
type Key struct {
	Service, Host, Realm string
	Version              uint32 // kvno
	Type                 int32  // encryption type: 17 or 18
}

// Principal is service/host@REALM.
func (k *Key) Principal() string { return k.Service + "/" + k.Host + "@" + k.Realm }

const (
	unprintable = "[keytab]"
	// mostKeys bounds a keytab: each may be tried on a ticket.
	mostKeys = 256
)

// String implements fmt.Stringer.
func (*Keytab) String() string { return unprintable }

// Format implements fmt.Formatter: every verb prints the same.
func (*Keytab) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(unprintable)) }

// ReadKeytab reads the contents of a keytab file. Keys of other types than AES
// with HMAC-SHA1-96, which is what domains use, are left out: RC4 and DES are
// broken.
func ReadKeytab(data []byte) (k *Keytab, err error) {
	defer func() {
		if p := recover(); p != nil {
			k, err = nil, errors.New("not a keytab")
		}
	}()
	file := keytab.New()
	if err := file.Unmarshal(data); err != nil {
		// The library's own error may quote the file.
		return nil, errors.New("not a keytab (version 1 or 2)")
	}
	if len(file.Entries) > mostKeys {
		return nil, fmt.Errorf("holds %d keys, more than %d", len(file.Entries), mostKeys)
	}
	k = &Keytab{}
	for i := range file.Entries {
		e := &file.Entries[i]
		if len(e.Principal.Components) != 2 || len(e.Key.KeyValue) != size(e.Key.KeyType) {
			k.ignored++
			continue
		}
		k.keys = append(k.keys, key{
			Key: Key{
				Service: e.Principal.Components[0], Host: e.Principal.Components[1], Realm: e.Principal.Realm,
				Version: e.KVNO, Type: e.Key.KeyType,
			},
			secret: e.Key,
		})
	}
	if len(k.keys) == 0 {
		return nil, errors.New("holds no AES key (aes128-cts or aes256-cts) of a service")
	}
	return k, nil
}

// size is the length of a key of a type that is accepted; -1 for others.
func size(kind int32) int {
	switch kind {
	case etypeID.AES128_CTS_HMAC_SHA1_96:
		return 16
	case etypeID.AES256_CTS_HMAC_SHA1_96:
		return 32
	default:
		return -1
	}
}

// Keys says what the keytab holds keys for, and how many it holds that are not
// used.
func (k *Keytab) Keys() (keys []Key, ignored int) {
	for i := range k.keys {
		keys = append(keys, k.keys[i].Key)
	}
	return keys, k.ignored
}

// Serves reports whether there is a key of that service and realm.
func (k *Keytab) Serves(service, realm string) bool {
	for i := range k.keys {
		if k.keys[i].Service == service && k.keys[i].Realm == realm {
			return true
		}
	}
	return false
}

// Shared returns two principals of different realms that have a key in common, empty
// where there are none: whoever makes tickets for the one could make them for the other.
func (k *Keytab) Shared() (a, b string) {
	for i := range k.keys {
		for j := range k.keys[:i] {
			x, y := &k.keys[j], &k.keys[i]
			if x.Realm != y.Realm && bytes.Equal(x.secret.KeyValue, y.secret.KeyValue) {
				return x.Principal(), y.Principal()
			}
		}
	}
	return "", ""
}

// openTicket finds the key that the ticket was made with, and decrypts it.
func (a *Acceptor) openTicket(req *messages.APReq) (types.EncryptionKey, error) {
	t := &req.Ticket
	name := t.SName.PrincipalNameString() + "@" + t.Realm
	switch {
	case a.options.realm(t.Realm) == nil:
		return types.EncryptionKey{}, refusal(auth.CauseTicketRealm, "the ticket is for %q, of another realm than %s", name, a.options.realmNames())
	case !strings.EqualFold(t.SName.NameString[0], a.options.Service):
		return types.EncryptionKey{}, refusal(auth.CauseTicketService, "the ticket is for %q, not for the service %s", name, a.options.Service)
	case size(t.EncPart.EType) < 0:
		return types.EncryptionKey{}, refusal(auth.CauseTicketKey, "the ticket is encrypted by type %d; only AES is accepted", t.EncPart.EType)
	}
	candidates := a.options.Keytab.find(t)
	if len(candidates) == 0 {
		return types.EncryptionKey{}, refusal(auth.CauseTicketKey,
			"the keytab has no key of %q with version %d and type %d", name, t.EncPart.KVNO, t.EncPart.EType)
	}
	for _, secret := range candidates {
		plain, err := crypto.DecryptEncPart(t.EncPart, secret, keyusage.KDC_REP_TICKET)
		if err != nil {
			continue
		}
		if err := t.DecryptedEncPart.Unmarshal(plain); err != nil {
			return types.EncryptionKey{}, malformed("the ticket's contents cannot be read: %w", err)
		}
		return secret, nil
	}
	return types.EncryptionKey{}, refusal(auth.CauseTicketForged, "the ticket for %q was not made with a key of the keytab", name)
}

// find returns the keys that the ticket may have been made with. Names are
// compared as the directory does, and versions by the byte that every keytab
// has; a ticket that names none may be of any.
func (k *Keytab) find(t *messages.Ticket) []types.EncryptionKey {
	var out []types.EncryptionKey
	for i := range k.keys {
		e := &k.keys[i]
		version := t.EncPart.KVNO == 0 || uint8(e.Version) == uint8(t.EncPart.KVNO)
		if version && e.Type == t.EncPart.EType && e.Realm == t.Realm &&
			strings.EqualFold(e.Service, t.SName.NameString[0]) && strings.EqualFold(e.Host, t.SName.NameString[1]) {
			out = append(out, e.secret)
		}
	}
	return out
}
