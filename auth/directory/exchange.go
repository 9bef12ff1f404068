package directory

import (
	"errors"
	"io"
	"sync"

	"github.com/go-ldap/ldap/v3"
)

// What is asked and answered in turn is written and read by whoever asks. The library
// has two goroutines for each connection, and with them eight changes of threads for a
// question: more processor time than all the rest of a log-in's questions.

// request is a search. Its answer is no longer than most entries.
type request struct {
	base       string
	scope      int
	filter     string
	attributes []string
	most       int
	seconds    int // that the controller may take
}

// errTooMany says that a search found more entries than it may.
var errTooMany = errors.New("too many entries")

// roomForRequest is what most requests need, in bytes.
const roomForRequest = 1 << 10

// send writes an operation as the connection's next message, and wipes it: it may hold
// a password.
func (c *conn) send(op byte, content func([]byte) []byte) error {
	c.id++
	buf := make([]byte, 0, roomForRequest)
	buf = element(buf, tagSequence, func(b []byte) []byte {
		return element(number(b, tagInteger, c.id), op, content)
	})
	_, err := c.net.Write(buf)
	clear(buf)
	return err
}

// receive reads the next part of the answer to what was sent last. Anything else ends the
// connection, like the notice that the controller is about to (RFC 4511 section 4.4.1).
func (c *conn) receive() (op byte, content []byte, err error) {
	id, op, content, err := readMessage(c.net, c.net.left.Load())
	switch {
	case errors.Is(err, errTooLong):
		return 0, nil, c.net.fail(err)
	case err == nil && id != c.id:
		return 0, nil, errMessage
	}
	return op, content, err
}

// bind makes a simple bind.
func (c *conn) bind(dn, password string) error {
	if password == "" {
		return errors.New("an empty password proves nothing") // RFC 4513 section 5.1.2
	}
	const version = 3
	err := c.send(opBind, func(b []byte) []byte {
		return octetString(octetString(number(b, tagInteger, version), tagOctets, dn), tagPassword, password)
	})
	if err != nil {
		return err
	}
	return c.conclude(opBindResponse)
}

// conclude reads an answer that is a result alone.
func (c *conn) conclude(response byte) error {
	op, content, err := c.receive()
	switch {
	case err != nil:
		return err
	case op != response:
		return errMessage
	}
	return readResult(content)
}

// readResult reads an LDAPResult. Success is nil.
func readResult(content []byte) error {
	code, rest, err := readNumber(content, tagEnumerated)
	if err != nil {
		return err
	}
	matched, rest, err := expect(rest, tagOctets)
	if err != nil {
		return err
	}
	diagnostic, _, err := expect(rest, tagOctets)
	switch {
	case err != nil:
		return err
	case code == ldap.LDAPResultSuccess:
		return nil
	case code >= ldap.ErrorNetwork: // the library's own numbers
		return errMessage
	}
	return &ldap.Error{ResultCode: uint16(code), MatchedDN: string(matched), Err: errors.New(string(diagnostic))}
}

// search makes a search. References to other servers are passed over.
func (c *conn) search(r *request) (entries []*entry, err error) {
	if c.library != nil {
		return c.searchByLibrary(r)
	}
	filter, err := encodeFilter(r.filter)
	if err != nil {
		return nil, err
	}
	err = c.send(opSearch, func(b []byte) []byte {
		b = octetString(b, tagOctets, r.base)
		b = number(b, tagEnumerated, int32(r.scope))
		b = number(b, tagEnumerated, ldap.NeverDerefAliases)
		b = number(b, tagInteger, int32(r.most))
		b = number(b, tagInteger, int32(r.seconds))
		b = append(b, tagBoolean, 1, 0)
		b = append(b, filter...)
		return element(b, tagSequence, func(b []byte) []byte {
			for _, a := range r.attributes {
				b = octetString(b, tagOctets, a)
			}
			return b
		})
	})
	for err == nil {
		var op byte
		var content []byte
		if op, content, err = c.receive(); err != nil {
			break
		}
		switch op {
		case opSearchEntry:
			if len(entries) >= r.most {
				return nil, errTooMany
			}
			var e *entry
			if e, err = readEntry(content); err == nil {
				entries = append(entries, e)
			}
		case opSearchReference:
		case opSearchDone:
			return entries, readResult(content)
		default:
			err = errMessage
		}
	}
	return nil, err
}

// anything is the filter of most searches: of those for one entry by its name.
const anything = "(objectClass=*)"

var anythingEncoded = sync.OnceValues(func() ([]byte, error) { return compileFilter(anything) })

func encodeFilter(filter string) ([]byte, error) {
	if filter == anything {
		return anythingEncoded()
	}
	return compileFilter(filter)
}

func compileFilter(filter string) ([]byte, error) {
	compiled, err := ldap.CompileFilter(filter)
	if err != nil {
		return nil, err
	}
	return compiled.Bytes(), nil
}

// startTLS asks for TLS on a connection that has none (RFC 4511 section 4.14).
func startTLS(rw io.ReadWriter) error {
	const id, name = 1, "1.3.6.1.4.1.1466.20037"
	message := element(nil, tagSequence, func(b []byte) []byte {
		return element(number(b, tagInteger, id), opExtended, func(b []byte) []byte { return octetString(b, tagRequestName, name) })
	})
	if _, err := rw.Write(message); err != nil {
		return err
	}
	answered, op, content, err := readMessage(rw, mostOfBind)
	switch {
	case err != nil:
		return err
	case answered != id || op != opExtendedResponse:
		return errMessage
	}
	return readResult(content)
}

// searchByLibrary is search on a connection that announcements come on, too.
func (c *conn) searchByLibrary(r *request) ([]*entry, error) {
	search := ldap.NewSearchRequest(r.base, r.scope, ldap.NeverDerefAliases, r.most, r.seconds, false, r.filter, r.attributes, nil)
	search.EnforceSizeLimit = true
	result, err := c.library.Search(search)
	if errors.Is(err, ldap.ErrSizeLimitExceeded) {
		return nil, errTooMany
	}
	if err != nil {
		return nil, err
	}
	entries := make([]*entry, len(result.Entries))
	for i, e := range result.Entries {
		entries[i] = ofLibrary(e)
	}
	return entries, nil
}
