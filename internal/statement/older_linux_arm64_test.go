package statement_test

// older are the older forms of the same calls, of which there are none.
var older []int
