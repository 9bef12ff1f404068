package config

import (
	"path/filepath"

	"github.com/goccy/go-yaml/token"
)

// Control says where operators reach the process that serves.
type Control struct {
	Directory string // of the socket and the locks
	Group     string // whose members may use the socket, too; empty for none
}

func (c *Config) readControl(root *object) {
	c.Control = readControl(root.section("control"), c.Journal.Path)
}

func readControl(o *object, journal string) Control {
	c := Control{Group: o.str("group", "")}
	if v, ok := o.get("directory"); ok {
		if path, ok := v.word(); ok {
			c.Directory = o.l.resolve(path)
		}
	} else if journal != "" {
		c.Directory = filepath.Join(journal, "control")
	}
	o.done()
	return c
}

// ControlPath reads no more of a configuration file than where operators reach the
// process that serves: they need not be able to read its secrets.
func ControlPath(path string) (string, error) {
	journal, err := JournalPath(path)
	if err != nil {
		return "", err
	}
	data, err := readFile(path, maxConfig, false)
	if err != nil {
		return "", Errors{{File: path, Message: err.Error()}}
	}
	l := &loader{file: path, anchors: anchorsOf{}}
	body, err := l.tree(data)
	if err != nil {
		return "", err
	}
	var c Control
	if root, ok := (value{node: body, at: &token.Position{Line: 1, Column: 1}, l: l}).object(); ok {
		c = readControl(root.section("control"), journal)
	}
	if len(l.errs) > 0 {
		return "", l.errs.sorted()
	}
	return c.Directory, nil
}
