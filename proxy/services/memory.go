package services

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pgcustos/pgcustos/auth"
	"github.com/pgcustos/pgcustos/internal/durable"
)

// memory is what outlives a restart, by account.
type memory map[string]*remembered

// remembered is what is remembered of one service.
type remembered struct {
	SID     string    `json:"sid,omitempty"`
	LastUse time.Time `json:"last_use,omitzero"`

	Ends   time.Time `json:"ends,omitzero"`    // what was warned of
	Warned int       `json:"warned,omitempty"` // how many days before, at the last warning

	Owner       string    `json:"owner,omitempty"` // as it was declared when GUID and SID were read
	OwnerGUID   string    `json:"owner_guid,omitempty"`
	OwnerSID    string    `json:"owner_sid,omitempty"`
	OwnerGone   time.Time `json:"owner_gone,omitzero"`   // since when
	Quarantined string    `json:"quarantined,omitempty"` // why; empty where it is not
	// Others are the SIDs of accounts that were in quarantine under the name before it became
	// another one's.
	Others []string `json:"others,omitempty"`
}

const memoryName = "services.json"

func (k *Keeper) load() error {
	path := filepath.Join(k.o.Directory, memoryName)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		k.memory = memory{}
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &k.memory)
	}
	for _, m := range k.memory {
		if m == nil && err == nil {
			err = errors.New("a service without content")
		}
	}
	if err == nil && k.memory == nil {
		err = errors.New("no services at all")
	}
	if err != nil {
		return fmt.Errorf("%s cannot be read, so that nobody knows which services are in quarantine: mend it, or remove it to let them in for their whole grace again: %w", path, err)
	}
	k.saved = data
	return nil
}

// use notes when the service last began a session.
func (m *remembered) use(last time.Time, _ int) {
	if last.After(m.LastUse) {
		m.LastUse = last.UTC()
	}
}

// is notes which account has the name. One that is in quarantine stays there without it.
func (m *remembered) is(sid string) {
	if m.Quarantined != "" && m.SID != "" && m.SID != sid && !slices.Contains(m.Others, m.SID) {
		m.Others = append(m.Others, m.SID)
	}
	m.SID = sid
}

// release ends the quarantine.
func (m *remembered) release() { m.Quarantined, m.Others = "", nil }

// save writes what is to be remembered, where that is something else by now.
func (k *Keeper) save() {
	for _, m := range k.memory {
		m.use(k.o.Target.Used(&auth.Identity{SID: m.SID}))
	}
	data, err := json.MarshalIndent(k.memory, "", "  ")
	if err == nil {
		data = append(data, '\n')
		if bytes.Equal(data, k.saved) {
			return
		}
		err = durable.Replace(filepath.Join(k.o.Directory, memoryName), data)
	}
	if err != nil {
		k.o.Log.Error("what is remembered of services cannot be written: a restart would forget it", "error", err)
		return
	}
	k.saved = data
}
