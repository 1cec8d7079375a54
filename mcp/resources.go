package mcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// Resource describes a resource (MCP 2026-07-28, server/resources, Resource).
type Resource struct {
	URI         string       `json:"uri"`
	Name        string       `json:"name"`
	Title       string       `json:"title,omitzero"`
	Description string       `json:"description,omitzero"`
	MIMEType    string       `json:"mimeType,omitzero"`
	Size        *int64       `json:"size,omitzero"` // bytes
	Annotations *Annotations `json:"annotations,omitzero"`
	Icons       []Icon       `json:"icons,omitempty"`
	Meta        Raw          `json:"_meta,omitzero"`
}

// ResourceTemplate describes a family of resources (MCP 2026-07-28, server/resources, Resource Templates).
type ResourceTemplate struct {
	URITemplate string       `json:"uriTemplate"` // RFC 6570
	Name        string       `json:"name"`
	Title       string       `json:"title,omitzero"`
	Description string       `json:"description,omitzero"`
	MIMEType    string       `json:"mimeType,omitzero"`
	Annotations *Annotations `json:"annotations,omitzero"`
	Icons       []Icon       `json:"icons,omitempty"`
	Meta        Raw          `json:"_meta,omitzero"`
}

// ResourceContents is the text or the bytes of a resource: bytes if Blob is not
// nil (MCP 2026-07-28, server/resources, Resource Contents).
type ResourceContents struct {
	URI      string
	MIMEType string
	Text     string
	Blob     []byte // base64 on the wire
	Meta     Raw
}

type wireContents struct {
	URI      string  `json:"uri"`
	MIMEType string  `json:"mimeType,omitzero"`
	Text     *string `json:"text,omitzero"`
	Blob     *[]byte `json:"blob,omitzero"`
	Meta     Raw     `json:"_meta,omitzero"`
}

// MarshalJSON encodes c with either text or blob.
func (c ResourceContents) MarshalJSON() ([]byte, error) {
	w := wireContents{URI: c.URI, MIMEType: c.MIMEType, Meta: c.Meta}
	if c.Blob != nil {
		w.Blob = &c.Blob
	} else {
		w.Text = &c.Text
	}
	return json.Marshal(&w, lenient)
}

// UnmarshalJSON decodes c.
func (c *ResourceContents) UnmarshalJSON(b []byte) error {
	var w wireContents
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*c = ResourceContents{URI: w.URI, MIMEType: w.MIMEType, Meta: w.Meta}
	if w.Text != nil {
		c.Text = *w.Text
	}
	if w.Blob != nil {
		c.Blob = append([]byte{}, *w.Blob...)
	}
	return nil
}

// ListResourcesResult is a page of resources.
type ListResourcesResult struct {
	Resources  []Resource `json:"resources"`
	NextCursor *string    `json:"nextCursor,omitzero"` // nil on the last page; empty is a cursor
	Meta       Raw        `json:"_meta,omitzero"`
}

// ListResourceTemplatesResult is a page of resource templates.
type ListResourceTemplatesResult struct {
	ResourceTemplates []ResourceTemplate `json:"resourceTemplates"`
	NextCursor        *string            `json:"nextCursor,omitzero"` // nil on the last page; empty is a cursor
	Meta              Raw                `json:"_meta,omitzero"`
}

// ReadResourceResult is the result of resources/read.
type ReadResourceResult struct {
	Contents []ResourceContents `json:"contents"`
	Meta     Raw                `json:"_meta,omitzero"`
}

// ErrResourceNotFound is what the function of a resource returns for a URI that
// does not exist. The caller gets the error that the protocol has for it.
var ErrResourceNotFound = errors.New("resource not found")

// errNotFound answers resources/read of a URI that does not exist (MCP
// 2026-07-28, server/resources, Error Handling).
func errNotFound(uri string) *Error {
	return &Error{
		Code:    jsonrpc.CodeInvalidParams,
		Message: "Resource not found",
		Data:    append(jsonrpc.AppendString([]byte(`{"uri":`), uri), '}'),
	}
}

// resource is a registered resource.
type resource struct {
	mimeType string
	read     func(ctx context.Context, call *Call, uri string) ([]ResourceContents, error)
}

// template is a registered resource template.
type template struct {
	text     string
	mimeType string
	match    *uriTemplate
	read     func(ctx context.Context, call *Call, uri string, vars map[string]string) ([]ResourceContents, error)
}

// AddResource registers a resource that fn reads (MCP 2026-07-28,
// server/resources). A resource with the same URI is replaced. Contents without a
// URI get the one that was asked for, and those without a MIME type that of r.
func (s *Server) AddResource(r Resource, fn func(ctx context.Context, call *Call, uri string) ([]ResourceContents, error)) error {
	if fn == nil {
		return fmt.Errorf("resource %q: no function", r.URI)
	}
	if u, err := url.Parse(r.URI); err != nil || !u.IsAbs() {
		return fmt.Errorf("resource %q: not an absolute URI", r.URI)
	}
	if r.Name == "" {
		return fmt.Errorf("resource %q: no name", r.URI)
	}
	encoded, err := json.Marshal(&r)
	if err != nil {
		return fmt.Errorf("resource %q: %w", r.URI, err)
	}
	s.resources.put(r.URI, &resource{r.MIMEType, fn}, encoded)
	s.resourcesChanged()
	return nil
}

// AddResourceTemplate registers resources whose URIs match an RFC 6570 template.
// fn gets the decoded variables: a value may hold anything that a URI can escape,
// "../" included. A resource with the exact URI is preferred to a template, and
// the template with more literal text to others.
func (s *Server) AddResourceTemplate(t ResourceTemplate, fn func(ctx context.Context, call *Call, uri string, vars map[string]string) ([]ResourceContents, error)) error {
	if fn == nil {
		return fmt.Errorf("resource template %q: no function", t.URITemplate)
	}
	match, err := parseTemplate(t.URITemplate)
	if err != nil {
		return fmt.Errorf("resource template %q: %w", t.URITemplate, err)
	}
	if t.Name == "" {
		return fmt.Errorf("resource template %q: no name", t.URITemplate)
	}
	encoded, err := json.Marshal(&t)
	if err != nil {
		return fmt.Errorf("resource template %q: %w", t.URITemplate, err)
	}
	s.templates.put(t.URITemplate, &template{t.URITemplate, t.MIMEType, match, fn}, encoded)
	s.resourcesChanged()
	return nil
}

// RemoveResources takes resources away. URIs that are not there are ignored.
func (s *Server) RemoveResources(uris ...string) {
	if s.resources.remove(uris) {
		s.resourcesChanged()
	}
}

// RemoveResourceTemplates takes templates away. Templates that are not there are ignored.
func (s *Server) RemoveResourceTemplates(uriTemplates ...string) {
	if s.templates.remove(uriTemplates) {
		s.resourcesChanged()
	}
}

// readResource answers resources/read.
func (s *Server) readResource(ctx context.Context, req *Request, sink Sink) (Result, error) {
	call := s.newCall(req, sink)
	defer call.end()
	res, err := s.readContents(ctx, call)
	return call.settle(ctx, "resource", req.Name, res, err)
}

func (s *Server) readContents(ctx context.Context, call *Call) (Result, error) {
	req := call.req
	contents, mimeType, err := s.contents(ctx, call, req.Name)
	if errors.Is(err, ErrResourceNotFound) {
		return Result{}, errNotFound(req.Name)
	}
	if err != nil {
		return Result{}, err
	}
	contents = slices.Clone(contents)
	for i := range contents {
		contents[i].URI = cmp.Or(contents[i].URI, req.Name)
		contents[i].MIMEType = cmp.Or(contents[i].MIMEType, mimeType)
	}
	res, err := s.encode(&ReadResourceResult{Contents: contents}, nil)
	call.mu.Lock()
	defer call.mu.Unlock()
	res.Cache = call.cache
	return res, err
}

// contents reads a URI, and says the MIME type that was declared for it.
func (s *Server) contents(ctx context.Context, call *Call, uri string) ([]ResourceContents, string, error) {
	if contents, ok := s.skillContents(uri); ok {
		call.SetCache(Cache{TTL: s.opts.ListTTL, Scope: CachePublic})
		return contents, "", nil
	}
	if r, ok := s.resources.get(uri); ok {
		contents, err := r.read(ctx, call, uri)
		return contents, r.mimeType, err
	}
	var best *template
	var vars map[string]string
	for _, t := range s.templates.all() {
		if best != nil && t.match.literal <= best.match.literal {
			continue
		}
		if v, ok := t.match.match(uri); ok {
			best, vars = t, v
		}
	}
	if best == nil {
		return nil, "", ErrResourceNotFound
	}
	contents, err := best.read(ctx, call, uri, vars)
	return contents, best.mimeType, err
}
