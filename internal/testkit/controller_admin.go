package testkit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// What an administrator does to accounts and groups. All of it goes over LDAP,
// by the tools of ldap-utils: a change that is written into the database behind
// the controller's back is not notified of.

// Bits of userAccountControl, MS-ADTS section 2.2.16.
const (
	normalAccount  = 0x200
	accountDisable = 0x2
)

// administrator is the bind name of the domain's administrator.
func (c *Controller) administrator() string { return "Administrator@" + c.names.Domain }

// Disable disables an account.
func (c *Controller) Disable(ctx context.Context, account string) error {
	return c.replace(ctx, account, "userAccountControl", strconv.Itoa(normalAccount|accountDisable))
}

// Enable enables an account.
func (c *Controller) Enable(ctx context.Context, account string) error {
	return c.replace(ctx, account, "userAccountControl", strconv.Itoa(normalAccount))
}

// Unlock unlocks an account.
func (c *Controller) Unlock(ctx context.Context, account string) error {
	return c.replace(ctx, account, "lockoutTime", "0")
}

// SetExpiry sets when an account ends; the zero time is never.
func (c *Controller) SetExpiry(ctx context.Context, account string, end time.Time) error {
	value := int64(0)
	if !end.IsZero() {
		value = (end.Unix()+11644473600)*1e7 + int64(end.Nanosecond()/100) // MS-DTYP section 2.3.3
	}
	return c.replace(ctx, account, "accountExpires", strconv.FormatInt(value, 10))
}

// SetPassword sets the password of an account.
func (c *Controller) SetPassword(ctx context.Context, account, password string) error {
	return c.replace(ctx, account, "unicodePwd", unicodePassword(password))
}

// AddToGroup makes an account or group a member of a group.
func (c *Controller) AddToGroup(ctx context.Context, member, group string) error {
	return c.member(ctx, "add", member, group)
}

// RemoveFromGroup ends the membership.
func (c *Controller) RemoveFromGroup(ctx context.Context, member, group string) error {
	return c.member(ctx, "delete", member, group)
}

// Delete deletes an account or group.
func (c *Controller) Delete(ctx context.Context, account string) error {
	dn, err := c.DN(ctx, account)
	if err != nil {
		return err
	}
	return c.modify(ctx, ldif("dn", dn, "changetype", "delete"))
}

// CreateUser makes a person in good order, with the UPN that goes with the
// account's name.
func (c *Controller) CreateUser(ctx context.Context, account, password string, groups ...string) error {
	err := c.modify(ctx, ldif("dn", "CN="+escapeDN(account)+",OU="+ouPeople+","+c.names.BaseDN, "changetype", "add",
		"objectClass", "user", "sAMAccountName", account, "userPrincipalName", account+"@"+c.names.Domain,
		"unicodePwd", unicodePassword(password), "userAccountControl", strconv.Itoa(normalAccount)))
	for _, group := range groups {
		if err != nil {
			return err
		}
		err = c.AddToGroup(ctx, account, group)
	}
	return err
}

// CreateUsers makes people in good order, all in one go.
func (c *Controller) CreateUsers(ctx context.Context, password string, accounts []string) error {
	var records strings.Builder
	for _, account := range accounts {
		records.WriteString(ldif("dn", "CN="+escapeDN(account)+",OU="+ouPeople+","+c.names.BaseDN, "changetype", "add",
			"objectClass", "user", "sAMAccountName", account, "userPrincipalName", account+"@"+c.names.Domain,
			"unicodePwd", unicodePassword(password), "userAccountControl", strconv.Itoa(normalAccount)) + "\n")
	}
	return c.modify(ctx, records.String())
}

// AddAllToGroup makes people that CreateUsers made members of a group.
func (c *Controller) AddAllToGroup(ctx context.Context, accounts []string, group string) error {
	groupDN, err := c.DN(ctx, group)
	if err != nil {
		return err
	}
	record := ldif("dn", groupDN, "changetype", "modify", "add", "member")
	for _, account := range accounts {
		record += ldif("member", "CN="+escapeDN(account)+",OU="+ouPeople+","+c.names.BaseDN)
	}
	return c.modify(ctx, record)
}

// CreateGroup makes a global security group.
func (c *Controller) CreateGroup(ctx context.Context, name string) error {
	return c.modify(ctx, ldif("dn", "CN="+escapeDN(name)+",OU="+ouGroups+","+c.names.BaseDN, "changetype", "add",
		"objectClass", "group", "sAMAccountName", name))
}

// Rename gives an account another name: RDN, sAMAccountName and UPN.
func (c *Controller) Rename(ctx context.Context, account, name string) error {
	dn, err := c.DN(ctx, account)
	if err != nil {
		return err
	}
	err = c.modify(ctx, ldif("dn", dn, "changetype", "modrdn", "newrdn", "CN="+escapeDN(name), "deleteoldrdn", "1"))
	if err != nil {
		return err
	}
	if err := c.replace(ctx, account, "sAMAccountName", name); err != nil {
		return err
	}
	return c.replace(ctx, name, "userPrincipalName", name+"@"+c.names.Domain)
}

// SetAttribute replaces an attribute of an account or group by one value.
func (c *Controller) SetAttribute(ctx context.Context, account, attribute, value string) error {
	return c.replace(ctx, account, attribute, value)
}

// SetDomainAttribute replaces an attribute of the domain itself.
func (c *Controller) SetDomainAttribute(ctx context.Context, attribute, value string) error {
	return c.modify(ctx, ldif("dn", c.names.BaseDN, "changetype", "modify", "replace", attribute, attribute, value))
}

// Attributes reads attributes of an account or group that have one value, as text.
func (c *Controller) Attributes(ctx context.Context, account string, attributes ...string) (map[string]string, error) {
	lines, err := c.lines(ctx, c.names.BaseDN, "sub", "(sAMAccountName="+escapeFilter(account)+")", attributes...)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for _, line := range lines {
		if name, value, found := strings.Cut(line, ": "); found {
			values[name] = value
		}
	}
	return values, nil
}

// SID returns the SID of an account or group, of the domain itself for an empty name.
func (c *Controller) SID(ctx context.Context, account string) (string, error) {
	scope, filter := "sub", "(sAMAccountName="+escapeFilter(account)+")"
	if account == "" {
		scope, filter = "base", "(objectClass=*)"
	}
	lines, err := c.lines(ctx, c.names.BaseDN, scope, filter, "objectSid")
	if err != nil {
		return "", err
	}
	for _, line := range lines {
		if encoded, found := strings.CutPrefix(line, "objectSid:: "); found {
			b, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil || len(b) < 8 || len(b) != 8+4*int(b[1]) {
				return "", fmt.Errorf("not a SID: %q", encoded)
			}
			s := fmt.Sprintf("S-%d-%d", b[0], b[7])
			for b = b[8:]; len(b) > 0; b = b[4:] {
				s += "-" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(b)), 10)
			}
			return s, nil
		}
	}
	return "", fmt.Errorf("%q has no SID", account)
}

// CreateLocalGroup makes a domain-local security group, which strangers may be in.
func (c *Controller) CreateLocalGroup(ctx context.Context, name string) error {
	const local = -2147483644 // GROUP_TYPE_RESOURCE_GROUP, security enabled
	return c.modify(ctx, ldif("dn", "CN="+escapeDN(name)+",OU="+ouGroups+","+c.names.BaseDN, "changetype", "add",
		"objectClass", "group", "sAMAccountName", name, "groupType", strconv.Itoa(local)))
}

// AddStranger makes an account or group of another domain a member of a group, by its
// SID: the controller makes a foreignSecurityPrincipal of it.
func (c *Controller) AddStranger(ctx context.Context, sid, group string) error {
	return c.stranger(ctx, "add", "<SID="+sid+">", group)
}

// RemoveStranger ends that.
func (c *Controller) RemoveStranger(ctx context.Context, sid, group string) error {
	return c.stranger(ctx, "delete", "CN="+sid+",CN=ForeignSecurityPrincipals,"+c.names.BaseDN, group)
}

func (c *Controller) stranger(ctx context.Context, how, member, group string) error {
	groupDN, err := c.DN(ctx, group)
	if err != nil {
		return err
	}
	return c.modify(ctx, ldif("dn", groupDN, "changetype", "modify", how, "member", "member", member))
}

// DN returns the distinguished name of the account or group.
func (c *Controller) DN(ctx context.Context, account string) (string, error) {
	dns, err := c.search(ctx, c.names.BaseDN, "sub", "(sAMAccountName="+escapeFilter(account)+")", "1.1")
	if err != nil {
		return "", err
	}
	if len(dns) != 1 {
		return "", fmt.Errorf("%d accounts are named %q", len(dns), account)
	}
	return dns[0], nil
}

func (c *Controller) replace(ctx context.Context, account, attribute, value string) error {
	dn, err := c.DN(ctx, account)
	if err != nil {
		return err
	}
	return c.modify(ctx, ldif("dn", dn, "changetype", "modify", "replace", attribute, attribute, value))
}

func (c *Controller) member(ctx context.Context, how, member, group string) error {
	memberDN, err := c.DN(ctx, member)
	if err != nil {
		return err
	}
	groupDN, err := c.DN(ctx, group)
	if err != nil {
		return err
	}
	return c.modify(ctx, ldif("dn", groupDN, "changetype", "modify", how, "member", "member", memberDN))
}

// ldif builds one change record (RFC 2849) of names and values. Values of
// attributes are always encoded, so that none of them can end its line.
func ldif(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		name, value := pairs[i], pairs[i+1]
		switch name {
		case "changetype", "replace", "add", "delete", "deleteoldrdn":
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		default:
			fmt.Fprintf(&b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
		}
	}
	return b.String()
}

func (c *Controller) modify(ctx context.Context, record string) error {
	cmd, err := c.tool(ctx, "ldapmodify")
	if err != nil {
		return err
	}
	cmd.Stdin = strings.NewReader(record)
	return run(cmd)
}

// search returns the DNs of what is found.
func (c *Controller) search(ctx context.Context, base, scope, filter string, attributes ...string) ([]string, error) {
	lines, err := c.lines(ctx, base, scope, filter, attributes...)
	if err != nil {
		return nil, err
	}
	var dns []string
	for _, line := range lines {
		if dn, found := strings.CutPrefix(line, "dn: "); found {
			dns = append(dns, dn)
		} else if encoded, found := strings.CutPrefix(line, "dn:: "); found {
			dn, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return nil, fmt.Errorf("ldapsearch: %w", err)
			}
			dns = append(dns, string(dn))
		}
	}
	return dns, nil
}

// lines returns what is found as LDIF.
func (c *Controller) lines(ctx context.Context, base, scope, filter string, attributes ...string) ([]string, error) {
	cmd, err := c.tool(ctx, "ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-E", "pr=500/noprompt", "-b", base, "-s", scope, filter)
	if err != nil {
		return nil, err
	}
	cmd.Args = append(cmd.Args, attributes...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("ldapsearch: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.Split(out.String(), "\n"), nil
}

// tool prepares a program of ldap-utils, bound as administrator.
func (c *Controller) tool(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	path, err := lookTool(name, "ldap-utils")
	if err != nil {
		return nil, err
	}
	args = append([]string{"-H", c.URL, "-x", "-D", c.administrator(), "-w", AdministratorPassword, "-o", "nettimeout=10"}, args...)
	cmd := exec.CommandContext(ctx, path, args...)
	verify := "demand"
	if c.options.Certificate != nil { // which is there to be wrong
		verify = "never"
	}
	cmd.Env = []string{"LDAPTLS_CACERT=" + c.CAFile, "LDAPTLS_REQCERT=" + verify, "HOME=/nonexistent"}
	return cmd, nil
}

// unicodePassword encodes a password as unicodePwd wants it: quoted, in UTF-16
// (MS-ADTS section 3.1.1.3.1.5).
func unicodePassword(password string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// escapeDN escapes a value in a DN (RFC 4514, section 2.4).
func escapeDN(value string) string {
	var b strings.Builder
	for i := range len(value) {
		if ch := value[i]; ch < 0x80 && !isAlphanumeric(ch) {
			fmt.Fprintf(&b, `\%02x`, ch)
		} else {
			b.WriteByte(ch)
		}
	}
	return b.String()
}

// escapeFilter escapes a value in a filter (RFC 4515, section 3).
func escapeFilter(value string) string { return escapeDN(value) }

func isAlphanumeric(ch byte) bool {
	return ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z'
}
