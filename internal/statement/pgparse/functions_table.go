package pgparse

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/pgcustos/pgcustos/internal/statement"
)

// The table of functions that act, for people to read and for functionTable to
// take in.
//
//go:embed functions.txt
var functionText string

// The sections of functions.txt.
const (
	ofCatalog = iota
	ofExtensions
	harmlessOfCatalog
	harmlessOfExtensions
	functionSections
)

// action is what a function does that acts.
type action struct {
	names string // as they stand in the table
	class statement.Class
	tags  statement.Tag
	arg   argumentKind
	why   string
}

// argumentKind says what one argument of a function is.
type argumentKind struct {
	place int    // from 0; -1 for any
	of    int    // only where there are so many arguments; 0 for any number
	kind  string // an object's kind, or setting, SQL, SQL elsewhere, names, statistics, any; empty where it is of no interest
	use   statement.Use
}

// names of functions with what stands for them: exactly, and by how they begin.
type functionNames struct {
	exact    map[string]*action
	prefixes []prefixed // longest first is not needed: the first that fits is taken
	suffixes []prefixed
}

type prefixed struct {
	part   string
	action *action
}

func (f *functionNames) add(name string, a *action) {
	switch {
	case strings.HasPrefix(name, "*"):
		f.suffixes = append(f.suffixes, prefixed{name[1:], a})
	case strings.HasSuffix(name, "*"):
		f.prefixes = append(f.prefixes, prefixed{strings.TrimSuffix(name, "*"), a})
	default:
		f.exact[name] = a
	}
}

// find returns what stands for a name, nil where nothing does.
func (f *functionNames) find(name string) *action {
	if a := f.exact[name]; a != nil {
		return a
	}
	for _, p := range f.prefixes {
		if strings.HasPrefix(name, p.part) {
			return p.action
		}
	}
	for _, s := range f.suffixes {
		if strings.HasSuffix(name, s.part) {
			return s.action
		}
	}
	return nil
}

// functionTable is functions.txt, by section.
var functionTable = sync.OnceValue(func() [functionSections]*functionNames {
	table, err := readFunctions(functionText)
	if err != nil {
		panic(err) // it is part of the binary, and a test reads it
	}
	return table
})

func readFunctions(text string) (table [functionSections]*functionNames, err error) {
	for i := range table {
		table[i] = &functionNames{exact: map[string]*action{}}
	}
	section, number := -1, 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
			continue
		case strings.HasPrefix(line, "== "):
			section++
			continue
		}
		columns := strings.Split(line, "|")
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		a := &action{names: columns[0], why: columns[len(columns)-1]}
		if section < harmlessOfCatalog {
			if err := a.read(columns); err != nil {
				return table, fmt.Errorf("functions.txt:%d: %w", number, err)
			}
		}
		for _, name := range strings.Fields(columns[0]) {
			table[section].add(name, a)
		}
	}
	return table, nil
}

// read takes the columns of an acting function in.
func (a *action) read(columns []string) error {
	if len(columns) != 5 {
		return fmt.Errorf("%d columns", len(columns))
	}
	for _, name := range strings.Fields(columns[1]) {
		c, ok := statement.ParseClass(name)
		if !ok {
			return fmt.Errorf("class %q", name)
		}
		a.class |= c
	}
	for _, name := range strings.Fields(columns[2]) {
		t, ok := statement.ParseTag(name)
		if !ok {
			return fmt.Errorf("tag %q", name)
		}
		a.tags |= t
	}
	return a.arg.read(columns[3])
}

// anyKind stands for whatever there is: no argument tells which.
const anyKind = "any"

// read takes in the column on arguments: "1 sequence written", "* SQL", "any read".
func (k *argumentKind) read(column string) error {
	place, what, _ := strings.Cut(column, " ")
	switch {
	case column == "":
		return nil
	case place == anyKind:
		place, what = "*", column
	}
	k.place = -1
	if place != "*" {
		place, of, _ := strings.Cut(place, "/")
		n, err := strconv.Atoi(place)
		if err == nil && of != "" {
			k.of, err = strconv.Atoi(of)
		}
		if err != nil {
			return fmt.Errorf("argument %q: %w", column, err)
		}
		k.place = n - 1
	}
	for use := statement.UseRead; use <= statement.UseExecute; use++ {
		if kind, ok := strings.CutSuffix(what, " "+use.String()); ok {
			k.kind, k.use = kind, use
			return nil
		}
	}
	k.kind = what
	return nil
}
