package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/pgcustos/pgcustos/audit"
	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/pgwire"
	"github.com/pgcustos/pgcustos/internal/statement"
	"github.com/pgcustos/pgcustos/proxy/relay"
	"github.com/pgcustos/pgcustos/proxy/spool"
)

// readWithin is how long a spooled text waits for its turn to be read by the parser.
// Then it is UNKNOWN, as one that the parser took too long over.
const readWithin = 10 * time.Second

// spool takes the message that buf begins with to a file, has it judged, and forwards
// it from there, or what goes in its place.
func (r *Relay) spool(buf *buffer, out *relay.Output) (p part, ended bool) {
	typ, size, _ := pgwire.Header(buf.bytes())
	f, err := r.opt.Spool.New(r.opt.Principal)
	if err != nil {
		return r.unspooled(buf, out, typ, size, 0, err)
	}
	defer f.Close() //nolint:errcheck // it has no name, and is not needed any more
	taken, gone, err := r.receive(buf, f, size)
	switch {
	case gone != nil:
		return clientError(gone, r.opt.Machine), true
	case err != nil:
		return r.unspooled(buf, out, typ, size, taken, err)
	}
	s, done, err := r.examine(f)
	if err == nil {
		out.Reset()
		forward, next := r.opt.Machine.Spooled(r.opt.Now(), s, out)
		s = nil //nolint:ineffassign,wastedassign // up to 4 MB of text are not held while they are forwarded
		done()
		return r.spooled(buf, out, f, forward, next)
	}
	if r.judging.Err() != nil {
		return part{cause: Ended}, true
	}
	return r.unspooled(buf, out, typ, size, size, err)
}

// receive takes size bytes to the file. taken are those that buf is done with; gone
// is why the client's side ended.
func (r *Relay) receive(buf *buffer, f *spool.File, size int) (taken int, gone, err error) {
	for taken < size {
		for buf.len() == 0 {
			if err := buf.fill(r.opt.Client); err != nil && buf.len() == 0 {
				return taken, err, nil
			}
		}
		n := min(buf.len(), size-taken)
		if _, err := f.Write(buf.bytes()[:n]); err != nil {
			return taken, nil, err
		}
		buf.take(n)
		taken += n
	}
	return taken, nil, f.Finish()
}

// unspooled refuses a message that could not be kept.
func (r *Relay) unspooled(buf *buffer, out *relay.Output, typ byte, size, taken int, err error) (part, bool) {
	out.Reset()
	next := r.opt.Machine.SpoolFailed(r.opt.Now(), typ, size, taken, spoolError(size, err), out)
	return r.spooled(buf, out, nil, false, next)
}

// spooled does what the machine decided.
func (r *Relay) spooled(buf *buffer, out *relay.Output, f *spool.File, forward bool, next relay.Next) (part, bool) {
	p, ended, ok := r.send(out)
	if ok && forward {
		if p, ended, ok = r.forwardFile(f); ok {
			r.allSent()
		}
	}
	if !ok {
		buf.take(buf.len())
		return p, ended
	}
	switch next {
	case relay.Adrift:
		return part{cause: ClientFraming, err: relay.ErrAdrift}, true
	case relay.Terminated:
		buf.take(buf.len())
	default:
	}
	return part{}, false
}

// forwardFile sends a message to the backend as it came.
func (r *Relay) forwardFile(f *spool.File) (p part, ended, ok bool) {
	b := obtain(largeBuffer)
	defer release(b, len(*b))
	for at := int64(0); at < f.Size(); {
		n, err := f.ReadAt(*b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return part{cause: SpoolLost, err: err}, true, false
		}
		if err := r.give((*b)[:n]); err != nil {
			r.sever()
			return part{}, false, false
		}
		r.opt.Machine.Forwarded(n)
		at += int64(n)
	}
	return part{}, false, true
}

// examine takes the message apart and has it judged. done gives back what that takes,
// and is to be called when the judgement was used.
func (r *Relay) examine(f *spool.File) (s *relay.Spooled, done func(), err error) {
	r.opt.Machine.Judging()
	if s, err = relay.ReadSpooled(f, f.Size()); err != nil {
		return nil, nil, err
	}
	cause := statement.CauseSize
	if s.Fault == nil && s.To-s.From <= int64(r.opt.MaxText) {
		if done, err = r.read(f, s); err == nil || !errors.Is(err, context.DeadlineExceeded) {
			return s, done, err
		}
		cause = statement.CauseTimeout
	}
	return s, func() {}, r.mask(f, s, cause)
}

// read has the parser read the text.
func (r *Relay) read(f *spool.File, s *relay.Spooled) (done func(), err error) {
	ctx, cancel := context.WithTimeout(r.judging, readWithin)
	defer cancel()
	if done, err = r.opt.Spool.Read(ctx); err != nil {
		return nil, err
	}
	s.Text = make([]byte, s.To-s.From)
	if n, err := f.ReadAt(s.Text, s.From); n < len(s.Text) {
		done()
		return nil, err
	}
	s.Encoding = r.opt.Machine.Encoding()
	s.Judgement = r.opt.Judge.Judge(r.judging, s.Text, s.Encoding)
	return done, nil
}

// mask judges a text UNKNOWN, and keeps it as the record is to have it.
func (r *Relay) mask(f *spool.File, s *relay.Spooled, cause statement.Cause) error {
	done, err := r.opt.Spool.Work(r.judging)
	if err != nil {
		return err
	}
	defer done()
	rule := r.opt.Machine.Recording()
	st := statement.Statement{Class: statement.Unknown, Searched: rule.Patterns}
	part := io.NewSectionReader(f, s.From, s.To-s.From)
	mask := statement.MaskTo
	if rule.Hides() {
		sum := r.opt.Recorder.Keyed()
		if err := r.masked(sum, part, mask, rule.Patterns); err != nil {
			return err
		}
		sum.Sum(st.Digest[:0])
		mask = statement.HideTo
	}
	if rule.StatementText != auth.TextNone {
		if err := r.keep(&st, part, mask, rule.Patterns); err != nil {
			return err
		}
	}
	s.Judgement = &statement.Judgement{
		Statements: []statement.Statement{st}, Class: statement.Unknown, Cause: cause, Form: statement.Masked,
	}
	return nil
}

// masking writes a text without its literals.
type masking func(ctx context.Context, w io.Writer, text io.ReaderAt, size int64) error

func (r *Relay) masked(w io.Writer, text *io.SectionReader, mask masking, p *statement.Patterns) error {
	search := p.Writer(w)
	if err := mask(r.judging, search, text, text.Size()); err != nil {
		return err
	}
	return search.Close()
}

// keep keeps a text as the record is to have it.
func (r *Relay) keep(st *statement.Statement, text *io.SectionReader, mask masking, p *statement.Patterns) (err error) {
	k := &keeper{store: r.opt.Recorder}
	defer k.discard()
	if err := r.masked(k, text, mask, p); err != nil {
		return err
	}
	if k.blob == nil {
		st.Text = string(k.head)
	} else if st.Blob, err = k.blob.Commit(); err != nil {
		return err
	}
	if st.Digest == [32]byte{} {
		st.Digest = st.Blob.Digest
	}
	return nil
}

// keeper makes a blob of what is too long for a record.
type keeper struct {
	store audit.Store
	head  []byte // while there is no blob
	blob  audit.BlobWriter
}

// Write implements io.Writer.
func (k *keeper) Write(b []byte) (int, error) {
	if k.blob == nil && len(k.head)+len(b) <= audit.InlineText {
		k.head = append(k.head, b...)
		return len(b), nil
	}
	if k.blob == nil {
		var err error
		if k.blob, err = k.store.Blob(); err != nil {
			return 0, err
		}
		if _, err := k.blob.Write(k.head); err != nil {
			return 0, err
		}
		k.head = nil
	}
	return k.blob.Write(b)
}

func (k *keeper) discard() {
	if k.blob != nil {
		k.blob.Discard()
	}
}

// spoolError is what the client is told.
func spoolError(size int, err error) relay.SpoolError {
	var limit *spool.LimitError
	e := relay.SpoolError{Message: fmt.Sprintf("a message of %d bytes could not be kept for judgement", size)}
	switch {
	case errors.As(err, &limit):
		e.Code = pgwire.ProgramLimitExceeded
		e.Message = fmt.Sprintf("there is no room for a message of %d bytes at this moment", size)
		e.Detail = "Large messages that wait for judgement may take " + fmt.Sprint(limit.Limit) + " bytes together."
		if limit.PerPrincipal {
			e.Detail = "Large messages of one account that wait for judgement may take " + fmt.Sprint(limit.Limit) + " bytes together."
		}
		e.Hint = "Send fewer of them at once, or the data as parameters or with COPY, which have no such limit."
	case errors.Is(err, audit.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Code = pgwire.DiskFull
		e.Message += ": the proxy's disk is full"
		e.Hint = "Tell the proxy's operator; the statement can be sent again once there is room."
	default:
		e.Code = pgwire.IOError
		e.Hint = "Tell the proxy's operator."
	}
	return e
}

func spoolLostError() *pgwire.Error {
	return &pgwire.Error{
		Severity: pgwire.SeverityFatal,
		Code:     pgwire.IOError,
		Message:  "a large message could not be read back while it was forwarded",
		Detail:   "The database server did not get all of it, and ran none of it.",
		Hint:     "Tell the proxy's operator.",
	}
}
