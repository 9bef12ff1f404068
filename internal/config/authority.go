package config

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/pgcustos/pgcustos/proxy/backend"
)

// How the proxy proves to a backend that it may log in as a role.
const (
	authPassword    = "password"
	authCertificate = "certificate"
)

// AuthorityFiles are where a backend's authority is kept.
type AuthorityFiles struct {
	CA  string // certificates, PEM: one of them is the key's
	Key string // PKCS#8, PEM
}

// LoadUnmade is Load where authorities are yet to be made: files of theirs that are
// missing are no error, and the Authority then has neither certificate nor signer.
func LoadUnmade(path string) (*Config, error) {
	data, err := readFile(path, maxConfig, false)
	if err != nil {
		return nil, Errors{{File: path, Message: err.Error()}}
	}
	return parse(&loader{file: path, anchors: anchorsOf{}, unmade: true}, data)
}

// readAuthority reads what signs the certificates of a backend. Its roles are
// those that rules name, see grantRole.
func (c *Config) readAuthority(o *object, name string, hosts []backend.Host) *backend.Authority {
	if v, given := o.get("credentials"); given {
		v.errorf("is not used with auth: certificate, for no role has a password: remove it")
	}
	for _, h := range hosts {
		if strings.HasPrefix(h.Host, "/") {
			o.fields["hosts"].errorf("a Unix socket takes no certificates: PostgreSQL asks for them over TLS only")
			return nil
		}
	}
	v, ok := o.need("certificate", "{ca: file, key: file}, what pgcustos backend add makes and signs with")
	if !ok {
		return nil
	}
	s, ok := v.object()
	if !ok {
		return nil
	}
	a := &backend.Authority{Lifetime: s.duration("lifetime", 10*time.Minute, time.Minute, day)}
	ca, haveCA := s.need("ca", "the file of the authority's certificate, PEM: a copy of it is the server's ssl_ca_file")
	key, haveKey := s.need("key", "the file of the authority's private key, PEM, mode 0600")
	s.done()
	if !haveCA || !haveKey || o.l.alone {
		return a
	}
	files, ok := authorityFiles(ca, key)
	if !ok {
		return a
	}
	c.Authorities[name] = files
	if o.l.unmade && absent(files) {
		return a
	}
	if err := ReadAuthority(files, a); err != nil {
		v.errorf("%v", err)
	}
	return a
}

func authorityFiles(ca, key value) (AuthorityFiles, bool) {
	caName, ok := ca.word()
	keyName, keyOK := key.word()
	if !ok || !keyOK {
		return AuthorityFiles{}, false
	}
	return AuthorityFiles{CA: ca.l.resolve(caName), Key: key.l.resolve(keyName)}, true
}

// absent reports whether neither file is there. One without the other is a
// mistake.
func absent(f AuthorityFiles) bool {
	_, caErr := os.Lstat(f.CA)
	_, keyErr := os.Lstat(f.Key)
	return errors.Is(caErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist)
}

// ErrNoCertificate says that a key has none of the certificates beside it.
var ErrNoCertificate = errors.New("holds no certificate of the key in")

// ReadAuthority reads the key, and of the certificates that which is the key's.
func ReadAuthority(f AuthorityFiles, a *backend.Authority) error {
	keyPEM, err := readFile(f.Key, maxPEM, true)
	if err != nil {
		return err
	}
	defer clear(keyPEM)
	if a.Signer, err = readSigner(f.Key, keyPEM); err != nil {
		return err
	}
	caPEM, err := readFile(f.CA, maxPEM, false)
	if err != nil {
		return err
	}
	list, err := Certificates(f.CA, caPEM)
	if err != nil {
		return err
	}
	public, ok := a.Signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	for _, certificate := range list {
		if ok && public.Equal(certificate.PublicKey) {
			if !certificate.IsCA {
				return fmt.Errorf("%s: the certificate of the key in %s is not an authority's", f.CA, f.Key)
			}
			a.Certificate = certificate
			return nil
		}
	}
	return fmt.Errorf("%s %w %s", f.CA, ErrNoCertificate, f.Key)
}

func readSigner(name string, data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s holds no private key (PKCS#8, PEM)", name)
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that cannot sign", name)
	}
	return signer, nil
}

// Certificates reads a file of certificates, PEM, of which there is at least one.
func Certificates(name string, data []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %s: it must hold certificates alone", name, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in %s cannot be read: %w", len(list)+1, name, err)
		}
		list = append(list, certificate)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", name)
	}
	return list, nil
}
