package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// args are the words behind a directive. The first fault sticks; end reports it,
// and what nobody asked for.
type args struct {
	words []word
	err   error
}

func (a *args) end() error {
	if a.err == nil && len(a.words) > 0 {
		a.err = fmt.Errorf("what is %q for?", strings.TrimPrefix(a.words[0].key+"="+a.words[0].text, "="))
	}
	return a.err
}

func (a *args) fail(format string, values ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, values...)
	}
}

// next takes the first word that has no key.
func (a *args) next(quoted bool, what string) string {
	if len(a.words) == 0 || a.words[0].key != "" || a.words[0].quoted != quoted {
		a.fail("%s is missing", what)
		return ""
	}
	w := a.words[0]
	a.words = a.words[1:]
	return w.text
}

func (a *args) str() string  { return a.next(true, "a string in quotes") }
func (a *args) word() string { return a.next(false, "a word") }

func (a *args) number() int {
	text := a.next(false, "a number")
	n, err := strconv.Atoi(text)
	if err != nil {
		a.fail("%q is no number", text)
	}
	return n
}

func (a *args) optional(otherwise int) int {
	if len(a.words) == 0 {
		return otherwise
	}
	return a.number()
}

// key takes the value behind key=, wherever it stands.
func (a *args) key(name string) (value string, ok bool) {
	for i, w := range a.words {
		if w.key == name {
			a.words = append(a.words[:i:i], a.words[i+1:]...)
			return w.text, true
		}
	}
	return "", false
}

func (a *args) keyNumbers(name string) []int {
	text, ok := a.key(name)
	if !ok || text == "" {
		return nil
	}
	var numbers []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			a.fail("%s=%q is no list of numbers", name, text)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// keyValues takes a list of strings and NULLs: params="a",NULL,"b".
func (a *args) keyValues(name string) [][]byte {
	for i, w := range a.words {
		if w.key != name {
			continue
		}
		a.words = append(a.words[:i:i], a.words[i+1:]...)
		if w.quoted {
			return [][]byte{[]byte(w.text)}
		}
		values, err := values(w.text)
		if err != nil {
			a.fail("%s: %v", name, err)
		}
		return values
	}
	return nil
}

func values(text string) ([][]byte, error) {
	var list [][]byte
	for {
		quoted, err := strconv.QuotedPrefix(text)
		switch {
		case strings.HasPrefix(text, "NULL"):
			list, text = append(list, nil), text[len("NULL"):]
		case err != nil:
			return nil, fmt.Errorf("neither a string nor NULL: %s", text)
		default:
			s, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			list, text = append(list, []byte(s)), text[len(quoted):]
		}
		if text == "" {
			return list, nil
		}
		if text[0] != ',' {
			return nil, fmt.Errorf("a comma is missing before %s", text)
		}
		text = text[1:]
	}
}
