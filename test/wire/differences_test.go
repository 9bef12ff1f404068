package wire

// difference is one that is meant: why, and what the proxy answers instead.
type difference struct {
	why     string
	proxied []string
}

// designed lists the scripts that the proxy answers otherwise than PostgreSQL.
var designed = map[string]difference{
	"denied-parse-unnamed": {
		why: "a refusal travels under a reserved name, so that the client's unnamed statement stays; " +
			"natively a Parse of the unnamed statement that fails destroys the old one",
		proxied: []string{
			"ParseComplete", "ReadyForQuery I",
			"ErrorResponse", "ReadyForQuery I",
			"BindComplete", "DataRow", "CommandComplete", "ReadyForQuery I",
		},
	},
}
