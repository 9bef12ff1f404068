package auth

import "strings"

// Command names statements by their command tag as PostgreSQL has it
// (cmdtaglist.h): "DROP TABLE", or with a star at the end every tag that begins
// so: "DROP *". It is about the outermost command only: what a statement does
// inside, its classes and tags tell.
type Command struct {
	tag  string
	open bool // the tag may go on
}

// NewCommand reads a command. It reports false for what no command tag can be.
func NewCommand(s string) (Command, bool) {
	tag, open := strings.CutSuffix(s, "*")
	for _, r := range tag {
		if r != ' ' && r != '_' && (r < 'A' || r > 'Z') {
			return Command{}, false
		}
	}
	return Command{tag: tag, open: open}, s != ""
}

func (c Command) matches(tag string) bool {
	return tag != "" && (c.tag == tag || c.open && strings.HasPrefix(tag, c.tag))
}

// String returns the command as it was written.
func (c Command) String() string {
	if c.open {
		return c.tag + "*"
	}
	return c.tag
}

// named reports whether one of the commands is that of the tag.
func named(list []Command, tag string) bool {
	for _, c := range list {
		if c.matches(tag) {
			return true
		}
	}
	return false
}
