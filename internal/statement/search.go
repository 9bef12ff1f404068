package statement

// searched tells if the texts of a judgement have been through the patterns.
func searched(j *Judgement, p *Patterns) bool {
	return len(j.Statements) == 0 || j.Statements[0].Searched == p
}

// search puts the texts of a judgement through patterns. Nobody else has it yet.
func (j *Judgement) search(p *Patterns) {
	for i := range j.Statements {
		s := &j.Statements[i]
		if s.Effect.Inner != nil {
			s.Effect.Inner.search(j, p)
		}
		j.Form = max(j.Form, s.search(j, p))
	}
}

// search puts the statement's text through patterns, and tells what its form is then.
// The fingerprint stays where it cannot tell what that was: it leaves out
// the constants of a text that is maskable, and comments.
func (st *Statement) search(j *Judgement, p *Patterns) Form {
	st.Searched = p
	text, form := p.Redact(st.Text)
	if form == Verbatim {
		return form
	}
	if !j.Maskable || !p.within(st.Text) {
		st.Fingerprint = 0
	}
	st.Text, st.Hides, st.Digest = text, true, [32]byte{}
	return form
}

// within tells if all that the patterns find is part of literals and comments.
func (p *Patterns) within(text string) bool {
	holes, ok := Holes([]byte(text))
	if !ok {
		return false
	}
	if len(text) > maxCachedText {
		return false
	}
	rest := 0
	for _, at := range p.all.FindAllStringIndex(text, maxMatches) {
		for rest < len(holes) && holes[rest].End < at[1] {
			rest++
		}
		if rest == len(holes) || holes[rest].Start > at[0] {
			return false
		}
	}
	return true
}
