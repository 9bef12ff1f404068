package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestInvariant8SecretIsUnprintable tries every way in which a secret could
// slip into a log or a record.
func TestInvariant8SecretIsUnprintable(t *testing.T) {
	const password = "hunter2-Pässword"
	s := NewSecret([]byte(password))
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%b", "%o", "%c", "%U", "%T", "%t", "%e", "%10s", "%-5v", "%.3s"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", struct{ S *Secret }{s})
		fmt.Fprintf(&out, verb+"\n", []*Secret{s})
		fmt.Fprintf(&out, verb+"\n", map[string]any{"s": s})
	}
	fmt.Fprintln(&out, s, &s, errors.New(s.String()), fmt.Errorf("with %v", s))
	for _, v := range []any{s, struct{ S *Secret }{s}, map[string]*Secret{"s": s}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	var logged bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(h).Info("m", "s", s, "struct", struct{ S *Secret }{s}, "any", []any{s})
	}
	out.Write(logged.Bytes())
	for _, leak := range []string{password, "hunter2", fmt.Sprintf("%x", password), fmt.Sprintf("%X", password), fmt.Sprintf("%d", []byte(password)), "104 117 110"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in what was printed", leak)
		}
	}
	if !strings.Contains(logged.String(), unprintable) {
		t.Errorf("logged as %s", logged.String())
	}
}

func TestSecretWipe(t *testing.T) {
	buffer := []byte("hunter2")
	s := NewSecret(buffer)
	if s.Len() != 7 || s.Reveal() != "hunter2" {
		t.Fatalf("%d bytes", s.Len())
	}
	s.Wipe()
	if !bytes.Equal(buffer, make([]byte, 7)) {
		t.Error("the buffer is not wiped")
	}
	if s.Len() != 0 || s.Reveal() != "" {
		t.Error("a wiped secret is not empty")
	}
	s.Wipe()
	var zero Secret
	if zero.Len() != 0 || zero.Reveal() != "" {
		t.Error("the zero value is not empty")
	}
}
