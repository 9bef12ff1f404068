package parameters

// CallTypes returns the types of the arguments of a large-object function, which
// libpq calls by FunctionCall messages; nil for any other. The OIDs are fixed for
// good (pg_proc.dat).
func CallTypes(function uint32) []uint32 {
	const bytea, int8, int4, oid = 17, 20, 23, 26
	switch function {
	case 715, 964: // lo_create, lo_unlink
		return []uint32{oid}
	case 952: // lo_open
		return []uint32{oid, int4}
	case 953, 957, 958, 3171: // lo_close, lo_creat, lo_tell, lo_tell64
		return []uint32{int4}
	case 954, 1004: // loread, lo_truncate
		return []uint32{int4, int4}
	case 955: // lowrite
		return []uint32{int4, bytea}
	case 956: // lo_lseek
		return []uint32{int4, int4, int4}
	case 3170: // lo_lseek64
		return []uint32{int4, int8, int4}
	case 3172: // lo_truncate64
		return []uint32{int4, int8}
	}
	return nil
}
