package statement

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"
)

// cache holds judgements by their exact text, within a bound on bytes. It is
// split, so that sessions rarely meet at one lock; a reader takes only a read
// lock. What is thrown out is found by the clock algorithm: an entry that was
// asked for since the hand's last round is passed over once.
type cache struct {
	seed   maphash.Seed
	most   int64 // bytes of one shard
	shards [cacheShards]shard
}

const (
	cacheShards = 16
	// maxCachedText is the longest text worth keeping: long ones rarely return.
	maxCachedText = 64 << 10
)

type shard struct {
	mu        sync.RWMutex
	entries   map[string]*entry
	ring      []*entry // in the order of the hand
	hand      int
	bytes     int64
	evictions uint64
	hits      atomic.Uint64
	misses    atomic.Uint64
	_         [64]byte // away from the next shard's lock
}

type entry struct {
	text      string
	judgement *Judgement
	bytes     int64
	ascii     bool
	used      atomic.Bool
}

func newCache(bytes int64) *cache {
	c := &cache{seed: maphash.MakeSeed(), most: bytes / cacheShards}
	for i := range c.shards {
		c.shards[i].entries = map[string]*entry{}
	}
	return c
}

func (c *cache) shard(text []byte) *shard {
	return &c.shards[maphash.Bytes(c.seed, text)%cacheShards]
}

// get returns the judgement of a text. One that is not ASCII was read as UTF-8.
func (c *cache) get(text []byte, encoding Encoding) (*Judgement, bool) {
	s := c.shard(text)
	s.mu.RLock()
	e := s.entries[string(text)]
	s.mu.RUnlock()
	if e == nil || encoding != UTF8 && !e.ascii {
		s.misses.Add(1)
		return nil, false
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	s.hits.Add(1)
	return e.judgement, true
}

// put keeps the judgement of a text, unless something of the text must not be
// kept: what was redacted, and what was not read.
func (c *cache) put(text string, j *Judgement) {
	e := &entry{text: text, judgement: j, bytes: footprint(text, j), ascii: isASCII(text)}
	if j.Form != Verbatim || j.Cause != CauseNone || len(text) > maxCachedText || e.bytes > c.most {
		return
	}
	s := c.shard([]byte(text))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[text] != nil {
		return
	}
	for s.bytes+e.bytes > c.most {
		s.evict()
	}
	s.entries[text] = e
	s.ring = append(s.ring, e)
	s.bytes += e.bytes
}

// evict throws one entry out. The shard is not empty.
func (s *shard) evict() {
	for {
		s.hand %= len(s.ring)
		e := s.ring[s.hand]
		if e.used.Swap(false) {
			s.hand++
			continue
		}
		last := len(s.ring) - 1
		s.ring[s.hand] = s.ring[last]
		s.ring[last] = nil
		s.ring = s.ring[:last]
		delete(s.entries, e.text)
		s.bytes -= e.bytes
		s.evictions++
		return
	}
}

func (c *cache) stats(out *Stats) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		out.Entries += len(s.entries)
		out.CacheBytes += s.bytes
		out.Evictions += s.evictions
		s.mu.RUnlock()
		out.Hits += s.hits.Load()
		out.Misses += s.misses.Load()
	}
}

// footprint estimates what an entry holds. Statements share the text's bytes.
func footprint(text string, j *Judgement) int64 {
	const overhead = 128 // of the map, the ring and the entry
	n := int64(overhead+len(text)) + int64(unsafe.Sizeof(Judgement{}))
	for i := range j.Statements {
		n += statementFootprint(&j.Statements[i])
	}
	return n
}

func statementFootprint(s *Statement) int64 {
	n := int64(unsafe.Sizeof(*s)) + int64(len(s.Command)+len(s.Destructive)+len(s.Effect.Name))
	for _, o := range s.Objects {
		n += int64(unsafe.Sizeof(o)) + int64(len(o.Schema)+len(o.Name)+len(o.Kind))
	}
	if s.Effect.Inner != nil {
		n += statementFootprint(s.Effect.Inner)
	}
	return n
}

func isASCII[T string | []byte](text T) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
