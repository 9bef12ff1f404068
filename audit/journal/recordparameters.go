package journal

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pgcustos/pgcustos/audit"
)

// Parameters are those of a Bind or FunctionCall message, as far as they are on
// record.
type Parameters struct {
	Form   string // digest, full, redacted, malformed
	Count  uint64
	Digest string      // 64 hexadecimal digits
	Values []Parameter // of the form full
	Blob   *audit.BlobRef
	Fault  string // why the blob could not be read
}

// Parameter is one value as text.
type Parameter struct {
	Type  uint32 // OID of its type, 0 where it was not known
	Kind  audit.ParameterKind
	Value string
}

func (r *Record) parameters() *Parameters {
	if r.Parameters == nil {
		r.Parameters = &Parameters{}
	}
	return r.Parameters
}

var errParameters = errors.New("a parameter overruns its field")

// parameterHead is the size of what stands before a value (FORMAT.md, section 14).
const parameterHead = 13

func (p *Parameters) decode(b []byte) (err error) {
	p.Values, err = decodeParameters(b)
	return err
}

// decodeParameters reads values one behind the other. With the error it returns
// those that are whole.
func decodeParameters(b []byte) ([]Parameter, error) {
	var values []Parameter
	for len(b) > 0 {
		if len(b) < parameterHead {
			return values, errParameters
		}
		size := binary.LittleEndian.Uint64(b[5:])
		if size > uint64(len(b)-parameterHead) {
			return values, errParameters
		}
		end := parameterHead + int(size)
		values = append(values, Parameter{
			Type: binary.LittleEndian.Uint32(b[1:]), Kind: audit.ParameterKind(b[0]), Value: string(b[parameterHead:end]),
		})
		b = b[end:]
	}
	return values, nil
}

// LoadParameters sets the values of parameters that are kept as a blob: those that
// stand whole in its first bytes, at most so many; all where most is 0. Of others it
// changes nothing. Where the blob cannot be read, Fault says why, and that is the
// error.
func (r *Record) LoadParameters(most int64) error {
	p := r.Parameters
	if p == nil || p.Blob == nil {
		return nil
	}
	from, err := r.openBlob(p.Blob)
	if err != nil {
		p.Fault = err.Error()
		return err
	}
	text, err := readText(from, p.Blob.Length, most)
	if err = errors.Join(err, from.Close()); err != nil {
		p.Fault = err.Error()
		return err
	}
	values, err := decodeParameters([]byte(text))
	if p.Values = values; most > 0 && most < p.Blob.Length {
		err = nil // the last one is cut
	}
	return err
}

// String tells the parameters on a line, values as PostgreSQL's log has them.
func (p *Parameters) String() string {
	switch p.Form {
	case string(audit.ParametersFull):
	case string(audit.ParametersDigest):
		return fmt.Sprintf("%d parameters, digest %.16s", p.Count, p.Digest)
	default:
		return fmt.Sprintf("%d parameters, %s", p.Count, p.Form)
	}
	var out []string
	for i, v := range p.Values {
		out = append(out, fmt.Sprintf("$%d = %s", i+1, v.String()))
	}
	if missing := p.Count - min(p.Count, uint64(len(p.Values))); missing > 0 && p.Blob != nil {
		out = append(out, fmt.Sprintf("%d more in a blob of %d bytes", missing, p.Blob.Length))
	}
	return strings.Join(out, ", ")
}

// String is the value between quotes, or what stands for it.
func (v *Parameter) String() string {
	switch v.Kind {
	case audit.ParameterNull:
		return "NULL"
	case audit.ParameterRedacted:
		return "(redacted)"
	case audit.ParameterUndecoded:
		return fmt.Sprintf("'%s' (type %d, not decoded)", v.Value, v.Type)
	default:
		return "'" + strings.ReplaceAll(v.Value, "'", "''") + "'"
	}
}

type jsonParameters struct {
	Form   string          `json:"form"`
	Count  uint64          `json:"count"`
	Digest string          `json:"digest,omitempty"`
	Values []jsonParameter `json:"values,omitempty"`
	Blob   *jsonBlob       `json:"blob,omitempty"`
	Fault  string          `json:"fault,omitempty"`
}

type jsonParameter struct {
	Type      uint32  `json:"type,omitempty"`
	Value     *string `json:"value"` // null is NULL, or redacted
	Base64    string  `json:"value_base64,omitempty"`
	Undecoded bool    `json:"undecoded,omitempty"`
	Redacted  bool    `json:"redacted,omitempty"`
}

func (r *Record) jsonParameters() *jsonParameters {
	p := r.Parameters
	if p == nil {
		return nil
	}
	j := &jsonParameters{valid(p.Form), p.Count, p.Digest, nil, refJSON(p.Blob), valid(p.Fault)}
	for _, v := range p.Values {
		out := jsonParameter{Type: v.Type, Undecoded: v.Kind == audit.ParameterUndecoded, Redacted: v.Kind == audit.ParameterRedacted}
		if v.Kind != audit.ParameterNull && v.Kind != audit.ParameterRedacted {
			text := valid(v.Value)
			out.Value = &text
			if !utf8.ValidString(v.Value) {
				out.Base64 = base64.StdEncoding.EncodeToString([]byte(v.Value))
			}
		}
		j.Values = append(j.Values, out)
	}
	return j
}
