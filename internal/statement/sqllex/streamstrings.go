package sqllex

func (s *Stream) quoted(t *StreamToken, n int64) {
	s.pos += n
	for {
		if !s.segment(t) {
			t.Open = true
			return
		}
		if !s.continues() {
			return
		}
	}
}

func (s *Stream) segment(t *StreamToken) bool {
	for s.pos < s.size {
		switch c := s.at(s.pos); {
		case c == '\\' && t.Kind == Escape:
			s.pos = min(s.pos+2, s.size)
		case c == '\\':
			t.Shifts = t.Shifts || s.peek(1) == '\''
			s.pos++
		case c == '\'' && s.peek(1) == '\'' && t.Kind != Bits:
			s.pos += 2
		case c == '\'':
			s.pos++
			return true
		default:
			s.pos++
		}
	}
	return false
}

// continues looks ahead, as far as white space and comments go; what it passes over
// in vain is read once more.
func (s *Stream) continues() bool {
	lineEnd := false
	for i := s.pos; i < s.size; {
		switch c := s.at(i); {
		case c == '\n' || c == '\r':
			lineEnd = true
			i++
		case isSpace(c):
			i++
		case c == '-' && s.at(i+1) == '-':
			if i = s.lineEnd(i); i == s.size {
				return false
			}
		case c == '\'' && lineEnd:
			s.pos = i + 1
			return true
		default:
			return false
		}
	}
	return false
}

func (s *Stream) dollar(t *StreamToken) {
	if isDigit(s.peek(1)) {
		t.Kind = Parameter
		s.pos += 2
		for s.pos < s.size && isDigit(s.at(s.pos)) {
			s.pos++
		}
		return
	}
	n := s.tag()
	switch {
	case n == 0:
		t.Kind = Symbol
		s.pos++
		return
	case n > MaxTag:
		t.Kind, t.Open = Dollar, true
		s.pos = s.size
		return
	}
	t.Kind = Dollar
	tag := make([]byte, n)
	for i := range tag {
		tag[i] = s.peek(int64(i))
	}
	s.pos += n
	t.Open = !s.closing(tag)
}

// closing moves behind the next tag, or to the end where there is none.
func (s *Stream) closing(tag []byte) bool {
	for ; s.pos < s.size; s.pos++ {
		if s.at(s.pos) != '$' {
			continue
		}
		n := 1
		for n < len(tag) && s.peek(int64(n)) == tag[n] {
			n++
		}
		if n == len(tag) {
			s.pos += int64(n)
			return true
		}
	}
	s.pos = s.size
	return false
}

// tag is the length of the $tag$ at the position, 0 where there is none.
func (s *Stream) tag() int64 {
	for i := s.pos + 1; i < s.size; i++ {
		switch c := s.at(i); {
		case c == '$':
			return i + 1 - s.pos
		case isIdentStart(c):
		case isDigit(c) && i > s.pos+1:
		default:
			return 0
		}
	}
	return 0
}
