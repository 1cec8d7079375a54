package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

// The hand-written server: what a careful Go programmer writes for exactly these
// two tools, with net/http and encoding/json and no library.

type bareMessage struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
		Meta      struct {
			Version      string          `json:"io.modelcontextprotocol/protocolVersion"`
			Capabilities json.RawMessage `json:"io.modelcontextprotocol/clientCapabilities"`
		} `json:"_meta"`
	} `json:"params"`
}

type bareResult struct {
	ResultType        string        `json:"resultType,omitempty"`
	Content           []bareContent `json:"content"`
	StructuredContent any           `json:"structuredContent,omitempty"`
	IsError           bool          `json:"isError,omitempty"`
}

type bareContent struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type bareResponse struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *bareError      `json:"error,omitempty"`
}

type bareError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

const modern = "2026-07-28"

func bareHandler() http.Handler {
	sessions := sync.Map{} // session id -> true
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		var m bareMessage
		if err := json.Unmarshal(body, &m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		version := r.Header.Get("MCP-Protocol-Version")
		switch {
		case m.Method == "initialize":
			id := make([]byte, 16)
			_, _ = rand.Read(id)
			session := hex.EncodeToString(id)
			sessions.Store(session, true)
			w.Header().Set("Mcp-Session-Id", session)
		case version == modern:
			if m.Params.Meta.Version != version || m.Params.Meta.Capabilities == nil ||
				r.Header.Get("Mcp-Method") != m.Method || r.Header.Get("Mcp-Name") != m.Params.Name {
				http.Error(w, "header mismatch", http.StatusBadRequest)
				return
			}
		default:
			if _, ok := sessions.Load(r.Header.Get("Mcp-Session-Id")); !ok {
				http.Error(w, "unknown session", http.StatusNotFound)
				return
			}
		}
		if m.ID == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		out, err := json.Marshal(bareAnswer(&m, version == modern))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out)
	})
}

func bareStdio() error {
	in, out := bufio.NewReaderSize(os.Stdin, 64<<10), bufio.NewWriterSize(os.Stdout, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out.Flush()
		} else if err != nil {
			return err
		}
		var m bareMessage
		if err := json.Unmarshal(line, &m); err != nil {
			return err
		}
		if m.ID == nil {
			continue
		}
		b, err := json.Marshal(bareAnswer(&m, m.Params.Meta.Version == modern))
		if err != nil {
			return err
		}
		_, _ = out.Write(append(b, '\n'))
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

func bareAnswer(m *bareMessage, isModern bool) bareResponse {
	res := bareResponse{JSONRPC: "2.0", ID: m.ID}
	switch m.Method {
	case "initialize":
		res.Result = map[string]any{"protocolVersion": "2025-11-25", "capabilities": map[string]any{"tools": map[string]any{}}, "serverInfo": map[string]any{"name": "bare", "version": "1"}}
	case "server/discover":
		res.Result = map[string]any{"resultType": "complete", "supportedVersions": []string{modern}, "capabilities": map[string]any{"tools": map[string]any{}}, "ttlMs": 0, "cacheScope": "private"}
	case "tools/call":
		out := bareCall(m)
		if isModern {
			out.ResultType = "complete"
		}
		res.Result = out
	default:
		res.Error = &bareError{-32601, "Method not found"}
	}
	return res
}

func bareCall(m *bareMessage) *bareResult {
	dec := json.NewDecoder(strings.NewReader(string(m.Params.Arguments)))
	dec.DisallowUnknownFields()
	switch m.Params.Name {
	case "echo":
		var in struct {
			Text *string `json:"text"`
		}
		if err := dec.Decode(&in); err != nil || in.Text == nil {
			return bareFailure("text is required")
		}
		return bareStructured(struct {
			Text string `json:"text"`
		}{*in.Text})
	case "add":
		var in struct {
			A *float64 `json:"a"`
			B *float64 `json:"b"`
		}
		if err := dec.Decode(&in); err != nil || in.A == nil || in.B == nil {
			return bareFailure("a and b are required")
		}
		return bareStructured(struct {
			Sum float64 `json:"sum"`
		}{*in.A + *in.B})
	}
	return bareFailure("unknown tool")
}

func bareStructured(v any) *bareResult {
	text, err := json.Marshal(v)
	if err != nil {
		return bareFailure(err.Error())
	}
	return &bareResult{Content: []bareContent{{"text", string(text)}}, StructuredContent: v}
}

func bareFailure(text string) *bareResult {
	return &bareResult{Content: []bareContent{{"text", text}}, IsError: true}
}
