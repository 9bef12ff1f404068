package crowds

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// beBackend plays a PostgreSQL that holds as many sessions as descriptors, on a Unix
// socket: it lets in whoever has the password (SCRAM-SHA-256, RFC 5802), and answers each
// statement with one row. It ends with its input.
func beBackend(in io.Reader, out io.Writer) int {
	lines := bufio.NewReader(in)
	var o order
	line, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	var l net.Listener
	if err == nil {
		l, err = net.Listen("unix", o.Address)
	}
	if err == nil {
		err = os.Chmod(o.Address, 0o777)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no backend:", err)
		return 1
	}
	keys := newVerifier(o.Word)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = serve(conn, keys)
			}()
		}
	}()
	_, _ = fmt.Fprintln(out, "here")
	_, _ = io.Copy(io.Discard, lines)
	_ = json.NewEncoder(out).Encode(tally{})
	return 0
}

// verifier is what a server knows of a password.
type verifier struct{ server []byte }

const iterations = 4096

func newVerifier(word string) verifier {
	salted, err := pbkdf2.Key(sha256.New, word, []byte("salt"), iterations, sha256.Size)
	if err != nil {
		panic(err)
	}
	return verifier{sum(salted, "Server Key")}
}

func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func authentication(code uint32, body string) []byte {
	return frame('R', string(binary.BigEndian.AppendUint32(nil, code))+body, 0)
}

// serve has one session.
func serve(conn net.Conn, keys verifier) error {
	b := make([]byte, 4<<10)
	first, err := message(conn, b, 0)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(first) == codeCancel {
		_, err := io.Copy(io.Discard, conn) // it hears, and does not answer
		return err
	}
	if err := keys.prove(conn, b); err != nil {
		return err
	}
	var hello []byte
	for _, p := range []string{"server_version\x0015.0", "client_encoding\x00UTF8", "standard_conforming_strings\x00on", "server_encoding\x00UTF8"} {
		hello = append(hello, frame('S', p+"\x00", 0)...)
	}
	hello = append(hello, frame('K', "\x00\x00\x00\x07\x00\x00\x00\x07", 0)...)
	if _, err := conn.Write(append(hello, frame('Z', "I", 0)...)); err != nil {
		return err
	}
	answer := bytes.Join([][]byte{
		frame('T', "\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00", 0),
		frame('D', "\x00\x01\x00\x00\x00\x011", 0), frame('C', "SELECT 1\x00", 0), frame('Z', "I", 0),
	}, nil)
	for {
		h, err := head(conn)
		if err != nil || h.typ != 'Q' {
			return err
		}
		text := bytes.NewBuffer(b[:0])
		if _, err := io.CopyN(text, conn, int64(h.left)); err != nil {
			return err
		}
		switch {
		case bytes.Contains(text.Bytes(), []byte(silentText)):
		case bytes.Contains(text.Bytes(), []byte(deafText)):
			select {} // its connection stays, and nobody reads
		default:
			if _, err := conn.Write(answer); err != nil {
				return err
			}
		}
	}
}

// What a text says that the scripted backend does not answer, or behind which it reads
// nothing more.
const (
	silentText = "no_answer"
	deafText   = "no_ear"
)

type header struct {
	typ  byte
	left uint32
}

func head(conn net.Conn) (h header, err error) {
	var b [5]byte
	_, err = io.ReadFull(conn, b[:])
	return header{b[0], binary.BigEndian.Uint32(b[1:]) - 4}, err
}

// message reads a message, with so many bytes before its length, and returns its body.
func message(conn net.Conn, b []byte, before int) ([]byte, error) {
	if _, err := io.ReadFull(conn, b[:before+4]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(b[before:])) - 4
	if n < 0 || n > len(b) {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	_, err := io.ReadFull(conn, b[:n])
	return b[:n], err
}

// prove is the server's side of SCRAM. It takes the client's word for its proof.
func (v verifier) prove(conn net.Conn, b []byte) error {
	const sasl, saslContinue, saslFinal, ok = 10, 11, 12, 0
	if _, err := conn.Write(authentication(sasl, "SCRAM-SHA-256\x00\x00")); err != nil {
		return err
	}
	first, err := message(conn, b, 1)
	if err != nil {
		return err
	}
	_, bare, _ := strings.Cut(string(first), "n,,") // behind the mechanism and its length
	_, nonce, _ := strings.Cut(bare, "r=")
	question := fmt.Sprintf("r=%sserver,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString([]byte("salt")), iterations)
	if _, err := conn.Write(authentication(saslContinue, question)); err != nil {
		return err
	}
	last, err := message(conn, b, 1)
	if err != nil {
		return err
	}
	without, _, _ := strings.Cut(string(last), ",p=")
	signature := sum(v.server, bare+","+question+","+without)
	_, err = conn.Write(append(authentication(saslFinal, "v="+base64.StdEncoding.EncodeToString(signature)), authentication(ok, "")...))
	return err
}
