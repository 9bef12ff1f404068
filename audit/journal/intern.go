package journal

const (
	maxInterned     = 1 << 10 // bytes of a string that is kept
	maxInternedAll  = 4 << 20 // bytes of all of them
	internedTexts   = 8 << 10 // strings
	internedBitSets = 4 << 10
)

// interner gives equal strings the same memory: those of a session come again in
// each of its records. What it keeps is bounded, and dropped at the bound. The zero
// value is ready.
type interner struct {
	last  [fieldTableSize]string // by field: it was met last
	known map[string]string
	bytes int
	bits  [2]map[uint64][]string // of class, of tags
}

// text returns v as a string. An interner of nil makes a new one.
func (in *interner) text(id uint16, v []byte) string {
	if in == nil || len(v) > maxInterned || id >= fieldTableSize {
		return string(v)
	}
	if in.last[id] == string(v) {
		return in.last[id]
	}
	s, ok := in.known[string(v)]
	if !ok {
		if in.known == nil || len(in.known) >= internedTexts || in.bytes >= maxInternedAll {
			in.known, in.bytes = map[string]string{}, 0
		}
		s = string(v)
		in.known[s] = s
		in.bytes += len(s)
	}
	in.last[id] = s
	return s
}

// names names the bits of a set. Callers share what it returns, and leave it as it
// is.
func (in *interner) names(which int, set uint64, names []string) []string {
	if in == nil {
		return bitNames(set, names)
	}
	out, ok := in.bits[which][set]
	if !ok {
		if in.bits[which] == nil || len(in.bits[which]) >= internedBitSets {
			in.bits[which] = map[uint64][]string{}
		}
		out = bitNames(set, names)
		in.bits[which][set] = out[:len(out):len(out)]
	}
	return out
}
