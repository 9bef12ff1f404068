package audit

// Parameters are those of a Bind or FunctionCall message. They are immutable.
type Parameters struct {
	Form  ParametersForm
	Count int
	// Digest is the keyed digest (Store.Keyed) of types, formats and values; of
	// malformed ones there is none.
	Digest [32]byte
	// Values holds the values as text, where Form is ParametersFull (FORMAT.md,
	// section 14). Blob names them where they are kept as a blob instead.
	Values []byte
	Blob   BlobRef
}

// ParametersForm says how much of the parameters is on record.
type ParametersForm string

// The forms. They stand in records, so their names stay.
const (
	ParametersDigest    ParametersForm = "digest"
	ParametersFull      ParametersForm = "full"
	ParametersRedacted  ParametersForm = "redacted"  // the rule asks for all, but there may be a secret in them
	ParametersMalformed ParametersForm = "malformed" // the server refuses the message
)

// ParameterKind says what stands for a value.
type ParameterKind uint8

// The kinds. They stand in records, so their numbers stay.
const (
	ParameterText      ParameterKind = iota // the value as PostgreSQL would print it
	ParameterUndecoded                      // \x and hexadecimal digits of what was sent in a binary format
	ParameterNull                           // NULL
	ParameterRedacted                       // a secret
)
