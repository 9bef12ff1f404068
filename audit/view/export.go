package view

import (
	"bytes"

	"github.com/pgcustos/pgcustos/audit/journal"
)

// OCSFLine is one record as an OCSF event, a JSON object without a line break: what a
// query prints, but that an outcome is an event of its own.
func OCSFLine(r *journal.Record) ([]byte, error) {
	event, err := ocsf(&entry{Record: r})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = writeJSON(&b, event)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
