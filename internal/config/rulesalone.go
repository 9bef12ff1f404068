package config

import "github.com/goccy/go-yaml/token"

// LoadRules reads of a configuration file what decides, the backends and the
// rules, and none of the files that it names: it needs no secret. The error is an
// Errors wherever the file could be read.
func LoadRules(path string) (*Config, error) {
	data, err := readFile(path, maxConfig, false)
	if err != nil {
		return nil, Errors{{File: path, Message: err.Error()}}
	}
	l := &loader{file: path, anchors: anchorsOf{}, alone: true}
	body, err := l.tree(data)
	if err != nil {
		return nil, err
	}
	c := newConfig(path, data)
	if root, ok := (value{node: body, at: &token.Position{Line: 1, Column: 1}, l: l}).object(); ok {
		c.readDomainsAlone(root)
		c.readServices(root)
		c.readBackends(root)
		c.readRules(root)
	}
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return c, nil
}
