// Package secrets plants secrets wherever one can be, in a site whose proxy sends its
// record everywhere that it can, and looks for them in all that the proxy puts out.
package secrets
