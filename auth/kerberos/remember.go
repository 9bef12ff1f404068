package kerberos

import (
	"encoding/json"
	"errors"
	"maps"
	"time"
)

// remembered is what one process tells the next of the authenticators that were used.
type remembered struct {
	Since  time.Time      `json:"since"`
	Turned time.Time      `json:"turned"`
	Young  []byte         `json:"young"` // sums, one behind the other
	Old    []byte         `json:"old"`
	Each   map[string]int `json:"each"`
}

// MarshalJSON tells what a successor has to remember.
func (r *Replays) MarshalJSON() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return json.Marshal(&remembered{Since: r.since, Turned: r.turned, Young: join(r.young), Old: join(r.old), Each: r.each})
}

// UnmarshalJSON takes over what another process has remembered: who used a ticket
// there is known here, and one from before this process is no reason to refuse.
func (r *Replays) UnmarshalJSON(data []byte) error {
	var was remembered
	if err := json.Unmarshal(data, &was); err != nil {
		return err
	}
	young, old := sums{}, sums{}
	if err := errors.Join(young.add(was.Young), old.add(was.Old)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(young, r.young)
	maps.Copy(old, r.old)
	r.since, r.turned, r.young, r.old = was.Since, was.Turned, young, old
	for client, n := range was.Each {
		r.each[client] += n
	}
	return nil
}

func join(s sums) []byte {
	out := make([]byte, 0, len(s)*sumSize)
	for sum := range s {
		out = append(out, sum[:]...)
	}
	return out
}

func (s sums) add(b []byte) error {
	if len(b)%sumSize != 0 || len(b) > mostReplays*sumSize {
		return errors.New("these are no sums of authenticators")
	}
	for ; len(b) > 0; b = b[sumSize:] {
		s[[sumSize]byte(b)] = struct{}{}
	}
	return nil
}
