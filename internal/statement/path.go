package statement

// Moves tells whether an object is a setting that decides where names without a schema
// are found: search_path, who the session is, for "$user" is a schema of it, or one that
// the text does not tell.
func (o *Object) Moves() bool {
	if o.Kind != "setting" {
		return false
	}
	switch o.Name {
	case "search_path", "role", "session_authorization", "*":
		return true
	default:
		return false
	}
}

// SetsPath tells whether the statement sets where names without a schema are found.
func (st *Statement) SetsPath() bool {
	for i := range st.Objects {
		if st.Objects[i].Moves() {
			return true
		}
	}
	return false
}

// Astray says which of the statement's relations may be looked up by another search_path
// than the one before it: all, and those whose name stands in SQL that it runs or keeps.
// Names of its own text are looked up before anything runs, but for those that a
// function is given as text. What a function's body names is looked up when that is
// called, whatever the path is then.
func (st *Statement) Astray() (all, late bool) {
	late = st.Calls
	for i := range st.Objects {
		switch o := &st.Objects[i]; {
		case o.Moves():
			return true, true
		case o.Use == UseCreate && (o.Kind == "function" || o.Kind == "procedure"):
			late = true
		}
	}
	return false, late
}

// Strays tells whether the object is one of those of Astray.
func (o *Object) Strays(all, late bool) bool {
	return o.Late && late || all && o.InCatalog() == Relation
}

// Recodes tells whether the statement may set client_encoding. A function of the
// database's own is not looked into.
func (st *Statement) Recodes() bool {
	for i := range st.Objects {
		o := &st.Objects[i]
		if o.Kind == "setting" && o.Use == UseAlter && (o.Name == "client_encoding" || o.Name == Any) {
			return true
		}
	}
	return st.Class&Unknown != 0 || st.Tags&TagDynamicSQL != 0
}
