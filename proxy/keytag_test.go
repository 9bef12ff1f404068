package proxy

import (
	"crypto/rand"
	"testing"
)

func marked(size int) []byte {
	secret := make([]byte, size)
	_, _ = rand.Read(secret)
	mark("proxy-1", secret)
	return secret
}

// TestKeyOf: a key tells its node, and all but the tag of it stays random.
func TestKeyOf(t *testing.T) {
	for _, size := range []int{4, 32} {
		secret := marked(size)
		if !KeyOf("proxy-1", secret) {
			t.Errorf("a key of %d bytes is not its node's", size)
		}
		if another := marked(size); string(another) == string(secret) {
			t.Errorf("two keys of %d bytes are the same", size)
		}
		others := 0
		for _, node := range []string{"proxy-2", "proxy-3", "proxy-4", "proxy-5", "proxy-6", "proxy-7", "proxy-8", "proxy-9"} {
			if KeyOf(node, secret) {
				others++
			}
		}
		if size == 32 && others > 0 || others > 4 {
			t.Errorf("a key of %d bytes may be of %d more nodes", size, others)
		}
	}
	for _, short := range [][]byte{nil, {1}, {1, 2, 3}} {
		if KeyOf("proxy-1", short) {
			t.Errorf("%v is a key", short)
		}
	}
}
