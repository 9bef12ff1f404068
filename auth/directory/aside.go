package directory

import "context"

// aside runs something beside those who log in, until it ends or the directory is
// closed.
func (d *Directory) aside(do func(context.Context)) {
	d.closing.mu.Lock()
	defer d.closing.mu.Unlock()
	if d.closing.ctx.Err() == nil {
		d.closing.work.Go(func() { do(d.closing.ctx) })
	}
}

// revive asks a controller that did not answer whether it does so now. Until it does,
// nobody who logs in waits for it.
func (d *Directory) revive(c *controller) {
	if !c.reviving.CompareAndSwap(false, true) {
		return
	}
	d.aside(func(ctx context.Context) {
		defer c.reviving.Store(false)
		err := d.readAt(ctx, c, func(*conn) error { return nil })
		if isUnreachable(err) {
			c.down.Store(d.now().Add(downFor).UnixNano())
			return
		}
		d.answers(c)
	})
}
