package directory

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// entry is what a search found. Its values share the memory of the message that they
// came in.
type entry struct {
	DN         string
	attributes []attribute
}

type attribute struct {
	name   []byte
	values [][]byte
}

// is reports whether it is that attribute: names have no case (RFC 4512 section 2.5).
func (a *attribute) is(name string) bool {
	return string(a.name) == name || len(a.name) == len(name) && strings.EqualFold(string(a.name), name)
}

// all returns the values of an attribute.
func (e *entry) all(name string) [][]byte {
	for i := range e.attributes {
		if e.attributes[i].is(name) {
			return e.attributes[i].values
		}
	}
	return nil
}

// raw returns the first value of an attribute, nil where there is none.
func (e *entry) raw(name string) []byte {
	if values := e.all(name); len(values) > 0 {
		return values[0]
	}
	return nil
}

// text is raw as a text.
func (e *entry) text(name string) string { return string(e.raw(name)) }

// readEntry reads a SearchResultEntry (RFC 4511 section 4.5.2).
func readEntry(content []byte) (*entry, error) {
	dn, rest, err := expect(content, tagOctets)
	if err != nil {
		return nil, err
	}
	list, _, err := expect(rest, tagSequence)
	if err != nil {
		return nil, err
	}
	e := &entry{DN: string(dn), attributes: make([]attribute, 0, min(len(list)/8, 16))}
	for len(list) > 0 {
		var one []byte
		if one, list, err = expect(list, tagSequence); err != nil {
			return nil, err
		}
		var a attribute
		if a.name, one, err = expect(one, tagOctets); err != nil {
			return nil, err
		}
		if a.values, err = readSet(one); err != nil {
			return nil, err
		}
		e.attributes = append(e.attributes, a)
	}
	return e, nil
}

func readSet(b []byte) ([][]byte, error) {
	set, _, err := expect(b, tagSet)
	if err != nil || len(set) == 0 {
		return nil, err
	}
	values := make([][]byte, 0, min(len(set)/8+1, 64))
	for len(set) > 0 {
		var value []byte
		if value, set, err = expect(set, tagOctets); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// ofLibrary is an entry as the library has it.
func ofLibrary(e *ldap.Entry) *entry {
	own := &entry{DN: e.DN, attributes: make([]attribute, len(e.Attributes))}
	for i, a := range e.Attributes {
		own.attributes[i] = attribute{name: []byte(a.Name), values: a.ByteValues}
	}
	return own
}
