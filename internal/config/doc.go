// Package config reads the configuration file into the options of the packages
// that do the work.
//
// Reading is strict. The file is decoded from its syntax tree, so that every
// complaint, of the syntax and of the meaning, carries a line and a column; an
// unknown key, a key given twice and a value of the wrong type are errors; and
// all errors are reported together. A Config that Load returns is complete:
// defaults are filled in, files are read, references are resolved.
//
// Secrets are not part of a Config. It holds functions that read them from
// their file or environment variable at each use; Load only tries each once.
package config
