package statement

import (
	"reflect"
	"testing"
)

func sample() (*Judgement, string) {
	const text = "PREPARE p AS DELETE FROM s.t; SELECT 1"
	inner := &Statement{
		Command: "DELETE", Class: Write, Tags: TagDestructive, Text: "DELETE FROM s.t", Destructive: "DELETE without WHERE",
		Objects: []Object{{Schema: "s", Name: "t", Kind: "relation", Use: UseWrite}}, Fingerprint: 1,
	}
	return &Judgement{
		Statements: []Statement{
			{
				Command: "PREPARE", Class: Write, Tags: TagDestructive | TagSession, Text: "PREPARE p AS DELETE FROM s.t",
				Effect: Effect{Kind: EffectPrepare, Name: "p", Inner: inner}, Fingerprint: 1<<64 - 1,
			},
			{Command: "SELECT", Class: Read, Text: "SELECT 1", Fields: []string{"f", "g"}, Secrets: true, Calls: true, Effect: Effect{Kind: EffectDeclare, Hold: true}},
		},
		Class: Read | Write, Tags: TagDestructive | TagSession, Sensitive: true, Maskable: true,
	}, text
}

func TestCodec(t *testing.T) {
	j, text := sample()
	for _, form := range []Form{Verbatim, Redacted} {
		j.Form = form
		got, err := ParseJudgement(AppendJudgement(nil, j, text), text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, j) {
			t.Errorf("%+v", got)
		}
	}
}

// A worker that a text has taken over cannot answer what has no right form.
func FuzzParseJudgement(f *testing.F) {
	j, text := sample()
	f.Add(AppendJudgement(nil, j, text))
	f.Add(AppendJudgement(nil, UnknownText([]byte(text), CauseSyntax), text))
	f.Add([]byte{0, 0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := ParseJudgement(b, text)
		if err != nil {
			return
		}
		_ = j.Class.String() + j.Tags.String() + j.Form.String()
		again, err := ParseJudgement(AppendJudgement(nil, j, text), text)
		if err != nil || !reflect.DeepEqual(again, j) {
			t.Fatalf("%+v is not what was sent: %+v, %v", again, j, err)
		}
	})
}

// A cut or changed answer is refused or is a judgement, and never panics.
func TestDamagedAnswers(t *testing.T) {
	j, text := sample()
	whole := AppendJudgement(nil, j, text)
	for i := range whole {
		if _, err := ParseJudgement(whole[:i], text); err == nil {
			t.Errorf("cut at %d: no error", i)
		}
		changed := append([]byte(nil), whole...)
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			changed[i] = b
			_, _ = ParseJudgement(changed, text)
		}
	}
	if _, err := ParseJudgement(append(whole, 0), text); err == nil {
		t.Error("a byte too many: no error")
	}
}
