// Package wirecheck records what passes between a client and a server, and holds
// each message against the JSON schema of its revision. It owns the schemas of all
// revisions. Tests use it through mcptest.Tap; a program that a test starts records
// to a file, which the test reads.
//
//	tap := wirecheck.New()
//	client := &http.Client{Transport: &http.Transport{DialContext: tap.Dial}}
//	...
//	report := tap.Check(wirecheck.Server)
//
// It keeps all that it has recorded, so it is for tests only.
package wirecheck
