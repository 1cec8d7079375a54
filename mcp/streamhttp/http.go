package streamhttp

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Header names in the form in which net/http keeps them.
const (
	headerVersion = "Mcp-Protocol-Version"
	headerMethod  = "Mcp-Method"
	headerName    = "Mcp-Name"
	headerSession = "Mcp-Session-Id"

	headerLastEvent = "Last-Event-Id"
)

// header is h.Get for a canonical name.
func header(h http.Header, canonical string) string {
	if v := h[canonical]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// repeatedHeader names a header that decides something and occurs twice: two
// readers would each choose their own. The Mcp headers of a stateless request are
// judged with it, they have an error of their own.
func repeatedHeader(h http.Header) string {
	for _, name := range [...]string{"Origin", "Authorization", "Content-Type", headerSession} {
		if len(h[name]) > 1 {
			return name
		}
	}
	return ""
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

func lower(s string) string { return strings.ToLower(s) }

// isJSON reports whether a Content-Type says JSON.
func isJSON(values []string) bool {
	if len(values) != 1 {
		return false
	}
	if values[0] == "application/json" {
		return true
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil || kind != "application/json" {
		return false
	}
	charset := params["charset"]
	return charset == "" || strings.EqualFold(charset, "utf-8")
}

// accepts says which forms of response the caller takes. Without the header it
// takes everything (RFC 9110, section 12.5.1).
func accepts(values []string) (json, sse bool) {
	if len(values) == 0 {
		return true, true
	}
	for _, value := range values {
		for value != "" {
			var item string
			item, value, _ = strings.Cut(value, ",")
			item, params, _ := strings.Cut(item, ";")
			if refusesQ(params) {
				continue
			}
			switch item = strings.TrimSpace(item); {
			case item == "*/*":
				json, sse = true, true
			case strings.EqualFold(item, "application/json"), item == "application/*":
				json = true
			case strings.EqualFold(item, "text/event-stream"), item == "text/*":
				sse = true
			}
		}
	}
	return json, sse
}

// refusesQ reports whether media type parameters have a weight of zero.
func refusesQ(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		if q, ok := strings.CutPrefix(strings.TrimSpace(param), "q="); ok {
			weight, err := strconv.ParseFloat(q, 64)
			return err == nil && weight == 0
		}
	}
	return false
}

// refuse answers with an error that belongs to no request id.
func refuse(w http.ResponseWriter, status, code int, message string) {
	answerError(w, status, nil, &mcp.Error{Code: code, Message: message})
}

func answerError(w http.ResponseWriter, status int, id []byte, err *mcp.Error) {
	writeJSON(w, status, jsonrpc.AppendError(nil, id, err.Code, err.Message, err.Data))
}

// writeJSON answers with one message in one write. Below this size net/http sets
// the length by itself, without an allocation.
const lengthBySelf = 2 << 10

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentJSON()
	if len(body) >= lengthBySelf {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	_, _ = w.Write(body) // who cannot take the answer cannot take an error either
}

func contentJSON() []string { return []string{"application/json"} }

func tooLarge(w http.ResponseWriter) {
	refuse(w, http.StatusRequestEntityTooLarge, jsonrpc.CodeInvalidRequest, "The body is too large")
}

func unavailable(w http.ResponseWriter, message string) {
	w.Header().Set("Retry-After", "5")
	refuse(w, http.StatusServiceUnavailable, jsonrpc.CodeInternalError, message)
}

func notAllowed(w http.ResponseWriter) {
	w.Header().Set("Allow", allowedMethods)
	refuse(w, http.StatusMethodNotAllowed, jsonrpc.CodeInvalidRequest, "Method not allowed")
}

func accepted(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) }
