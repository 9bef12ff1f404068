package directory

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"net"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/pgcustos/pgcustos/auth"
)

// How a hostile server says what the fuzzer made.
const (
	asItIs       = iota // and ends the connection
	beforeAnswer        // and then the proper answer
	asOperation         // in an envelope with the request's number, and then the end of a search
	asEach              // likewise, and to each request that follows
	manners
)

// hostile is the other end of the connections of one log-in. It answers in good order,
// but for one request.
type hostile struct {
	at     int // the request in question; the first is 0
	manner int
	raw    []byte
	// patience is what it has with who waits for more than it says; 0 is briefly.
	patience time.Duration

	mu    sync.Mutex
	asked int    // guarded by mu, as what follows
	said  []said // in the order of the requests
}

// briefly lets many be tried.
const briefly = 20 * time.Millisecond

// said is what was sent in answer to a request.
type said struct {
	id    int64
	op    ber.Tag
	bound string // the name of a bind
	scope int64  // of a search
	names bool   // it asked what groups are called
	sent  []byte
}

// connection is one of the proxy's, with the server at its other end.
func (h *hostile) connection(work *sync.WaitGroup) *conn {
	near, far := net.Pipe()
	work.Go(func() { h.serve(far) })
	return newConn(near, true)
}

func (h *hostile) serve(conn net.Conn) {
	defer conn.Close()
	for {
		request, err := ber.ReadPacket(conn)
		if err != nil || len(request.Children) < 2 {
			return
		}
		id, _ := request.Children[0].Value.(int64)
		op := request.Children[1]
		answer, last := h.answer(id, op)
		if _, err := conn.Write(answer); err != nil || last {
			return
		}
		if h.manner != asItIs && h.mangled() {
			_ = conn.SetReadDeadline(time.Now().Add(cmp.Or(h.patience, briefly))) // a pipe can
		}
	}
}

func (h *hostile) answer(id int64, op *ber.Packet) (out []byte, last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := said{id: id, op: op.Tag, scope: -1}
	switch op.Tag {
	case ldap.ApplicationBindRequest:
		s.bound, _ = op.Children[1].Value.(string)
		s.sent = result(id, ldap.ApplicationBindResponse, 0, "")
	case ldap.ApplicationSearchRequest:
		s.scope, _ = op.Children[1].Value.(int64)
		filter, _ := ldap.DecompileFilter(op.Children[6])
		if s.names = strings.Contains(filter, "objectSid="); !s.names {
			s.sent = entryBytes(id, account())
		}
		s.sent = append(s.sent, result(id, ldap.ApplicationSearchResultDone, 0, "")...)
	default:
		return nil, true
	}
	at := h.asked
	h.asked++
	if at == h.at || at > h.at && h.manner == asEach {
		switch h.manner {
		case asItIs:
			s.sent, last = h.raw, true
		case beforeAnswer:
			s.sent = slices.Concat(h.raw, s.sent)
		case asOperation, asEach:
			s.sent = append(envelope(id, h.raw), result(id, ldap.ApplicationSearchResultDone, 0, "")...)
		}
	}
	h.said = append(h.said, s)
	return s.sent, last
}

func (h *hostile) mangled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked > h.at
}

// envelope is a message around bytes that may be no operation.
func envelope(id int64, op []byte) []byte {
	number := ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, "").Bytes()
	out := []byte{0x30, 0x84, 0, 0, 0, 0}
	n := len(number) + len(op)
	out[2], out[3], out[4], out[5] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return append(append(out, number...), op...)
}

// operation is what stands in a message, without its envelope.
func operation(message []byte) []byte { return ber.DecodePacket(message).Children[1].Bytes() }

// messages are those that a stream begins with, for as long as it is one of messages.
func messages(stream []byte) (all []*ber.Packet) {
	for r := bytes.NewReader(stream); ; {
		p, err := ber.ReadPacket(r)
		if err != nil {
			return all
		}
		if len(p.Children) >= 2 {
			all = append(all, p)
		}
	}
}

// bindSucceeded tells if a server's own words say so of a bind. The library takes any
// result with the request's number for the bind's: who says success there could as well
// say it in the right words.
func (s *said) bindSucceeded() bool {
	return slices.ContainsFunc(messages(s.sent), func(m *ber.Packet) bool {
		id, isNumber := m.Children[0].Value.(int64)
		op := m.Children[1]
		if !isNumber || id != s.id || op.ClassType != ber.ClassApplication || len(op.Children) < 3 {
			return false
		}
		code, isNumber := op.Children[0].Value.(int64)
		return isNumber && code == 0
	})
}

// people is how many entries of people it sent in answer to a search, up to its end:
// what comes behind that nobody waits for.
func (s *said) people() (n int) {
	for _, m := range messages(s.sent) {
		id, isNumber := m.Children[0].Value.(int64)
		if !isNumber || id != s.id {
			continue
		}
		op := m.Children[1]
		if op.Tag == ldap.ApplicationSearchResultDone {
			return n
		}
		if op.Tag == ldap.ApplicationSearchResultEntry && isPerson(op) {
			n++
		}
	}
	return n
}

// isPerson says whether an entry has the type of account that people have.
func isPerson(entry *ber.Packet) bool {
	if len(entry.Children) < 2 {
		return false
	}
	for _, attribute := range entry.Children[1].Children {
		if len(attribute.Children) < 2 || !strings.EqualFold(attribute.Children[0].Data.String(), "sAMAccountType") {
			continue
		}
		for _, value := range attribute.Children[1].Children {
			if kind, err := strconv.Atoi(value.Data.String()); err == nil && kind == normalUser {
				return true
			}
		}
	}
	return false
}

func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// FuzzAnswers: whatever a controller answers, at whatever point, the log-in comes to its
// end, with memory in proportion to what was sent; and who is let in is the one whom the
// controller said so of: it answered a bind of that name with success, and one person
// alone to the searches, with that SID and GUID; and no group comes but from what it sent.
func FuzzAnswers(f *testing.F) {
	const requests = 5 // of a log-in: the lock-out policy, the account, the bind, the account with its groups, their names
	good, done := entryBytes(2, account()), result(2, ldap.ApplicationSearchResultDone, 0, "")
	withRange := func(name string, values ...string) *ldap.Entry {
		e := account("tokenGroups", "")
		e.Attributes = append(e.Attributes, ldap.NewEntryAttribute(name, values))
		return e
	}
	hundreds := make([]string, 300)
	for i := range hundreds {
		hundreds[i] = fakeSID(2000 + i)
	}
	wrapped := octetsOf(64 << 10)
	for range 40 {
		wrapped = constructed(0x30, wrapped)
	}
	operations := [][]byte{
		operation(good), operation(done),
		operation(entryBytes(1, account("objectSid", "\x01\xff"))),
		operation(entryBytes(1, account("sAMAccountName", "\xff\xfe", "userPrincipalName", "\xff@corp.example.com"))),
		operation(entryBytes(1, account("objectGUID", "another-one-here"))),
		operation(entryBytes(1, withRange("tokenGroups", hundreds...))),
		operation(entryBytes(1, withRange("tokenGroups;range=0-299", hundreds...))),
		operation(entryBytes(1, withRange("tokenGroups;range=0-0", fakeSID(513)))),
		operation(entryBytes(1, withRange("tokenGroups;range=5-9999999999999999999", fakeSID(513)))),
		operation(entryBytes(1, withRange("tokenGroups;range=-1--1", fakeSID(513)))),
		operation(reference(1, "ldap://127.0.0.1:1/DC=evil")),
		operation(result(1, ldap.ApplicationBindResponse, ldap.LDAPResultInvalidCredentials, "data 52e")),
		operation(result(1, ldap.ApplicationBindResponse, ldap.LDAPResultReferral, "")),
		operation(result(1, ldap.ApplicationSearchResultDone, ldap.LDAPResultReferral, "")),
		{0x78, 0x84, 0x7f, 0xff, 0xff, 0xff},
		wrapped,
	}
	for at := range requests {
		for _, op := range operations {
			f.Add(at, asOperation, op)
		}
		for _, raw := range [][]byte{
			nil, good, slices.Concat(good, good, done), entryBytes(1<<40, account()), result(7, ldap.ApplicationBindResponse, 0, ""),
			result(1, ldap.ApplicationBindResponse, 0, ""), message(0, disconnection()),
			{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0},
			{0x30, 0x80, 0x02, 0x01, 0x02, 0x64, 0x80, 0, 0, 0, 0},
			bytes.Repeat([]byte{0x30, 0x80}, 1000), []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
		} {
			f.Add(at, asItIs, raw)
			f.Add(at, beforeAnswer, raw)
		}
	}
	f.Add(3, asEach, operations[6])
	f.Add(3, asEach, operations[7])
	f.Add(0, asEach, operation(good))

	f.Fuzz(func(t *testing.T, at, manner int, raw []byte) {
		if len(raw) > mostBytes {
			return
		}
		h := &hostile{at: (at%requests + requests) % requests, manner: (manner%manners + manners) % manners, raw: raw}
		id, err := h.logIn(t)
		if err == nil {
			h.vouches(t, &id)
		} else if id.SID != "" {
			t.Fatalf("refused (%v), and yet %+v", err, id)
		}
	})
}

// logIn has alice log in at the server.
func (h *hostile) logIn(t *testing.T) (auth.Identity, error) {
	t.Helper()
	const timeout, longest = 300 * time.Millisecond, 30 * time.Second
	o := testOptions(nil, "ldaps://127.0.0.1:1") // nobody is there: what it begins with is all it has
	o.Timeout = timeout
	d, err := Open(o, slog.New(slog.DiscardHandler))
	must(t, err)
	var work sync.WaitGroup
	c := d.fleet.list[0]
	c.readers.put(h.connection(&work))
	c.binders.put(h.connection(&work))
	before := allocatedBytes()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 2*longest)
	defer cancel()
	n, failed := d.parseName("alice")
	if failed != nil {
		t.Fatal(failed)
	}
	secret := auth.NewSecret([]byte("secret"))
	id, err := d.prove(ctx, n, desk, secret)
	took, allocated := time.Since(start), allocatedBytes()-before
	must(t, d.Close())
	work.Wait()
	sent := 0
	for i := range h.said {
		sent += len(h.said[i].sent)
	}
	if took > longest {
		t.Fatalf("it took %s", took)
	}
	if most := uint64(4<<20 + 400*sent); allocated > most {
		t.Fatalf("%d bytes were allocated for %d that were sent", allocated, sent)
	}
	return id, err
}

// vouches holds an identity against the server's own words.
func (h *hostile) vouches(t *testing.T, id *auth.Identity) {
	t.Helper()
	bound := slices.IndexFunc(h.said, func(s said) bool { return s.op == ldap.ApplicationBindRequest && s.bindSucceeded() })
	if bound < 0 || !strings.EqualFold(h.said[bound].bound, id.DN) { // names have no case
		t.Fatalf("let in as %q without a bind of that name that succeeded", id.DN)
	}
	guid, err := guidBytes(id.GUID)
	must(t, err)
	sid, err := sidBytes(id.SID)
	must(t, err)
	var loaded, whole [][]byte // what was sent when the account was read, and at all
	people := 0
	for i := range h.said {
		s := &h.said[i]
		whole = append(whole, s.sent)
		if s.op != ldap.ApplicationSearchRequest || i == 0 {
			continue // the first asks for the domain
		}
		if n := s.people(); s.names {
			// Whoever comes in answer to that is nobody.
		} else if n > 1 {
			t.Fatalf("let in of %d people", n)
		} else if n == 1 {
			people++
			if !bytes.Contains(s.sent, sid) && !bytes.Contains(s.sent, guid) {
				t.Fatalf("let in as %s, who was not sent", id.SID)
			}
		}
		if i > bound {
			loaded = append(loaded, s.sent)
		}
	}
	if people < 2 { // the one that was looked for, and the one that was read
		t.Fatalf("let in, and %d answers had a person", people)
	}
	all, after := bytes.Join(whole, nil), bytes.Join(loaded, nil)
	if !bytes.Contains(all, guid) || !bytes.Contains(after, sid) {
		t.Fatalf("let in as %s, %s, who was not sent", id.SID, id.GUID)
	}
	if len(id.Groups) == 0 || len(id.Groups) > mostGroups {
		t.Fatalf("let in with %d groups", len(id.Groups))
	}
	for _, g := range id.Groups {
		b, err := sidBytes(g.SID)
		must(t, err)
		if !bytes.Contains(after, b) || !bytes.Contains(after, []byte(g.Name)) {
			t.Fatalf("let in with the group %+v, which was not sent", g)
		}
	}
}

// disconnection is the notice of a server that ends (RFC 4511 section 4.4.1).
func disconnection() *ber.Packet {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedResponse, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, uint64(ldap.LDAPResultUnavailable), ""))
	op.AppendChild(octets(""))
	op.AppendChild(octets("going down"))
	op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, "1.3.6.1.4.1.1466.20036", ""))
	return op
}

// constructed is an element around others, whose length takes four bytes.
func constructed(tag byte, content []byte) []byte {
	n := len(content)
	return append([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, content...)
}

func octetsOf(n int) []byte { return constructed(0x04, make([]byte, n)) }

// TestAnswersTakeRoomInProportion has a controller send what the library would make
// very much of: elements that are nested, whose bytes it keeps once for each level.
func TestAnswersTakeRoomInProportion(t *testing.T) {
	wrapped := octetsOf(mostBytes / 2)
	for range 900 {
		wrapped = constructed(0x30, wrapped)
	}
	if len(wrapped) > mostBytes {
		t.Fatal(len(wrapped))
	}
	for at := range 5 {
		before := allocatedBytes()
		h := &hostile{at: at, manner: asItIs, raw: wrapped}
		if id, err := h.logIn(t); err == nil {
			t.Errorf("let in as %+v", id)
		}
		if took := allocatedBytes() - before; took > 64*mostBytes {
			t.Errorf("request %d: %d MiB were allocated for %d MiB that were sent", at, took>>20, len(wrapped)>>20)
		}
	}
}

// TestGroupsAreBounded has a controller give one group after the other without an end,
// and as many at once as it can say.
func TestGroupsAreBounded(t *testing.T) {
	some := make([]string, mostGroups+1)
	for i := range some {
		some[i] = fakeSID(2000 + i)
	}
	for what, name := range map[string]string{"at once": "tokenGroups", "in parts": "tokenGroups;range=0-0", "in parts that say little": "tokenGroups;range=0-5"} {
		e := account("tokenGroups", "")
		e.Attributes = append(e.Attributes, ldap.NewEntryAttribute(name, some))
		h := &hostile{at: 3, manner: asEach, raw: operation(entryBytes(1, e)), patience: time.Minute}
		_, err := h.logIn(t)
		wantCause(t, err, auth.CauseDirectoryAnswer)
		if n := len(h.said); n > 8 {
			t.Errorf("%s: %d requests", what, n)
		}
	}
}
