package config

import "github.com/goccy/go-yaml/token"

// JournalPath reads no more of a configuration file than where the journal is,
// for auditors, who need not be able to read its secrets.
func JournalPath(path string) (string, error) {
	data, err := readFile(path, maxConfig, false)
	if err != nil {
		return "", Errors{{File: path, Message: err.Error()}}
	}
	l := &loader{file: path, anchors: anchorsOf{}}
	body, err := l.tree(data)
	if err != nil {
		return "", err
	}
	found := ""
	if root, ok := (value{node: body, at: &token.Position{Line: 1, Column: 1}, l: l}).object(); ok {
		if v, ok := root.need("journal", "where the audit records are written"); ok {
			o, _ := v.object()
			found = o.needWord("path", "the directory of this node's audit journal")
		}
	}
	if len(l.errs) > 0 {
		return "", l.errs.sorted()
	}
	return l.resolve(found), nil
}
