package testkit

// The domain that every controller serves.
const (
	Realm   = "CORP.EXAMPLE.COM"
	Domain  = "corp.example.com"
	NetBIOS = "CORP"
	BaseDN  = "DC=corp,DC=example,DC=com"
	// ControllerName is what a controller's certificate names, beside its address.
	ControllerName = "dc1.corp.example.com"
	// ProxyName is the name that tickets for the proxy are for; no DNS has it.
	ProxyName = "proxy.corp.example.com"
	// ProxyPrincipal is svc-pgcustos's, and the domain's keytab has its keys.
	ProxyPrincipal = "postgres/" + ProxyName
	// LockoutThreshold is how many wrong passwords in a row lock an account. What
	// is locked stays so until somebody unlocks it.
	LockoutThreshold = 10
)

// names are what tells one domain from another.
type names struct{ Realm, Domain, NetBIOS, BaseDN, Controller string }

var (
	corp  = names{Realm, Domain, NetBIOS, BaseDN, ControllerName}
	other = names{OtherRealm, OtherDomain, OtherNetBIOS, OtherBaseDN, "dc1." + OtherDomain}
)

// A second domain, which trusts nobody and has accounts and groups of the same names.
const (
	OtherRealm   = "OTHER.EXAMPLE"
	OtherDomain  = "other.example"
	OtherNetBIOS = "OTHER"
	OtherBaseDN  = "DC=other,DC=example"

	OtherAlicePassword = "An0ther-Alice-than-C0rps" // in APP-Orders-Readers of this domain
	OtherOscarPassword = "0nly-Known-at-0ther"      // in no group that matters
)

// The passwords of the seed.
const (
	AdministratorPassword = "Adm1n-0f-the-Domain"
	ReaderPassword        = "Reads-0ther-Accounts"  // of svc-pgcustos, the reading account
	OrdersPassword        = "Serves-the-0rder-Desk" // of svc-orders, a service

	AlicePassword = "Reads-0rders-at-the-Desk"  // in Team-Desk, which is in APP-Orders-Readers
	BobPassword   = "Migrates-0rders-Sometimes" // in APP-Orders-Migrations and APP-Orders-Readers
	CarolPassword = "Belongs-to-N0thing"        // in no group that matters
	DavePassword  = "Left-us-in-Spr1ng"         // disabled, in APP-Orders-Readers
	ErinPassword  = "Had-a-C0ntract"            // the account has expired, in APP-Orders-Readers
	FrankPassword = "Must-Change-Th1s"          // must change the password, in APP-Orders-Readers
	GracePassword = "Mistyped-T0o-Often"        // locked out, in APP-Orders-Readers
	HeidiPassword = "Never-Changed-1t"          // the password has expired, in APP-Orders-Readers
	IvanPassword  = "Has-n0-UPN-at-all"         // an account without userPrincipalName, in APP-Orders-Readers
	JudyPassword  = "Other-UPN-than-Acc0unt"    // judy's UPN is judy.smith@corp.example.com
	ZoePassword   = "Zürich-und-Mün1ch"         // zoë.müller, CN "Müller, Zoë", in Größe-Äpfel
	VeraPassword  = "Reads-the-Rec0rd-0nly"     // in SEC-Auditors, which reads the audit database
	PatPassword   = "Back\\slash*(1)"           // pat*'s CN is full of what DNs and filters must escape
)

// Names that are hard to write.
const (
	ZoeAccount = "zoë.müller"
	PatAccount = "o'pat(1)&!"
	PatName    = `O'Pat, "Pat" (*) \ #1 + <x>; =y`
)

// state is what the seed makes of an account.
type state string

const (
	inOrder         state = ""
	disabled        state = "disabled"
	expired         state = "expired"
	mustChange      state = "must_change"
	lockedOut       state = "locked_out"
	passwordExpired state = "password_expired"
	neverExpires    state = "never_expires" // the password
)

type seedUser struct {
	Account  string   `json:"account"`
	UPN      string   `json:"upn"` // empty for none
	Name     string   `json:"name"`
	OU       string   `json:"ou"`
	Password string   `json:"password"`
	State    state    `json:"state"`
	Groups   []string `json:"groups"`
	// Principal is the service principal that the account's keys are for.
	Principal string `json:"principal"`
}

type seedGroup struct {
	Name   string   `json:"name"`
	Groups []string `json:"groups"` // what it is a member of
}

type seed struct {
	BaseDN           string      `json:"base_dn"`
	LockoutThreshold int         `json:"lockout_threshold"`
	OUs              []string    `json:"ous"`
	Groups           []seedGroup `json:"groups"`
	Users            []seedUser  `json:"users"`
}

// The groups of the seed.
const (
	GroupReaders    = "APP-Orders-Readers"
	GroupMigrations = "APP-Orders-Migrations"
	GroupServices   = "APP-Orders-Services"
	GroupTeam       = "Team-Desk"
	GroupUmlauts    = "Größe-Äpfel"
	GroupAuditors   = "SEC-Auditors"
)

// The organisational units of the seed.
const (
	ouPeople   = "People"
	ouServices = "Services"
	ouGroups   = "Groups"
)

// seedOf is what the domain is filled with.
func seedOf(n names) seed {
	if n == other {
		return theOtherSeed()
	}
	return theSeed()
}

func theOtherSeed() seed {
	s := theSeed()
	s.BaseDN = OtherBaseDN
	s.Groups = []seedGroup{{Name: GroupReaders}, {Name: GroupMigrations}, {Name: GroupTeam, Groups: []string{GroupReaders}}}
	reader := service("svc-pgcustos", ReaderPassword)
	reader.Principal = ProxyPrincipal
	s.Users = []seedUser{
		person("alice", "Alice Other", OtherAlicePassword, inOrder, GroupReaders),
		person("oscar", "Oscar Other", OtherOscarPassword, inOrder),
		service("svc-orders", OrdersPassword, GroupReaders),
		reader,
	}
	for i := range s.Users {
		s.Users[i].UPN = s.Users[i].Account + "@" + OtherDomain
	}
	return s
}

func theSeed() seed {
	readers := []string{GroupReaders}
	proxy := service("svc-pgcustos", ReaderPassword)
	proxy.Principal = ProxyPrincipal
	return seed{
		BaseDN:           BaseDN,
		LockoutThreshold: LockoutThreshold,
		OUs:              []string{ouPeople, ouServices, ouGroups},
		Groups: []seedGroup{ // each after those that it is a member of
			{Name: GroupReaders},
			{Name: GroupMigrations},
			{Name: GroupServices},
			{Name: GroupAuditors},
			{Name: GroupUmlauts, Groups: readers},
			{Name: GroupTeam, Groups: readers},
		},
		Users: []seedUser{
			person("alice", "Alice Adams", AlicePassword, inOrder, GroupTeam),
			person("bob", "Bob Brown", BobPassword, inOrder, GroupMigrations, GroupReaders),
			person("carol", "Carol Clark", CarolPassword, inOrder),
			person("dave", "Dave Davis", DavePassword, disabled, readers...),
			person("erin", "Erin Evans", ErinPassword, expired, readers...),
			person("frank", "Frank Fox", FrankPassword, mustChange, readers...),
			person("grace", "Grace Green", GracePassword, lockedOut, readers...),
			person("heidi", "Heidi Hall", HeidiPassword, passwordExpired, readers...),
			{Account: "ivan", Name: "Ivan Ives", OU: ouPeople, Password: IvanPassword, Groups: readers},
			{Account: "judy", UPN: "judy.smith@" + Domain, Name: "Judy Smith", OU: ouPeople, Password: JudyPassword, Groups: readers},
			person(ZoeAccount, "Müller, Zoë", ZoePassword, inOrder, GroupUmlauts),
			person("vera", "Vera Vance", VeraPassword, inOrder, GroupAuditors),
			person(PatAccount, PatName, PatPassword, inOrder, GroupReaders),
			service("svc-orders", OrdersPassword, GroupServices),
			proxy,
		},
	}
}

func person(account, name, password string, s state, groups ...string) seedUser {
	return seedUser{
		Account: account, UPN: account + "@" + Domain, Name: name, OU: ouPeople,
		Password: password, State: s, Groups: groups,
	}
}

func service(account, password string, groups ...string) seedUser {
	return seedUser{
		Account: account, UPN: account + "@" + Domain, Name: account, OU: ouServices,
		Password: password, State: neverExpires, Groups: groups,
	}
}
