package statement

import (
	"context"
	"sync/atomic"
	"unicode/utf8"
)

// Reader reads texts: those that it knows from its cache, the others through
// its parser workers. It is safe for concurrent use.
type Reader struct {
	options Options
	hooks   Hooks
	cache   *cache
	pool    *pool
	unknown atomic.Uint64

	patterns atomic.Pointer[Patterns]
}

var _ Judge = (*Reader)(nil)

// Open starts the workers, each by the command given, and returns when they are
// ready. The command must end up in Serve, as pgparse.Main does; it is run with
// an environment of MemoryVariable alone, in the folder /, and inherits nothing.
func Open(opts Options, command []string, hooks Hooks) (*Reader, error) {
	opts = opts.withDefaults()
	p, err := openPool(opts, command, hooks)
	if err != nil {
		return nil, err
	}
	return &Reader{options: opts, hooks: hooks, cache: newCache(opts.CacheBytes), pool: p}, nil
}

// Close ends the workers and waits for them. Judge answers Unknown from then on.
func (r *Reader) Close() { r.pool.close() }

// SetPatterns has the texts that are read from now on searched for what is not to
// be recorded. What was read before is forgotten.
func (r *Reader) SetPatterns(p *Patterns) {
	r.patterns.Store(p)
	r.cache.clear()
}

// maxSearched is the longest text, in bytes, that is searched while a session's loop
// waits for it. A longer one is read anew.
const maxSearched = 4 << 10

// Cached implements Judge.
func (r *Reader) Cached(text []byte, encoding Encoding) (*Judgement, bool) {
	j, own, ok := r.cache.get(text, encoding)
	p := r.patterns.Load()
	switch {
	case !ok || p == nil || searched(j, p):
		return j, ok
	case !own || len(text) > maxSearched:
		return nil, false
	}
	j.search(p)
	return j, true
}

// Judge implements Judge, for nobody in particular: see For. It does not look into
// the cache, only adds to it.
func (r *Reader) Judge(ctx context.Context, text []byte, encoding Encoding) *Judgement {
	return r.judgeFor(ctx, "", text, encoding)
}

func (r *Reader) judgeFor(ctx context.Context, principal string, text []byte, encoding Encoding) *Judgement {
	j := r.judge(ctx, principal, text, encoding)
	if j.Class&Unknown != 0 {
		r.unknown.Add(1)
	}
	if p := r.patterns.Load(); p != nil && !searched(j, p) {
		j.search(p)
	}
	return j
}

func (r *Reader) judge(ctx context.Context, principal string, text []byte, encoding Encoding) *Judgement {
	switch {
	case len(text) > r.options.MaxText:
		return UnknownText(text, CauseSize)
	case !isASCII(text) && (encoding != UTF8 || !utf8.Valid(text)):
		return UnknownText(text, CauseEncoding)
	}
	own := string(text)
	j, cause := r.pool.ask(ctx, principal, own)
	if j != nil {
		cause = j.Cause
	}
	if cause != CauseNone {
		return UnknownText(text, cause)
	}
	if j.Form == Redacted {
		j.hide()
	}
	if p := r.patterns.Load(); p != nil {
		j.search(p)
	}
	r.digest(j)
	r.cache.put(own, j)
	return j
}

// hide notes that something of the texts is redacted.
func (j *Judgement) hide() {
	for i := range j.Statements {
		for s := &j.Statements[i]; s != nil; s = s.Effect.Inner {
			s.Hides = true
		}
	}
}

// digest computes the digests of what may be recorded, before others see it.
func (r *Reader) digest(j *Judgement) {
	if r.hooks.Digest == nil {
		return
	}
	for i := range j.Statements {
		for s := &j.Statements[i]; s != nil; s = s.Effect.Inner {
			s.Digest = r.hooks.Digest(s.Text)
		}
	}
}

// Stats returns what was counted.
func (r *Reader) Stats() Stats {
	s := Stats{Unknown: r.unknown.Load(), Deaths: r.pool.deaths.Load(), WorkersOnCall: int(r.pool.running.Load()), Waiting: r.pool.waiting()}
	r.cache.stats(&s)
	return s
}
