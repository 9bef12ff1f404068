package startup

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// Codes in the place of a protocol version (pqcomm.h).
const (
	codeCancel = 1234<<16 | 5678
	codeSSL    = 1234<<16 | 5679
	codeGSS    = 1234<<16 | 5680
)

// maxPacket is MAX_STARTUP_PACKET_LENGTH of pqcomm.h, without the length word.
const maxPacket = 10_000

// packets reads packets without a type: a length, which counts itself, a code,
// a body. In clear it reads what has come with one call, as PostgreSQL does, so
// that what a client sent behind a packet is seen before that is answered. Inside
// TLS it reads exactly the packets: what follows is for whoever reads on.
type packets struct {
	conn  net.Conn
	exact bool
	buf   [512]byte
	have  []byte // read and not taken yet
}

// startsWith tells whether the stream begins with that byte.
func (p *packets) startsWith(b byte) (bool, error) {
	if err := p.fill(); err != nil {
		return false, err
	}
	return p.have[0] == b, nil
}

// fill reads once when nothing is at hand.
func (p *packets) fill() error {
	for len(p.have) == 0 {
		n, err := p.conn.Read(p.buf[:])
		p.have = p.buf[:n]
		if n == 0 && err != nil {
			return fmt.Errorf("%w: %w", ErrSilent, err)
		}
	}
	return nil
}

// buffered tells whether something stands behind the packets that were taken.
func (p *packets) buffered() bool { return len(p.have) > 0 }

// rest returns a connection that reads what is at hand first.
func (p *packets) rest() net.Conn {
	return &replay{Conn: p.conn, have: p.have}
}

func (p *packets) read(dst []byte) error {
	if p.exact {
		if _, err := io.ReadFull(p.conn, dst); err != nil {
			return fmt.Errorf("%w: %w", ErrSilent, err)
		}
		return nil
	}
	for len(dst) > 0 {
		if err := p.fill(); err != nil {
			return err
		}
		n := copy(dst, p.have)
		dst, p.have = dst[n:], p.have[n:]
	}
	return nil
}

// next reads a packet. A length that no client sends ends the connection.
func (p *packets) next() (code uint32, body []byte, err error) {
	var head [8]byte
	if err := p.read(head[:4]); err != nil {
		return 0, nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 4
	if size < 4 || size > maxPacket {
		return 0, nil, fmt.Errorf("%w: invalid length of startup packet: %d", ErrSilent, size+4)
	}
	if err := p.read(head[4:]); err != nil {
		return 0, nil, err
	}
	body = make([]byte, size-4)
	if err := p.read(body); err != nil {
		return 0, nil, err
	}
	return binary.BigEndian.Uint32(head[4:]), body, nil
}

// replay is a connection whose first bytes were read already.
type replay struct {
	net.Conn
	have []byte
}

// NetConn returns the connection below. Behind the handshake that replay is made for,
// it is where all bytes come from.
func (r *replay) NetConn() net.Conn { return r.Conn }

func (r *replay) Read(b []byte) (int, error) {
	if len(r.have) > 0 {
		n := copy(b, r.have)
		r.have = r.have[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// CancelKey is what a CancelRequest shows: the process id and the secret that
// the session was given.
type CancelKey struct {
	PID    uint32
	Secret []byte // 4 bytes in protocol 3.0, up to 256 since 3.2
}

// readCancel reads the body of a CancelRequest. PostgreSQL is silent about bad
// ones.
func readCancel(body []byte) (*CancelKey, error) {
	const minSecret, maxSecret = 4, 256
	if len(body) < 4+minSecret || len(body) > 4+maxSecret {
		return nil, fmt.Errorf("%w: invalid length of cancel request: %w", ErrSilent, io.ErrUnexpectedEOF)
	}
	return &CancelKey{PID: binary.BigEndian.Uint32(body), Secret: body[4:]}, nil
}
