package config

import (
	"runtime"

	"github.com/pgcustos/pgcustos/proxy/driver"
)

// The drivers of sessions.
const (
	driverEpoll     = "epoll"
	driverGoroutine = "goroutine"
)

// readDriver reads what moves the bytes of sessions.
func (c *Config) readDriver(o *object) {
	otherwise := driverGoroutine
	if runtime.GOOS == "linux" {
		otherwise = driverEpoll
	}
	c.Listen.Driver = o.oneOf("driver", otherwise, driverEpoll, driverGoroutine)
	if v, ok := o.fields["driver"]; ok && c.Listen.Driver == driverEpoll && runtime.GOOS != "linux" {
		v.errorf("epoll is Linux's alone: write goroutine")
	}
	c.Listen.Loops = o.integer("loops", 0, 0, 1024)
	if v, ok := o.fields["loops"]; ok && c.Listen.Loops > 0 && c.Listen.Driver != driverEpoll {
		v.errorf("only the driver epoll has loops: leave it out")
	}
}

// OpenLoops starts the event loops that drive sessions; nil where goroutines do.
func (l *Listen) OpenLoops() (*driver.Loops, error) {
	if l.Driver != driverEpoll {
		return nil, nil
	}
	return driver.OpenLoops(l.Loops)
}
