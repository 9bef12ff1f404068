package directory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pgcustos/pgcustos/auth"
)

var _ auth.Watcher = (*Directory)(nil)

const (
	// watchPeriod is how often a controller is asked what has changed, and whether the
	// accounts of live sessions are as they were.
	watchPeriod = time.Second
	// watchPause is how long a watch waits that no controller answered.
	watchPause = time.Second
	// watchReaders is how many accounts are read at once: log-ins need places too.
	watchReaders = 3
	// mostRereads is how many accounts are read again in one round for no other cause
	// than that their turn has come.
	mostRereads = 100
)

// watch follows the accounts of live sessions. It belongs to one goroutine.
type watch struct {
	d    *Directory
	roll auth.Roll
	// seen is what was found of each account, and of each group that one is in.
	seen   map[string]*sighting
	groups map[string]*sighting // by SID
	guests map[string]*asking   // by key
	blind  bool                 // no controller answers, and that is logged
}

// sighting is what the last look at an entry gave.
type sighting struct {
	print string    // of what the look shows; empty before the first
	at    time.Time // of the look
	read  time.Time // the reading of the account that was confirmed last
}

// Watch implements auth.Watcher. Three ways tell of changes: a controller announces
// them; it is asked each second for what has a new uSNChanged; and each second a
// cheap look at the accounts and their groups finds what neither tells: deletions,
// lock-outs, what the reading account may not see any more. All that any of them
// does is to have accounts read again.
func (d *Directory) Watch(ctx context.Context, roll auth.Roll) {
	w := &watch{d: d, roll: roll, seen: make(map[string]*sighting), groups: make(map[string]*sighting), guests: make(map[string]*asking)}
	for ctx.Err() == nil {
		err := d.ask(ctx, func(c *controller) error { return w.stand(ctx, c) })
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !w.blind {
			d.log.Warn("the directory cannot be watched: live sessions go on for as long as their rules say", "error", err)
		}
		w.blind = true
		w.takeBack()
		sleep(ctx, watchPause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// stand watches at one controller until it fails, or its connection is old.
func (w *watch) stand(ctx context.Context, c *controller) error {
	p, err := w.open(ctx, c)
	if err != nil {
		return err
	}
	defer p.close()
	w.d.answers(c)
	if w.blind {
		w.d.log.Info("the directory is watched again", "controller", c.url)
		w.blind = false
	}
	// A change that another controller has told of may not be here yet, and what
	// happened meanwhile nobody has told: everything is read again.
	for _, s := range w.seen {
		s.read = time.Time{}
	}
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for time.Since(p.conn.born) < longestLife {
		full := false
		select {
		case <-ctx.Done():
			return nil
		case <-p.notices.wake:
		case <-tick.C:
			full = true
		case <-w.d.nudged:
			full = true
		}
		if err := p.round(ctx, full); err != nil {
			if errors.Is(err, errAfresh) {
				return nil
			}
			return err
		}
	}
	return nil
}

// round reads the accounts again that something may have happened to: those first
// that something did.
func (p *post) round(ctx context.Context, full bool) error {
	w := p.watch
	accounts, guests := w.d.part(w.roll.Accounts())
	w.forget(accounts, guests)
	news := p.notices.take()
	if full {
		if err := p.poll(ctx, &news, len(accounts)+len(guests) > 0); err != nil {
			return err
		}
	}
	touched, err := p.affected(ctx, &news, accounts, guests)
	if err == nil {
		err = p.reread(ctx, touched, news.since)
	}
	if err != nil || !full {
		return err
	}
	before := p.looked
	p.looked = time.Now()
	different, err := p.look(ctx, accounts, guests)
	if err == nil {
		err = p.reread(ctx, different, before)
	}
	if err == nil {
		accounts, guests = w.d.part(w.roll.Accounts())
		err = p.reread(ctx, append(w.due(accounts), p.dueGuests(guests)...), time.Time{})
	}
	if err == nil {
		w.d.hear()
	}
	return err
}

// forget drops what is known of accounts without sessions.
func (w *watch) forget(accounts, guests []auth.Identity) {
	live := make(map[string]bool, len(accounts))
	for i := range accounts {
		live[accounts[i].GUID] = true
	}
	for guid := range w.seen {
		if !live[guid] {
			delete(w.seen, guid)
		}
	}
	if len(accounts)+len(guests) == 0 {
		clear(w.groups)
	}
}

// recheck is how often an account is read in any case.
func (w *watch) recheck() time.Duration {
	if w.d.options.Recheck <= 0 {
		return time.Minute
	}
	return w.d.options.Recheck
}

// due returns the accounts of which a session has a reading that was not confirmed
// since it began, and those whose reading is old.
func (w *watch) due(accounts []auth.Identity) []auth.Identity {
	recheck := w.recheck()
	var due []auth.Identity
	for i := range accounts {
		id := &accounts[i]
		if s := w.sighting(id.GUID); !id.Read.Equal(s.read) || time.Since(id.Read) > recheck {
			due = append(due, *id)
		}
	}
	if len(due) > mostRereads {
		slices.SortFunc(due, func(a, b auth.Identity) int { return a.Read.Compare(b.Read) })
		due = due[:mostRereads]
	}
	return due
}

func (w *watch) sighting(guid string) *sighting {
	s := w.seen[guid]
	if s == nil {
		s = &sighting{}
		w.seen[guid] = s
	}
	return s
}

// reread reads accounts again at the controller that told of them, and tells the
// roll. Where since is zero, the change is no older than what was read last. The
// error says that the controller does not answer.
func (p *post) reread(ctx context.Context, accounts []auth.Identity, since time.Time) error {
	if len(accounts) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *auth.Identity, len(accounts))
	for i := range accounts {
		queue <- &accounts[i]
	}
	close(queue)
	var mu sync.Mutex
	var failed error
	var work sync.WaitGroup
	for range min(watchReaders, len(accounts)) {
		work.Go(func() {
			for id := range queue {
				change, err := p.rereadOne(ctx, id, since)
				own := p.watch.d.mine(id)
				mu.Lock()
				switch {
				case err == nil && own:
					p.watch.confirm(&change)
				case err == nil:
					p.watch.told(id)
				case failed == nil:
					failed = err
					cancel()
				}
				mu.Unlock()
				if err != nil {
					return
				}
				p.watch.roll.Changed(change)
				if own && change.Err == nil {
					p.spread(id, &change.Now)
				}
			}
		})
	}
	work.Wait()
	return failed
}

// confirm notes the reading that the sessions of an account rest on from now on.
func (w *watch) confirm(c *auth.Change) {
	if c.Err == nil {
		w.sighting(c.Now.GUID).read = c.Now.Read
	}
}

// rereadOne reads one account. The error is that of a controller that does not
// answer; what the directory says of the account stands in the change.
func (p *post) rereadOne(ctx context.Context, id *auth.Identity, since time.Time) (auth.Change, error) {
	d := p.watch.d
	if !d.mine(id) {
		return p.rereadGuest(ctx, id, since)
	}
	change := auth.Change{Key: id.Key(), Since: since}
	if since.IsZero() {
		change.Since = id.Read
	}
	var fresh auth.Identity
	err := d.readAt(ctx, p.controller, func(c *conn) (err error) {
		fresh, err = d.load(ctx, c, id.GUID, nil)
		return err
	})
	if err == nil && fresh.SID != id.SID {
		err = &auth.Failure{Cause: auth.CauseIdentityMismatch, Detail: "the account's SID is another one now"}
	}
	var gone *unreachable
	if errors.As(err, &gone) {
		return change, err
	}
	if err != nil && failure(err).Cause == auth.CauseDirectoryDown {
		return change, err
	}
	change.Now, change.Err = fresh, err
	if err != nil {
		change.Now = auth.Identity{}
	}
	return change, nil
}
