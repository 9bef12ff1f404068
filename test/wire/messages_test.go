package wire

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgcustos/pgcustos/internal/pgwire"
)

// messages encode what a client sends.
var messages = map[string]func(*args) ([]byte, error){
	"Query":    func(a *args) ([]byte, error) { return encode(&pgproto3.Query{String: a.str()}) },
	"Parse":    parseMessage,
	"Bind":     bindMessage,
	"Describe": func(a *args) ([]byte, error) { return encode(&pgproto3.Describe{ObjectType: a.kind(), Name: a.str()}) },
	"Execute": func(a *args) ([]byte, error) {
		return encode(&pgproto3.Execute{Portal: a.str(), MaxRows: uint32(a.number())})
	},
	"Close":     func(a *args) ([]byte, error) { return encode(&pgproto3.Close{ObjectType: a.kind(), Name: a.str()}) },
	"Sync":      func(*args) ([]byte, error) { return encode(&pgproto3.Sync{}) },
	"Flush":     func(*args) ([]byte, error) { return encode(&pgproto3.Flush{}) },
	"Terminate": func(*args) ([]byte, error) { return encode(&pgproto3.Terminate{}) },
	"CopyData":  func(a *args) ([]byte, error) { return encode(&pgproto3.CopyData{Data: []byte(a.str())}) },
	"CopyDone":  func(*args) ([]byte, error) { return encode(&pgproto3.CopyDone{}) },
	"CopyFail":  func(a *args) ([]byte, error) { return encode(&pgproto3.CopyFail{Message: a.str()}) },

	"FunctionCall": functionCall,
	// Message is of the given type, with the right length and any body.
	"Message": func(a *args) ([]byte, error) { return pgwire.AppendMessage(nil, a.kind(), []byte(a.str())), nil },
	// Raw is what it says, in hexadecimal digits.
	"Raw": func(a *args) ([]byte, error) {
		var all strings.Builder
		for len(a.words) > 0 && a.err == nil {
			all.WriteString(a.word())
		}
		return hex.DecodeString(all.String())
	},
}

func encode(m pgproto3.FrontendMessage) ([]byte, error) { return m.Encode(nil) }

// kind takes one byte: a type of message, or what Describe and Close are about.
func (a *args) kind() byte {
	w := a.word()
	if len(w) != 1 {
		a.fail("%q is not one byte", w)
		return 0
	}
	return w[0]
}

func parseMessage(a *args) ([]byte, error) {
	name, _ := a.key("name")
	m := &pgproto3.Parse{Name: name}
	for _, oid := range a.keyNumbers("oids") {
		m.ParameterOIDs = append(m.ParameterOIDs, uint32(oid))
	}
	m.Query = a.str()
	return encode(m)
}

func bindMessage(a *args) ([]byte, error) {
	portal, _ := a.key("portal")
	statement, _ := a.key("statement")
	return encode(&pgproto3.Bind{
		DestinationPortal: portal, PreparedStatement: statement,
		Parameters:           a.keyValues("params"),
		ParameterFormatCodes: formats(a.keyNumbers("formats")),
		ResultFormatCodes:    formats(a.keyNumbers("results")),
	})
}

func formats(numbers []int) []int16 {
	var codes []int16
	for _, n := range numbers {
		codes = append(codes, int16(n))
	}
	return codes
}

func functionCall(a *args) ([]byte, error) {
	m := &pgproto3.FunctionCall{Function: uint32(a.number()), Arguments: a.keyValues("args")}
	for _, n := range a.keyNumbers("formats") {
		m.ArgFormatCodes = append(m.ArgFormatCodes, uint16(n))
	}
	if results := a.keyNumbers("result"); len(results) == 1 {
		m.ResultFormatCode = uint16(results[0])
	} else if len(results) > 1 {
		return nil, fmt.Errorf("a FunctionCall has one result")
	}
	return encode(m)
}
