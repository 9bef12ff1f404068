//go:build !linux

package peer
