package mcp

import (
	"bytes"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// MetaSubscriptionID is the _meta key that names the subscription of a
// notification (MCP 2026-07-28, basic/patterns/subscriptions).
const MetaSubscriptionID = "io.modelcontextprotocol/subscriptionId"

// CancelledParams are the params of [NotificationCancelled] (MCP 2026-07-28, schema,
// CancelledNotificationParams). Transports write and read them; a handler sees its
// context end.
type CancelledParams struct {
	RequestID Raw    `json:"requestId"` // string or integer
	Reason    string `json:"reason,omitzero"`
	Meta      Raw    `json:"_meta,omitzero"`
}

// ProgressParams are the params of [NotificationProgress] (MCP 2026-07-28, schema,
// ProgressNotificationParams).
type ProgressParams struct {
	Token Raw `json:"progressToken"` // that of the request: string or integer
	Progress
	Meta Raw `json:"_meta,omitzero"`
}

// ResourceUpdatedParams are the params of [NotificationResourceUpdated] (MCP
// 2026-07-28, schema, ResourceUpdatedNotificationParams).
type ResourceUpdatedParams struct {
	URI  string `json:"uri"`
	Meta Raw    `json:"_meta,omitzero"`
}

// Notification is one encoded notification. It is immutable and may be sent to
// many streams: the text is made once, in two halves with room for each
// stream's own subscription id between them.
type Notification struct {
	// Method is the notification's method.
	Method string
	// Params is the params object without a subscription id, or nil.
	Params []byte

	plain      []byte // the whole message, for callers without a subscription id
	head, tail []byte // the message before and after the subscription id
}

// NewNotification encodes a notification. params is a valid JSON object or nil
// and is not kept; a subscription id in its _meta is dropped.
func NewNotification(method string, params []byte) *Notification {
	var meta, rest []byte // members of _meta, and of params beside it, each with a leading comma
	for key, value := range jsonrpc.Members(params) {
		if key != "_meta" {
			rest = appendMember(rest, key, value)
			continue
		}
		for k, v := range jsonrpc.Members(value) {
			if k != MetaSubscriptionID {
				meta = appendMember(meta, k, v)
			}
		}
	}
	n := &Notification{Method: method}
	open := append(jsonrpc.AppendString([]byte(`{"jsonrpc":"2.0","method":`), method), `,"params":`...)

	n.head = append(bytes.Clone(open), `{"_meta":{"`+MetaSubscriptionID+`":`...)
	n.tail = append(append(append(bytes.Clone(meta), '}'), rest...), "}}"...)

	if params == nil || len(meta)+len(rest) == 0 {
		n.plain = append(jsonrpc.AppendString([]byte(`{"jsonrpc":"2.0","method":`), method), '}')
		return n
	}
	n.Params = []byte{'{'}
	if len(meta) > 0 {
		n.Params = append(append(append(n.Params, `"_meta":{`...), meta[1:]...), '}')
		n.Params = append(n.Params, rest...)
	} else {
		n.Params = append(n.Params, rest[1:]...)
	}
	n.Params = append(n.Params, '}')
	n.plain = append(append(open, n.Params...), '}')
	return n
}

func appendMember(dst []byte, key string, value []byte) []byte {
	dst = append(dst, ',')
	dst = jsonrpc.AppendString(dst, key)
	dst = append(dst, ':')
	return append(dst, value...)
}

// AppendTo appends the notification's message. subscriptionID is the raw id of the
// subscriptions/listen request whose stream it goes to; nil for all other callers.
func (n *Notification) AppendTo(dst, subscriptionID []byte) []byte {
	if subscriptionID == nil {
		return append(dst, n.plain...)
	}
	dst = append(dst, n.head...)
	dst = append(dst, subscriptionID...)
	return append(dst, n.tail...)
}
