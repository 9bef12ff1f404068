package wire

import (
	"slices"
	"strings"
	"testing"
)

func TestScriptsThatAreRefused(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown directive", `Qwery "SELECT 1"`, `there is no directive "Qwery"`},
		{"unknown argument", `Sync now`, `what is "now" for?`},
		{"unknown key", `Bind potral=p`, `what is "potral=p" for?`},
		{"missing argument", `Query`, "a string in quotes is missing"},
		{"number", `Execute "" many`, `"many" is no number`},
		{"kind", `Describe Statement "s"`, `"Statement" is not one byte`},
		{"list", `Bind params="a";"b"`, "a comma is missing"},
		{"repetition", `Query "a"*many`, "behind a string there may stand *N"},
		{"list of numbers", `Parse name=s "SELECT $1" oids=int4`, `oids="int4" is no list of numbers`},
		{"string without end", `Query "SELECT`, "a string has no end"},
		{"message of the backend", `Until ReadyForQuestions`, `no message of the backend is called "ReadyForQuestions"`},
		{"mask", "mask everything", `there is no mask "everything"`},
		{"role", "role mallory", `nobody is called "mallory"`},
		{"header behind a step", "Sync\nmask rows", "mask stands before the first step"},
		{"hexadecimal", "Raw 5x", "invalid byte"},
		{"block without end", "repeat 3\nSync", "a block has no end"},
		{"end without block", "Sync\nend", "there is no block to end"},
		{"second connection", "second-connection\nQuery \"SELECT 1\"\nend", `there is no directive "Query" in a second-connection block`},
		{"way to cancel", "Cancel later", `there is no way "later" to cancel`},
		{"nothing", "# nothing\n", "there are no steps"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseScript("x", test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestScriptIsEncoded(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`Query "SELECT 1" # a comment`, "Q\x00\x00\x00\rSELECT 1\x00"},
		{`Query "ab"*3`, "Q\x00\x00\x00\x0bababab\x00"},
		{"Query `a \"quoted\", b`", "Q\x00\x00\x00\x12a \"quoted\", b\x00"},
		{`Parse name=s "x" oids=23,25`, "P\x00\x00\x00\x12s\x00x\x00\x00\x02\x00\x00\x00\x17\x00\x00\x00\x19"},
		{
			`Bind portal=p statement=s params="a",NULL formats=0,1 results=1`,
			"B\x00\x00\x00\x1dp\x00s\x00\x00\x02\x00\x00\x00\x01\x00\x02\x00\x00\x00\x01a\xff\xff\xff\xff\x00\x01\x00\x01",
		},
		{`Describe P "p"`, "D\x00\x00\x00\x07Pp\x00"},
		{`FunctionCall 7 args="x" formats=1 result=1`, "F\x00\x00\x00\x15\x00\x00\x00\x07\x00\x01\x00\x01\x00\x01\x00\x00\x00\x01x\x00\x01"},
		{`Message z "x\x00"`, "z\x00\x00\x00\x06x\x00"},
		{"Raw 51 0000 0003", "Q\x00\x00\x00\x03"},
		{"repeat 2\nSync\nend", "S\x00\x00\x00\x04S\x00\x00\x00\x04"},
	} {
		s, err := parseScript("x", test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		var got strings.Builder
		for i := range s.steps {
			got.Write(s.steps[i].data)
		}
		if got.String() != test.want {
			t.Errorf("%s:\n%q\nwant\n%q", test.text, got.String(), test.want)
		}
	}
}

func TestEveryDifferenceIsOfAScript(t *testing.T) {
	names := make(map[string]bool)
	for _, s := range slices.Concat(readScripts(t, ""), readScripts(t, "raw")) {
		if names[s.name] {
			t.Errorf("there are two scripts %s", s.name)
		}
		names[s.name] = true
	}
	if len(names) < 430 {
		t.Errorf("there are only %d scripts", len(names))
	}
	for name, d := range designed {
		if !names[name] || d.why == "" {
			t.Errorf("%s: no script, or no reason", name)
		}
	}
}
