package wirecheck

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed testdata/*.json
var files embed.FS

// Latest is the newest revision that there is a schema of.
const Latest = "2026-07-28"

// lastOfSessions is the newest revision whose requests need not name it.
const lastOfSessions = "2025-11-25"

// Schema is the schema of one revision.
type Schema struct {
	Revision string
	// Requests and Notifications name the definition of each method.
	Requests, Notifications map[string]string

	defs     map[string]json.RawMessage // name -> definition
	at       string                     // where the definitions are
	compiler *jsonschema.Compiler

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema // name -> definition
}

// schemas loads the schema of a revision once.
var schemas = func() map[string]func() *Schema {
	names, err := fs.Glob(files, "testdata/*.json")
	if err != nil {
		panic(err) // the pattern is right
	}
	all := make(map[string]func() *Schema)
	for _, name := range names {
		revision := strings.TrimSuffix(path.Base(name), ".json")
		all[revision] = sync.OnceValue(func() *Schema { return load(revision, name) })
	}
	return all
}()

// Revisions lists the revisions that there are schemas of, oldest first.
func Revisions() []string { return slices.Sorted(maps.Keys(schemas)) }

// Of returns the schema of a revision, or nil.
func Of(revision string) *Schema {
	if f := schemas[revision]; f != nil {
		return f()
	}
	return nil
}

// load panics if the embedded file is not a schema.
func load(revision, name string) *Schema {
	must := func(err error) {
		if err != nil {
			panic(fmt.Sprintf("wirecheck: schema of %s: %v", revision, err))
		}
	}
	text, err := files.ReadFile(name)
	must(err)
	var file struct {
		Defs        map[string]json.RawMessage `json:"$defs"`
		Definitions map[string]json.RawMessage `json:"definitions"` // draft-07
	}
	must(json.Unmarshal(text, &file))
	s := &Schema{
		Revision: revision, Requests: map[string]string{}, Notifications: map[string]string{},
		defs: file.Defs, at: "$defs", compiled: map[string]*jsonschema.Schema{},
	}
	if s.defs == nil {
		s.defs, s.at = file.Definitions, "definitions"
	}
	for name, def := range s.defs {
		var of struct {
			Properties struct {
				Method struct {
					Const string `json:"const"`
				} `json:"method"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(def, &of); err != nil || of.Properties.Method.Const == "" {
			continue // of another form, so not a message
		}
		switch method := of.Properties.Method.Const; {
		case strings.HasSuffix(name, "Request"):
			s.Requests[method] = name
		case strings.HasSuffix(name, "Notification"):
			s.Notifications[method] = name
		}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	must(err)
	s.compiler = jsonschema.NewCompiler()
	s.compiler.AssertFormat()
	s.compiler.RegisterFormat(&jsonschema.Format{Name: "byte", Validate: func(v any) error {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		_, err := base64.StdEncoding.DecodeString(text)
		return err
	}})
	// The validator's own check parses a template as a URL, which it is not.
	s.compiler.RegisterFormat(&jsonschema.Format{Name: "uri-template", Validate: func(any) error { return nil }})
	must(s.compiler.AddResource("mem:///"+revision, doc))
	return s
}

// Has reports whether the revision defines name.
func (s *Schema) Has(name string) bool { return s.defs[name] != nil }

// Members lists the definitions that a union such as ClientRequest is made of.
func (s *Schema) Members(union string) []string {
	type ref struct {
		Ref string `json:"$ref"`
	}
	var def struct {
		AnyOf []ref `json:"anyOf"`
	}
	if err := json.Unmarshal(s.defs[union], &def); err != nil {
		return nil
	}
	var names []string
	for _, r := range def.AnyOf {
		names = append(names, path.Base(r.Ref))
	}
	return names
}

// Result names the definition of the result of a request.
func (s *Schema) Result(method string) string {
	if name := strings.TrimSuffix(s.Requests[method], "Request") + "Result"; s.Has(name) {
		return name
	}
	return "EmptyResult"
}

// Validate holds JSON against a definition.
func (s *Schema) Validate(name string, text []byte) error {
	s.mu.Lock()
	schema := s.compiled[name]
	if schema == nil {
		var err error
		if schema, err = s.compiler.Compile("mem:///" + s.Revision + "#/" + s.at + "/" + name); err != nil {
			s.mu.Unlock()
			return err
		}
		s.compiled[name] = schema
	}
	s.mu.Unlock()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s of %s: %w", name, s.Revision, err)
	}
	return nil
}
