package backend

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"
	"github.com/xdg-go/stringprep"
)

const (
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA256Plus = "SCRAM-SHA-256-PLUS"

	// mostIterations bounds what a server can have computed: 2,400 times PostgreSQL's
	// default, a few seconds.
	mostIterations = 10_000_000
	// mostUses is how often keys are used before they are derived anew: it bounds what a
	// server that makes up a salt for each log-in can have kept.
	mostUses = 1024
)

// errNotAsked says that a server let a role in, or asked for something else.
var errNotAsked = errors.New("the server has to ask for SCRAM-SHA-256, and did not: see its pg_hba.conf and password_encryption")

// scramKeys are the keys that SCRAM derives from a role's password, kept from one
// log-in to the next: deriving them, in 4096 rounds, is a sixth of what a log-in
// costs the proxy. It is safe for concurrent use.
type scramKeys struct {
	mu     sync.Mutex
	client *scram.Client // guarded by mu
	digest [sha256.Size]byte
	salt   [16]byte
	uses   int
}

// of returns what proves a password.
func (k *scramKeys) of(password string) (*scram.Client, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	digest := sha256.Sum256(append(k.salt[:], password...))
	if k.client != nil && k.uses < mostUses && subtle.ConstantTimeCompare(digest[:], k.digest[:]) == 1 {
		k.uses++
		return k.client, nil
	}
	// The name is empty as libpq's is: PostgreSQL takes the StartupMessage's.
	client, err := scram.SHA256.NewClientUnprepped("", prepared(password), "")
	if err != nil {
		return nil, err
	}
	if _, err := rand.Read(k.salt[:]); err != nil {
		return nil, err
	}
	k.client, k.uses = client.WithMinIterations(1), 1 // as libpq: the server's scram_iterations
	k.digest = sha256.Sum256(append(k.salt[:], password...))
	return k.client, nil
}

// prepared is a password as PostgreSQL derives keys of it (pg_saslprep): prepared by
// SASLprep (RFC 4013), or as it is where that prohibits it, or Unicode 3.2 does not
// know it.
func prepared(password string) string {
	if strings.ContainsFunc(password, stringprep.TableA1.Contains) {
		return password
	}
	if p, err := stringprep.SASLprep.Prepare(password); err == nil && p != "" {
		return p
	}
	return password
}

// proof answers a server that asks for SCRAM (RFC 5802 and 7677; PostgreSQL, "SASL
// Authentication"), with the server's certificate bound to it where there is TLS
// and the server can (tls-server-end-point, RFC 5929). It serves one log-in.
type proof struct {
	client       *scram.Client
	conversation *scram.ClientConversation
	proven       bool // by the server, too: it knows the password
}

// answer takes the body of an AuthenticationRequest that is not Ok, and returns
// the message to answer it with, if any.
func (p *proof) answer(conn any, body []byte) ([]byte, error) {
	if len(body) < 4 {
		return nil, errLoginMessage
	}
	switch binary.BigEndian.Uint32(body) {
	case pgproto3.AuthTypeSASL:
		return p.first(conn, body)
	case pgproto3.AuthTypeSASLContinue:
		if p.conversation == nil {
			return nil, errNotAsked
		}
		return p.final(string(body[4:]))
	case pgproto3.AuthTypeSASLFinal:
		if p.conversation == nil {
			return nil, errNotAsked
		}
		if _, err := p.conversation.Step(string(body[4:])); err != nil {
			return nil, fmt.Errorf("the server did not prove that it knows the role's password: %w", err)
		}
		p.proven = p.conversation.Valid()
		return nil, nil
	default:
		return nil, errNotAsked
	}
}

func (p *proof) first(conn any, body []byte) ([]byte, error) {
	var offered pgproto3.AuthenticationSASL
	if err := offered.Decode(body); err != nil || p.conversation != nil {
		return nil, errLoginMessage
	}
	mechanism := scramSHA256
	secure, encrypted := conn.(*tls.Conn)
	switch {
	case encrypted && slices.Contains(offered.AuthMechanisms, scramSHA256Plus):
		state := secure.ConnectionState()
		binding, err := scram.NewTLSServerEndpointBinding(&state)
		if err != nil {
			return nil, fmt.Errorf("channel binding: %w", err)
		}
		mechanism, p.conversation = scramSHA256Plus, p.client.NewConversationWithChannelBinding(binding)
	case !slices.Contains(offered.AuthMechanisms, scramSHA256):
		return nil, errNotAsked
	case encrypted:
		p.conversation = p.client.NewConversationAdvertisingChannelBinding()
	default:
		p.conversation = p.client.NewConversation()
	}
	said, err := p.conversation.Step("")
	if err != nil {
		return nil, err
	}
	return (&pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: []byte(said)}).Encode(nil)
}

func (p *proof) final(challenge string) ([]byte, error) {
	// r=…,s=…,i=…: the library knows no upper bound.
	for part := range strings.SplitSeq(challenge, ",") {
		if n, ok := strings.CutPrefix(part, "i="); ok {
			if rounds, err := strconv.Atoi(n); err != nil || rounds > mostIterations {
				return nil, fmt.Errorf("the server asks for %.20q iterations of SCRAM, %d are the most", n, mostIterations)
			}
		}
	}
	said, err := p.conversation.Step(challenge)
	if err != nil {
		return nil, err
	}
	return (&pgproto3.SASLResponse{Data: []byte(said)}).Encode(nil)
}
