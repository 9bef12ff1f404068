package statement

import "context"

// For returns the Judge that a principal's sessions ask: where j has workers that
// several want, each principal gets one in turn. The cache is everybody's.
func For(j Judge, principal string) Judge {
	if r, ok := j.(*Reader); ok {
		return &share{r, principal}
	}
	return j
}

// share is a principal's share of a reader.
type share struct {
	reader    *Reader
	principal string
}

var _ Judge = (*share)(nil)

// Cached implements Judge.
func (s *share) Cached(text []byte, encoding Encoding) (*Judgement, bool) {
	return s.reader.Cached(text, encoding)
}

// Judge implements Judge.
func (s *share) Judge(ctx context.Context, text []byte, encoding Encoding) *Judgement {
	return s.reader.judgeFor(ctx, s.principal, text, encoding)
}
