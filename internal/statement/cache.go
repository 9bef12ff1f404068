package statement

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"
)

// cache holds judgements by their exact text and by its shape, within one bound
// on bytes. A text that differs from another one in plain literals only has its
// judgement, where the worker found that no literal decides (Judgement.Maskable);
// keys are compared byte for byte, never by their hash alone. The cache is split, so that sessions rarely meet at one lock; a reader takes only a read
// lock. What is thrown out is found by the clock algorithm: an entry that was
// asked for since the hand's last round is passed over once.
type cache struct {
	seed   maphash.Seed
	most   int64 // bytes of one shard
	shards [cacheShards]shard

	maskers [cacheShards]masker
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
	masked    atomic.Uint64
	misses    atomic.Uint64
	_         [64]byte // away from the next shard's lock
}

type entry struct {
	text      string // or a shape, which begins with shapeMark
	judgement *Judgement
	template  *template // of a shape
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

func (c *cache) index(key []byte) uint64 { return maphash.Bytes(c.seed, key) % cacheShards }

// get returns the judgement of a text, or of its shape: that is a new one, and the
// caller's own. A text that is not ASCII was read as UTF-8.
func (c *cache) get(text []byte, encoding Encoding) (j *Judgement, own, ok bool) {
	i := c.index(text)
	s := &c.shards[i]
	if e := s.find(text); e != nil && (encoding == UTF8 || e.ascii) {
		s.hits.Add(1)
		return e.judgement, false, true
	}
	if j := c.byShape(&c.maskers[i], text, encoding); j != nil {
		s.masked.Add(1)
		return j, true, true
	}
	s.misses.Add(1)
	return nil, false, false
}

// find returns the entry of a key, nil where there is none.
func (s *shard) find(key []byte) *entry {
	s.mu.RLock()
	e := s.entries[string(key)]
	s.mu.RUnlock()
	if e != nil && !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// byShape returns the judgement of a text that differs in its holes only from
// one that was read, nil where there is none.
func (c *cache) byShape(m *masker, text []byte, encoding Encoding) *Judgement {
	if !maskable(text, encoding) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.shape.read(text) {
		return nil
	}
	e := c.shards[c.index(m.shape.key)].find(m.shape.key)
	if e == nil {
		return nil
	}
	return e.template.fill(&m.arena, text, m.shape.holes)
}

// put keeps the judgement of a text, and of its shape, unless something of the
// text must not be kept: what was redacted, and what was not read.
func (c *cache) put(text string, j *Judgement) {
	if j.Form != Verbatim || j.Cause != CauseNone || len(text) > maxCachedText {
		return
	}
	c.keep(&entry{text: text, judgement: j, bytes: footprint(text, j), ascii: isASCII(text)})
	var s shape
	if !j.Maskable || !maskable([]byte(text), UTF8) || !s.read([]byte(text)) {
		return
	}
	if t, ok := newTemplate(text, j, s.holes); ok {
		key := string(s.key)
		c.keep(&entry{text: key, template: t, bytes: footprint(key, j) + t.footprint() + int64(len(text))})
	}
}

// keep puts an entry into its shard, and others out of it.
func (c *cache) keep(e *entry) {
	if e.bytes > c.most {
		return
	}
	s := &c.shards[c.index([]byte(e.text))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.text] != nil {
		return
	}
	for s.bytes+e.bytes > c.most {
		s.evict()
	}
	s.entries[e.text] = e
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

// clear forgets everything.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.entries, s.ring, s.hand, s.bytes = map[string]*entry{}, nil, 0, 0
		s.mu.Unlock()
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
		out.Hits += s.hits.Load() + s.masked.Load()
		out.Masked += s.masked.Load()
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
	for _, f := range s.Fields {
		n += int64(unsafe.Sizeof(f)) + int64(len(f))
	}
	if s.Effect.Inner != nil {
		n += statementFootprint(s.Effect.Inner)
	}
	return n
}

// Footprint estimates how much memory a statement takes that is kept by itself, in bytes.
func Footprint(s *Statement) int { return int(statementFootprint(s)) + len(s.Text) }

func isASCII[T string | []byte](text T) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
