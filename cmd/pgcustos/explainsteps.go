package main

import (
	"fmt"
	"io"
	"time"
)

// step is a part of the way to an answer.
type step struct {
	name string
	took time.Duration
}

// steps are in the order in which they were taken.
type steps []step

// time takes a step.
func (s *steps) time(name string, do func() error) error {
	began := time.Now()
	err := do()
	*s = append(*s, step{name, time.Since(began)})
	return err
}

func (s steps) text(w io.Writer) error {
	for _, step := range s {
		if _, err := fmt.Fprintf(w, "took       %9.3f ms to %s\n", float64(step.took)/float64(time.Millisecond), step.name); err != nil {
			return err
		}
	}
	return nil
}

func (x *explained) text(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "asked for  %q\nbind name  %q\n%s", x.asked, bindName(&x.rules.Identity), x.rules); err != nil {
		return err
	}
	if x.statement != nil {
		if err := x.statement.text(w); err != nil {
			return err
		}
	}
	return x.steps.text(w)
}
