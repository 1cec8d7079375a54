package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// hand speaks Streamable HTTP by hand: it sees what is on the wire.
type hand struct {
	url, revision string
	session       string
	last          int
}

type reply struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code int             `json:"code"`
		Data json.RawMessage `json:"data"`
	} `json:"error"`
}

func (h *hand) modern() bool { return h.revision >= "2026-07-28" }

// message makes a request.
func (h *hand) message(method string, params map[string]any) map[string]any {
	h.last++
	if h.modern() {
		meta, _ := params["_meta"].(map[string]any)
		if meta == nil {
			meta = map[string]any{}
		}
		meta["io.modelcontextprotocol/protocolVersion"] = h.revision
		meta["io.modelcontextprotocol/clientInfo"] = map[string]any{"name": "hand", "version": "1"}
		meta["io.modelcontextprotocol/clientCapabilities"] = map[string]any{}
		params["_meta"] = meta
	}
	return map[string]any{"jsonrpc": "2.0", "id": h.last, "method": method, "params": params}
}

// post sends a message or a batch and returns the responses, in the order in which they came.
func (h *hand) post(ctx context.Context, message any, header map[string]string) ([]reply, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if h.session != "" {
		req.Header.Set("Mcp-Session-Id", h.session)
	}
	if h.revision >= "2025-06-18" && (h.modern() || h.session != "") {
		req.Header.Set("MCP-Protocol-Version", h.revision)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if id := res.Header.Get("Mcp-Session-Id"); id != "" {
		h.session = id
	}
	var replies []reply
	take := func(raw []byte) error {
		var r reply
		switch {
		case bytes.HasPrefix(raw, []byte("[")):
			var list []reply
			err := json.Unmarshal(raw, &list)
			replies = append(replies, list...)
			return err
		case len(raw) == 0:
			return nil
		}
		err := json.Unmarshal(raw, &r)
		if err == nil && r.ID != 0 {
			replies = append(replies, r)
		}
		return err
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		if err := take(bytes.TrimSpace(text)); err != nil {
			return nil, fmt.Errorf("%s: %s", res.Status, text)
		}
		return replies, nil
	}
	for line := range strings.Lines(string(text)) {
		if data, ok := strings.CutPrefix(line, "data:"); ok {
			if err := take([]byte(strings.TrimSpace(data))); err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
		}
	}
	return replies, nil
}

// open opens a session, in the revisions that have them.
func (h *hand) open(ctx context.Context) error {
	if h.modern() || h.session != "" {
		return nil
	}
	first := h.message("initialize", map[string]any{"protocolVersion": h.revision, "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "hand", "version": "1"}})
	if _, err := h.post(ctx, first, nil); err != nil {
		return err
	}
	_, err := h.post(ctx, map[string]any{"jsonrpc": "2.0", "method": "notifications/initialized"}, nil)
	return err
}

// ask sends a request and returns its response.
func (h *hand) ask(ctx context.Context, method, name string, params map[string]any, header map[string]string) (*reply, error) {
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	all := map[string]string{}
	if h.modern() {
		all["Mcp-Method"] = method
		if name != "" {
			all["Mcp-Name"] = name
		}
		maps.Copy(all, header)
	}
	replies, err := h.post(ctx, h.message(method, params), all)
	if err != nil {
		return nil, err
	}
	if len(replies) != 1 {
		return nil, fmt.Errorf("%d responses to %s", len(replies), method)
	}
	return &replies[0], nil
}

// says calls a tool and compares its text.
func (h *hand) says(ctx context.Context, tool string, params map[string]any, header map[string]string, text string) error {
	params["name"] = tool
	r, err := h.ask(ctx, "tools/call", tool, params, header)
	if err != nil {
		return err
	}
	var res struct {
		Content []struct{ Text string } `json:"content"`
	}
	if err := json.Unmarshal(r.Result, &res); err != nil || len(res.Content) == 0 {
		return fmt.Errorf("%s: %+v", tool, r)
	}
	return want(res.Content[0].Text, text)
}

// missed: the code of an unknown resource is that of the client's revision, whatever the upstream's.
func missed(ctx context.Context, h *hand) error {
	r, err := h.ask(ctx, "resources/read", "test://none", map[string]any{"uri": "test://none"}, nil)
	switch {
	case err != nil:
		return err
	case r.Error == nil:
		return fmt.Errorf("no error: %s", r.Result)
	case h.modern():
		return want(r.Error.Code, -32602)
	}
	return want(r.Error.Code, -32002)
}

// hinted: results for clients of 2026-07-28 say how long they hold, whatever the upstream says.
func hinted(ctx context.Context, h *hand) error {
	for method, params := range map[string]map[string]any{"tools/list": {}, "resources/list": {}, "resources/read": {"uri": "test://note"}} {
		uri, _ := params["uri"].(string)
		r, err := h.ask(ctx, method, uri, params, nil)
		if err != nil {
			return err
		}
		var hint struct {
			Type  string `json:"resultType"`
			TTL   *int64 `json:"ttlMs"`
			Scope string `json:"cacheScope"`
		}
		if err := json.Unmarshal(r.Result, &hint); err != nil {
			return err
		}
		if hint.Type != "complete" || hint.TTL == nil || *hint.TTL < 0 || hint.Scope != "private" && hint.Scope != "public" {
			return fmt.Errorf("%s: %s", method, r.Result)
		}
	}
	return nil
}

// traced: the trace context of a call reaches the tool.
func traced(ctx context.Context, h *hand) error {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	return h.says(ctx, "trace", map[string]any{"_meta": map[string]any{"traceparent": parent}}, nil, parent)
}

// mirrored: a parameter that the upstream wants in a header is sent there, and
// that of the client is checked.
func mirrored(ctx context.Context, h *hand) error {
	arguments := map[string]any{"region": "eu"}
	if err := h.says(ctx, "mirror", map[string]any{"arguments": arguments}, map[string]string{"Mcp-Param-Region": "eu"}, `{"region":"eu"}`); err != nil || !h.modern() {
		return err
	}
	r, err := h.ask(ctx, "tools/call", "mirror", map[string]any{"name": "mirror", "arguments": arguments}, map[string]string{"Mcp-Param-Region": "us"})
	if err != nil {
		return err
	}
	if r.Error == nil {
		return errors.New("a header that says something else than the body is let pass")
	}
	return want(r.Error.Code, -32020)
}

// batched: a batch is answered like its messages one by one, and one that is too long refused.
func batched(ctx context.Context, h *hand) error {
	if err := h.open(ctx); err != nil {
		return err
	}
	messages := []any{
		h.message("tools/call", map[string]any{"name": "ended"}), h.message("ping", map[string]any{}),
		h.message("resources/read", map[string]any{"uri": "test://none"}),
	}
	replies, err := h.post(ctx, messages, nil)
	if err != nil {
		return err
	}
	good, bad := 0, 0
	for _, r := range replies {
		if r.Error == nil {
			good++
		} else {
			bad++
		}
	}
	if good != 2 || bad != 1 {
		return fmt.Errorf("a batch of three: %+v", replies)
	}
	var many []any
	for range 51 {
		many = append(many, h.message("ping", map[string]any{}))
	}
	replies, err = h.post(ctx, many, nil)
	if err != nil {
		return err
	}
	for _, r := range replies {
		if r.Error == nil {
			return errors.New("a batch of 51 is answered")
		}
	}
	return nil
}
