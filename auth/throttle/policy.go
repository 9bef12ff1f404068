package throttle

import "time"

// Policy is what the domain and the configuration ask for.
type Policy struct {
	// Threshold is how many wrong passwords in a row lock an account; 0 where the
	// domain locks none.
	Threshold int
	// Window is how long after a wrong password the directory forgets it, where
	// no other one comes.
	Window time.Duration
	// PerSource is how many wrong names and passwords an address may send in
	// SourceWindow.
	PerSource    int
	SourceWindow time.Duration
}

// WithDefaults fills in what is missing of the bounds of an address.
func (p Policy) WithDefaults() Policy {
	const perSource, window = 30, 10 * time.Minute
	if p.PerSource <= 0 {
		p.PerSource = perSource
	}
	if p.SourceWindow <= 0 {
		p.SourceWindow = window
	}
	return p
}

// assumed is the threshold where the domain has none: guessing is slowed anyway.
const assumed = 10

// slack is added to the window: the directory's clock is not the proxy's.
const slack = 2 * time.Second

// budget is how many wrong passwords in a row an account may have.
type budget struct {
	account   int // in all
	strangers int // of addresses that are not known for the account
	source    int // of one such address
}

// budget leaves a fifth of the threshold, one at least, to what does not come by
// the proxy. Where the threshold is 1, no log-in at all would be the only way.
func (p *Policy) budget() budget {
	threshold := p.Threshold
	if threshold <= 0 {
		threshold = assumed
	}
	all := max(1, threshold-max(1, threshold/5))
	strangers := (all + 1) / 2
	return budget{account: all, strangers: strangers, source: max(1, strangers-1)}
}
