package statement

import "strconv"

// largeObject are the functions that libpq's and pgjdbc's large-object calls reach
// through FunctionCall messages, by the OIDs that pg_proc.dat fixes for good.
// What they do is what pgparse's table of functions says, which a test compares.
var largeObject = map[uint32]*Statement{
	715:  fastpath("lo_create", Write),
	764:  outside(fastpath("lo_import", Write)),
	765:  outside(fastpath("lo_export", Read)),
	767:  outside(fastpath("lo_import", Write)),
	952:  fastpath("lo_open", Read),
	953:  fastpath("lo_close", Read),
	954:  fastpath("loread", Read),
	955:  fastpath("lowrite", Write),
	956:  fastpath("lo_lseek", Read),
	957:  fastpath("lo_creat", Write),
	958:  fastpath("lo_tell", Read),
	964:  destroying(fastpath("lo_unlink", Write)),
	1004: destroying(fastpath("lo_truncate", Write)),
	3170: fastpath("lo_lseek64", Read),
	3171: fastpath("lo_tell64", Read),
	3172: destroying(fastpath("lo_truncate64", Write)),
	3457: fastpath("lo_from_bytea", Write),
	3458: fastpath("lo_get", Read),
	3459: fastpath("lo_get", Read),
	3460: fastpath("lo_put", Write),
}

func fastpath(name string, effect Class) *Statement {
	return &Statement{
		Command: "FUNCTION CALL",
		Class:   Function | effect,
		Tags:    TagFastpath,
		Objects: []Object{{Schema: "pg_catalog", Name: name, Kind: "function", Use: UseExecute}},
		Text:    "FUNCTION CALL " + name,
	}
}

// outside adds that the function reaches a file of the server.
func outside(s *Statement) *Statement {
	s.Tags |= TagExternalIO
	return s
}

// destroying adds that the function takes data away.
func destroying(s *Statement) *Statement {
	s.Tags |= TagDestructive
	s.Destructive = s.Objects[0].Name
	return s
}

// Fastpath returns what is known of a FunctionCall message: the large-object
// functions by name, any other OID as Unknown.
func Fastpath(oid uint32) *Statement {
	if s, ok := largeObject[oid]; ok {
		return s
	}
	s := fastpath(strconv.FormatUint(uint64(oid), 10), Unknown)
	s.Objects[0].Schema = ""
	return s
}
