package statement

import (
	"bytes"
	"regexp"
	"strings"
)

// SecretName tells if a setting or an option of that name holds a secret.
func SecretName(name string) bool {
	name = strings.ToLower(name)
	if harmless[name] {
		return false
	}
	if strings.HasPrefix(name, "request.header") { // PostgREST's: of HTTP, with the client's token
		return true
	}
	for _, part := range []string{"pass", "pwd", "secret", "token", "key", "credential", "conninfo", "authorization", "cookie"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// harmless are settings that only sound like secrets.
var harmless = map[string]bool{"password_encryption": true, "password_required": true, "session_authorization": true}

// SecretFunction tells if a function of that name is given secrets: connection
// strings, the passwords and keys of pgcrypto, and what a name says.
func SecretFunction(name string) bool {
	switch name {
	case "crypt", "encrypt", "decrypt", "encrypt_iv", "decrypt_iv", "hmac":
		return true
	}
	return strings.HasPrefix(name, "dblink") || strings.HasPrefix(name, "pgp_sym_") || strings.HasPrefix(name, "pgp_pub_decrypt") ||
		SecretFunctionName(name)
}

// SecretFunctionName tells if a function's name says that it is given a secret:
// set_password, create_secret, create_aws_credentials.
func SecretFunctionName(name string) bool {
	return name == "http_header" || strings.Contains(name, "passw") || strings.Contains(name, "secret") || strings.Contains(name, "credential")
}

// TakesSecrets tells if what is bound to the statement's parameters may be a
// secret: it calls such a function, gives one a secret by its name, or sets something
// that holds one or that is not known.
func TakesSecrets(s *Statement) bool {
	if s.Secrets {
		return true
	}
	for i := range s.Objects {
		switch o := &s.Objects[i]; o.Kind {
		case "function":
			if SecretFunction(strings.ToLower(o.Name)) {
				return true
			}
		case "setting":
			if o.Name == Any || SecretName(o.Name) {
				return true
			}
		}
	}
	return s.Effect.Inner != nil && TakesSecrets(s.Effect.Inner)
}

// Telling tells if a literal gives a secret away: a connection string or URL with a
// password, or SQL that sets one and is yet to be run.
func Telling(literal []byte) bool { return mayTell(literal) && tellingLiteral.Match(literal) }

// TellingComment is Telling for a comment, and true of one that is too long to be looked at.
func TellingComment(comment []byte) bool { return len(comment) > maxTold || Telling(comment) }

const maxTold = 8 << 10

// TellingBody is Telling for a body of several statements: only a password that is
// written out gives it away.
func TellingBody(body []byte) bool { return mayTell(body) && tellingBody.Match(body) }

// LacksPassword tells if a literal is to be put together with a password that stands in
// another one: 'ALTER ROLE a PASSWORD ' || …, format('… PASSWORD %L', …).
func LacksPassword(literal []byte) bool { return mayTell(literal) && unfinished.Match(literal) }

var unfinished = regexp.MustCompile(`(?i)\bpass(word|wd|phrase)?(\s*(=|:=|=>)\s*|\s+|['"])(e|u&)?['"]*(%[-0-9$*]*[sIL]|$)`)

var (
	tellingLiteral = regexp.MustCompile(`(?i)\b(pg|ssl)?pass(word|wd|phrase)?\s*=\s*[^\s=]|://[^/\s:@']*:[^/\s@']+@|` + quotedPassword)
	tellingBody    = regexp.MustCompile(`(?i)://[^/\s:@']*:[^/\s@']+@|` + quotedPassword)
)

const quotedPassword = `\bpass(word|wd|phrase)?\s*(=|:=|=>)?\s*(e|u&)?['%$"]`

// mayTell tells if it is worth while to ask the patterns, which are slow: each of
// them asks for "pass" or "://".
func mayTell(literal []byte) bool {
	if bytes.Contains(literal, []byte("://")) {
		return true
	}
	for i := 0; i+4 <= len(literal); i++ {
		if literal[i]|0x20 == 'p' && bytes.EqualFold(literal[i:i+4], []byte("pass")) {
			return true
		}
	}
	return false
}
