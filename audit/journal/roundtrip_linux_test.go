package journal

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/internal/statement"
)

// fill sets every field of a struct to something of its own.
func fill(v reflect.Value, n *int) {
	for i := range v.NumField() {
		f := v.Field(i)
		*n++
		switch f.Kind() {
		case reflect.String:
			f.SetString(strings.Repeat("v", *n%7+1) + v.Type().Field(i).Name)
		case reflect.Uint64, reflect.Uint32, reflect.Uint16:
			f.SetUint(uint64(*n))
		case reflect.Int64:
			f.SetInt(int64(*n))
		}
	}
}

// keepBlob puts a blob beside the records.
func keepBlob(t *testing.T, j *Journal, content string) audit.BlobRef {
	t.Helper()
	w, err := j.Blob()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	ref, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestEveryFieldComesBack(t *testing.T) {
	checkLeaks(t)
	j := open(t, small(t))
	ev := audit.Event{}
	n := 0
	fill(reflect.ValueOf(&ev).Elem(), &n)
	ev.Type = audit.Statement
	ev.Time = time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)
	ev.Context = testContext()
	ev.Class = statement.Read | statement.Unknown
	ev.Tags = statement.TagDDL | statement.TagFastpath
	ev.Form = statement.Masked
	ev.Doubt = audit.DoubtRole | audit.DoubtResolution
	ev.Objects = []statement.Object{
		{Schema: "s", Name: "a", Kind: "table", Use: statement.UseRead},
		{Name: "b", Kind: "index", Use: statement.UseDrop},
		{},
	}
	ev.Resolved = []statement.Resolved{
		{Object: statement.Object{Schema: "s", Name: "t\n\x00", Kind: "table", Use: statement.UseRead}, Through: statement.ThroughView},
		{Object: statement.Object{Schema: "s", Name: "f", Kind: "function", Use: statement.UseExecute}, Through: statement.ThroughName, Facts: "volatile, security definer, plpgsql"},
	}
	blob := keepBlob(t, j, "what is long")
	ev.Parameters = &audit.Parameters{
		Form: audit.ParametersFull, Count: 4, Digest: [32]byte{0: 1}, Blob: blob,
		Values: []byte("\x00\x17\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x0042" + "\x02\x19\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
			"\x01\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\\x00" + "\x03\x19\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
	}
	ev.CopyDigest = bytes.Repeat([]byte{0xcd}, 32)
	ev.Trace = statement.Trace{ID: [16]byte{0: 0xab, 15: 1}, Span: [8]byte{7: 2}}
	ev.Reader = &audit.Reader{User: "root", UID: 4242, Login: "alice", PID: 17}
	receipt := record(t, j, &ev)
	got := readEvents(t, j.pathForTest())[1]

	c := ev.Context
	want := &Record{
		Stream: j.Stream(), Node: "node-1", Segment: 1, Offset: got.Offset, Sequence: receipt.Sequence,
		Time: ev.Time, Type: audit.Statement,
		Session: c.Session, Principal: c.Principal,
		Source: Source{"10.20.3.4:50123", "[2001:db8::1]:443", "TLSv1.3", "TLS_AES_128_GCM_SHA256"},
		Method: c.Method, Rule: c.Rule, Group: c.Group, Backend: c.Backend, Database: c.Database,
		Role: c.Role, BackendPID: 4711, ApplicationName: c.ApplicationName, Reason: c.Reason,
		Decision: ev.Decision, Incident: ev.Incident, Cause: ev.Cause, Detail: ev.Detail, User: ev.Claimed,
		Count: ev.Count, DecisionRule: ev.Rule, Missing: ev.Missing, CurrentRole: ev.CurrentRole, Doubt: "role,resolution", Command: ev.Command,
		Class: []string{"READ", "UNKNOWN"}, Tags: []string{"ddl", "fastpath"},
		Objects: []Object{
			{Schema: "s", Name: "a", Kind: "table", Use: "read"},
			{Name: "b", Kind: "index", Use: "dropped"},
			{},
		},
		Resolution: string(ev.Resolution), LeftOut: ev.LeftOut,
		Resolved: []Resolved{
			{Object: Object{Schema: "s", Name: "t\n\x00", Kind: "table", Use: "read"}, Through: "view"},
			{Object: Object{Schema: "s", Name: "f", Kind: "function", Use: "executed"}, Through: "name", Facts: "volatile, security definer, plpgsql"},
		},
		Text: ev.Text, TextDigest: digestOf(j, ev.Text), Form: "masked", Name: ev.Name, Fingerprint: ev.Fingerprint,
		Index: uint64(ev.Index), Of: uint64(ev.Of), Transaction: ev.Tx, Protocol: ev.Protocol,
		CopyDigest: strings.Repeat("cd", 32),
		Parameters: &Parameters{
			Form: "full", Count: 4, Digest: "01" + strings.Repeat("00", 31), Blob: &blob,
			Values: []Parameter{{23, audit.ParameterText, "42"}, {25, audit.ParameterNull, ""}, {0, audit.ParameterUndecoded, `\x00`}, {25, audit.ParameterRedacted, ""}},
		},
		TraceID: "ab000000000000000000000000000001", SpanID: "0000000000000002",
		Statement: ev.Statement, Result: ev.Result, Fate: ev.Fate, SQLSTATE: ev.SQLSTATE,
		Message: ev.Message, Rows: ev.Rows, Bytes: ev.Bytes, Duration: ev.Duration,
		Digest: ev.Digest, Change: ev.Change, Reader: ev.Reader, Filter: ev.Filter,
	}
	want.journal = j.pathForTest() // where the blob is
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v\nwritten\n%+v", got, want)
	}
}

func (j *Journal) pathForTest() string { return j.id.dir[:len(j.id.dir)-len(j.Stream())-1] }

// A prepared context says the same as one that comes with the event.
func TestPreparedEqualsContext(t *testing.T) {
	j := open(t, small(t))
	at := time.Now()
	record(t, j, &audit.Event{Type: audit.SessionStart, Time: at, Prepared: j.Prepare(testContext())})
	record(t, j, &audit.Event{Type: audit.SessionStart, Time: at, Context: testContext()})
	all := readEvents(t, j.pathForTest())
	a, b := all[1], all[2]
	b.Sequence, b.Offset = a.Sequence, a.Offset
	if !reflect.DeepEqual(a, b) {
		t.Errorf("prepared %+v\ninline %+v", a, b)
	}
}

func TestEveryTypeComesBack(t *testing.T) {
	j := open(t, small(t))
	names := slices.DeleteFunc(TypeNames(), func(name string) bool { return name == string(audit.Checkpoint) })
	for _, name := range names {
		record(t, j, &audit.Event{Type: audit.Type(name)})
	}
	all := readEvents(t, j.pathForTest())
	if all[0].Type != audit.JournalOpened || all[0].Cause != "clean" || all[0].Detail == "" {
		t.Errorf("the first record is %+v", all[0])
	}
	for i, name := range names {
		r := all[i+1]
		if string(r.Type) != name || r.Sequence != uint64(i+3) || time.Since(r.Time) > time.Minute {
			t.Errorf("record %d: %s %d %v, want %s", i, r.Type, r.Sequence, r.Time, name)
		}
	}
	if _, err := j.Record(&audit.Event{Type: "no.such"}); err == nil {
		t.Error("an unknown type was recorded")
	}
}

func TestOutcomeIsBounded(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	wide := testContext()
	wide.Principal.DN = strings.Repeat("d", 4000)
	for name, test := range map[string]struct {
		context *audit.Context
		account string
	}{
		"usual":        {testContext(), "alice"},
		"wide context": {wide, ""},
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, small(t))
			before := j.cur.pos
			record(t, j, &audit.Event{
				Type: audit.Outcome, Prepared: j.Prepare(test.context), Message: long, Detail: long, Cause: long,
				Incident: long, Command: long, SQLSTATE: long, Protocol: long, Decision: audit.Decision(long),
				Result: audit.Result(long), Fate: audit.Fate(long), Text: long, CopyDigest: make([]byte, 32), Statement: 1, Index: 1, Of: 2, Tx: 9,
			})
			if used := j.cur.pos - before; used > outcomeRoom {
				t.Errorf("an outcome took %d bytes, %d are kept", used, outcomeRoom)
			}
			all := readEvents(t, j.pathForTest())
			r := all[len(all)-1]
			if r.Session != test.context.Session || !r.Cut || r.MessageLength != 10000 || r.Message != long[:2048] || r.Text != "" {
				t.Errorf("read %+v", r)
			}
			if r.Principal.Account != test.account {
				t.Errorf("the account is %q", r.Principal.Account)
			}
		})
	}
}

// A record larger than a segment is written whole.
func TestLargerThanASegment(t *testing.T) {
	checkLeaks(t)
	j := open(t, small(t))
	text := strings.Repeat("0123456789abcdef", 100<<10) // 1.6 MB in segments of 128 KB
	for range 3 {
		record(t, j, &audit.Event{Type: audit.Statement, Decision: audit.Allowed, Text: "small"})
		r := record(t, j, &audit.Event{Type: audit.Statement, Decision: audit.Allowed, Text: "large", Missing: text})
		if err := j.Wait(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	all := readEvents(t, j.pathForTest())
	if len(all) != 7 {
		t.Fatalf("%d records", len(all))
	}
	for i, r := range all[1:] {
		want := ""
		if i%2 == 1 {
			want = text
		}
		if r.Missing != want {
			t.Errorf("record %d: a string of %d bytes", i, len(r.Missing))
		}
	}
}

func TestRotationAndReopening(t *testing.T) {
	checkLeaks(t)
	o := small(t)
	total := 0
	for round := range 3 {
		j := open(t, o)
		p := j.Prepare(testContext())
		for range 1500 {
			r := record(t, j, testStatement(p))
			record(t, j, testOutcome(p, r.Sequence))
		}
		total += 3001
		if j.cur.number < 4 {
			t.Errorf("only %d segments", j.cur.number)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		all := readEvents(t, o.Path)
		if len(all) != total {
			t.Fatalf("round %d: %d records, want %d", round, len(all), total)
		}
	}
	next := map[string]uint64{}
	last := time.Time{}
	for _, r := range readAll(t, o.Path) {
		next[r.Stream]++
		if r.Sequence != next[r.Stream] {
			t.Fatalf("record %d of %s", r.Sequence, r.Stream)
		}
		if r.Type == audit.Checkpoint {
			continue // its time is that of its signature, a moment before
		}
		if r.Time.Before(last) {
			t.Fatalf("record %d of %s at %v", r.Sequence, r.Stream, r.Time)
		}
		last = r.Time
	}
}

func TestClosedSegmentIsCut(t *testing.T) {
	j := open(t, small(t))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	b := mustRead(t, segmentPath(j, 1))
	if len(b) > headerSize+1024 || bytes.Equal(b[len(b)-sealSize:], make([]byte, sealSize)) {
		t.Errorf("%d bytes", len(b))
	}
	if _, err := j.Record(&audit.Event{Type: audit.Cancel}); err == nil {
		t.Error("a closed journal records")
	}
}

// A reader from a moment on passes over what is older, and loses nothing.
func TestReadSince(t *testing.T) {
	o := small(t)
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	j := open(t, o)
	ev := testStatement(j.Prepare(testContext()))
	const n = 1000
	for i := range n {
		ev.Time = start.Add(time.Duration(i) * time.Second)
		record(t, j, ev)
		j.Release(1)
	}
	for _, from := range []int{0, 1, n / 2, n - 1, n} {
		since := start.Add(time.Duration(from) * time.Second)
		r, err := OpenReader(ReaderOptions{Path: o.Path, Since: since})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for record, err := r.Next(); err == nil; record, err = r.Next() {
			if record.Time.Before(since) {
				t.Fatalf("a record of %v", record.Time)
			}
			if record.Type == audit.Statement {
				got++
			}
		}
		if got != n-from {
			t.Errorf("since record %d: %d records", from, got)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A stream that was closed before is not read at all.
func TestClosedStreamIsPassedOver(t *testing.T) {
	o := small(t)
	j := open(t, o)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	s := streamReader{dir: j.id.dir}
	defer s.close()
	if err := s.open(time.Now().Add(time.Second)); err != nil || !s.finished {
		t.Errorf("finished %v, %v", s.finished, err)
	}
	if err := s.open(time.Now().Add(-time.Hour)); err != nil || s.cur == nil {
		t.Errorf("%v", err)
	}
}
