package mcp_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

// exampleTypes says how the examples of each type of the schema go through ours and back.
var exampleTypes = map[string]func(b []byte) ([]byte, error){
	"TextContent": content, "ImageContent": content, "AudioContent": content, "ResourceLink": content, "EmbeddedResource": content,
	"ToolUseContent": content, "ToolResultContent": content,

	"TextResourceContents": asValue[mcp.ResourceContents],
	"BlobResourceContents": asValue[mcp.ResourceContents],
	"Resource":             asValue[mcp.Resource],
	"Root":                 asValue[mcp.Root],
	"Tool":                 asValue[mcp.Tool],
	"ServerCapabilities":   asValue[mcp.ServerCapabilities],
	"ClientCapabilities":   asValue[mcp.ClientCapabilities],
	"ModelPreferences":     asValue[mcp.ModelPreferences],
	"SamplingMessage":      asValue[mcp.SamplingMessage],

	"BooleanSchema": asValue[mcp.FormField], "NumberSchema": asValue[mcp.FormField], "StringSchema": asValue[mcp.FormField],
	"TitledMultiSelectEnumSchema": asValue[mcp.FormField], "TitledSingleSelectEnumSchema": asValue[mcp.FormField],
	"UntitledMultiSelectEnumSchema": asValue[mcp.FormField], "UntitledSingleSelectEnumSchema": asValue[mcp.FormField],

	"CallToolRequest": asRequest, "CompleteRequest": asRequest, "DiscoverRequest": asRequest, "GetPromptRequest": asRequest, "ListPromptsRequest": asRequest,
	"ListResourceTemplatesRequest": asRequest, "ListResourcesRequest": asRequest, "ListToolsRequest": asRequest, "ReadResourceRequest": asRequest,
	"SubscriptionsListenRequest": asRequest,
	"CallToolRequestParams":      asParams(mcp.MethodCallTool),
	"CompleteRequestParams":      asParams(mcp.MethodComplete),
	"GetPromptRequestParams":     asParams(mcp.MethodGetPrompt),
	"PaginatedRequestParams":     asParams(mcp.MethodListTools),

	"CallToolResult":                      asResult[mcp.ToolResult](mcp.MethodCallTool),
	"CallToolResultResponse":              asResponse[mcp.ToolResult](mcp.MethodCallTool),
	"CompleteResult":                      asResult[mcp.CompleteResult](mcp.MethodComplete),
	"CompleteResultResponse":              asResponse[mcp.CompleteResult](mcp.MethodComplete),
	"DiscoverResult":                      asResult[mcp.DiscoverResult](mcp.MethodDiscover),
	"DiscoverResultResponse":              asResponse[mcp.DiscoverResult](mcp.MethodDiscover),
	"GetPromptResult":                     asResult[mcp.PromptResult](mcp.MethodGetPrompt),
	"GetPromptResultResponse":             asResponse[mcp.PromptResult](mcp.MethodGetPrompt),
	"ListPromptsResult":                   asResult[mcp.ListPromptsResult](mcp.MethodListPrompts),
	"ListPromptsResultResponse":           asResponse[mcp.ListPromptsResult](mcp.MethodListPrompts),
	"ListResourceTemplatesResult":         asResult[mcp.ListResourceTemplatesResult](mcp.MethodListTemplates),
	"ListResourceTemplatesResultResponse": asResponse[mcp.ListResourceTemplatesResult](mcp.MethodListTemplates),
	"ListResourcesResult":                 asResult[mcp.ListResourcesResult](mcp.MethodListResources),
	"ListResourcesResultResponse":         asResponse[mcp.ListResourcesResult](mcp.MethodListResources),
	"ListToolsResult":                     asResult[mcp.ListToolsResult](mcp.MethodListTools),
	"ListToolsResultResponse":             asResponse[mcp.ListToolsResult](mcp.MethodListTools),
	"ReadResourceResult":                  asResult[mcp.ReadResourceResult](mcp.MethodReadResource),
	"ReadResourceResultResponse":          asResponse[mcp.ReadResourceResult](mcp.MethodReadResource),
	"SubscriptionsListenResult":           asResult[struct{}](mcp.MethodListen),
	"SubscriptionsListenResultResponse":   asResponse[struct{}](mcp.MethodListen),
	"InputRequiredResult":                 asResult[mcp.InputRequiredResult](mcp.MethodCallTool),

	"CreateMessageRequest": asQuestion, "ElicitRequest": asQuestion, "ListRootsRequest": asQuestion,
	"InputRequests":              eachMember(asQuestion),
	"InputResponses":             eachMember(asAnswer),
	"CreateMessageRequestParams": asValue[mcp.SampleParams],
	"ElicitRequestFormParams":    asValue[mcp.ElicitParams],
	"ElicitRequestURLParams":     asValue[mcp.ElicitParams],
	"CreateMessageResult":        asValue[mcp.SampleResult],
	"ElicitResult":               asValue[mcp.ElicitResult],
	"ListRootsResult":            asValue[mcp.ListRootsResult],

	"CancelledNotification":                 asNotification[mcp.CancelledParams],
	"CancelledNotificationParams":           asValue[mcp.CancelledParams],
	"LoggingMessageNotification":            asNotification[mcp.LogMessage],
	"LoggingMessageNotificationParams":      asValue[mcp.LogMessage],
	"ProgressNotification":                  asNotification[mcp.ProgressParams],
	"ProgressNotificationParams":            asValue[mcp.ProgressParams],
	"PromptListChangedNotification":         asNotification[struct{}],
	"ResourceListChangedNotification":       asNotification[struct{}],
	"ToolListChangedNotification":           asNotification[struct{}],
	"ResourceUpdatedNotification":           asNotification[mcp.ResourceUpdatedParams],
	"ResourceUpdatedNotificationParams":     asValue[mcp.ResourceUpdatedParams],
	"SubscriptionsAcknowledgedNotification": asNotification[acknowledgement],

	"HeaderMismatchError": asErrorReply, "MissingRequiredClientCapabilityError": asErrorReply, "UnsupportedProtocolVersionError": asErrorReply,
	"InternalError": asBareError, "InvalidParamsError": asBareError, "MethodNotFoundError": asBareError, "ParseError": asBareError,
}

// exampleDiffers says where what comes back differs from an example, and why it may.
var exampleDiffers = map[string]func(want map[string]any){
	// false is the default of isError, and we leave defaults out.
	"CallToolResult/result-with-unstructured-text.json":     func(want map[string]any) { delete(want, "isError") },
	"CallToolResultResponse/call-tool-result-response.json": func(want map[string]any) { delete(want["result"].(map[string]any), "isError") },
	"ReadResourceResultResponse/read-resource-result-response.json": func(want map[string]any) {
		// The schema requires both members, which the example leaves out; we never do.
		want["result"].(map[string]any)["ttlMs"] = 0.0
		want["result"].(map[string]any)["cacheScope"] = "private"
	},
	// A question of 2026-07-28 is no request and has no id; what this one has is ignored.
	"ListRootsRequest/list-roots-request.json": func(want map[string]any) { delete(want, "id") },
}

// TestSpecExamples decodes every example of the specification into our types and
// encodes it again: the document must be the same.
func TestSpecExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/spec/2026-07-28/examples/*/*.json")
	if err != nil || len(files) < 129 {
		t.Fatalf("found %d examples, %v", len(files), err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		typ, name := filepath.Base(filepath.Dir(file)), filepath.Base(file)
		seen[typ], seen[typ+"/"+name] = true, true
		t.Run(typ+"/"+name, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := jsonrpc.Valid(b, nil); err != nil {
				t.Fatalf("Valid: %v", err)
			}
			again := exampleTypes[typ]
			if again == nil {
				t.Fatalf("no type of ours for %s", typ)
			}
			got, err := again(b)
			if err != nil {
				t.Fatal(err)
			}
			want := meaning(t, b)
			if differ := exampleDiffers[typ+"/"+name]; differ != nil {
				differ(want.(map[string]any))
			}
			if diff := cmp.Diff(want, meaning(t, got)); diff != "" {
				t.Errorf("there and back (-want +got):\n%s", diff)
			}
		})
	}
	for typ := range exampleTypes {
		if !seen[typ] {
			t.Errorf("there are no examples of %s", typ)
		}
	}
	for name := range exampleDiffers {
		if !seen[name] {
			t.Errorf("there is no example %s", name)
		}
	}
}

// meaning decodes JSON for comparison.
func meaning(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := stdjson.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

// strictly refuses members that the type does not have.
var strictly = json.RejectUnknownMembers(true)

func asValue[T any](b []byte) ([]byte, error) {
	v := new(T)
	if err := json.Unmarshal(b, v, strictly); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func asRequest(b []byte) ([]byte, error) {
	msg, err := jsonrpc.Scan(b, nil)
	if err != nil {
		return nil, err
	}
	req, werr := mcp.DecodeRequest(&msg)
	if werr != nil {
		return nil, werr
	}
	return mcp.AppendRequest(nil, msg.ID, req, req.Meta.ProgressToken), nil
}

// asParams puts params into a request.
func asParams(method string) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		again, err := asRequest(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, b))
		return jsonrpc.Get(again, "params"), err
	}
}

// asResponse decodes the body of a response into a T.
func asResponse[T any](method string) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		msg, err := jsonrpc.Scan(b, nil)
		if err != nil {
			return nil, err
		}
		res, err := mcp.DecodeResponse(&msg)
		if err != nil {
			return nil, err
		}
		body, err := asValue[T](bytes.TrimSpace(res.Body))
		if method == mcp.MethodListen { // has nothing but a _meta, which the codec writes
			body, err = nil, nil
		}
		res.Body = body
		return mcp.AppendResponse(nil, msg.ID, method, res, nil), err
	}
}

// asResult puts a result into a response.
func asResult[T any](method string) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		again, err := asResponse[T](method)(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":"listen-1","result":%s}`, b))
		return jsonrpc.Get(again, "result"), err
	}
}

func asErrorReply(b []byte) ([]byte, error) {
	msg, err := jsonrpc.Scan(b, nil)
	if err != nil {
		return nil, err
	}
	_, err = mcp.DecodeResponse(&msg)
	if !mcp.IsWireError(err) {
		return nil, fmt.Errorf("not an error of the peer: %w", err)
	}
	return mcp.AppendResponse(nil, msg.ID, mcp.MethodCallTool, mcp.Result{}, mcp.ErrorOf(err)), nil
}

// asBareError puts an error into a response.
func asBareError(b []byte) ([]byte, error) {
	again, err := asErrorReply(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"error":%s}`, b))
	return jsonrpc.Get(again, "error"), err
}

type acknowledgement struct {
	Notifications mcp.NotificationFilter `json:"notifications"`
}

// asNotification sends the asParams, decoded into a T, to the subscription of the example, if it has one.
func asNotification[T any](b []byte) ([]byte, error) {
	msg, err := jsonrpc.Scan(b, nil)
	if err != nil {
		return nil, err
	}
	subscription := jsonrpc.Get(msg.Meta, mcp.MetaSubscriptionID)
	rest := jsonrpc.Splice(nil, msg.Params, jsonrpc.Member{Key: "_meta"})
	rest, err = asValue[T](rest)
	return mcp.NewNotification(msg.Method, rest).AppendTo(nil, subscription), err
}

// asQuestion is what a server asks, with the params of its method.
func asQuestion(b []byte) ([]byte, error) {
	var q mcp.InputRequest
	err := json.Unmarshal(b, &q)
	if err != nil {
		return nil, err
	}
	switch q.Method {
	case mcp.MethodElicit:
		q.Params, err = asValue[mcp.ElicitParams](q.Params)
	case mcp.MethodSample:
		q.Params, err = asValue[mcp.SampleParams](q.Params)
	case mcp.MethodListRoots:
	default:
		err = fmt.Errorf("unknown question %q", q.Method)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(q)
}

// asAnswer is what a client answers a question.
func asAnswer(b []byte) ([]byte, error) {
	switch {
	case jsonrpc.Get(b, "action") != nil:
		return asValue[mcp.ElicitResult](b)
	case jsonrpc.Get(b, "model") != nil:
		return asValue[mcp.SampleResult](b)
	}
	return asValue[mcp.ListRootsResult](b)
}

func eachMember(of func([]byte) ([]byte, error)) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		var members map[string]mcp.Raw
		if err := json.Unmarshal(b, &members); err != nil {
			return nil, err
		}
		for key, member := range members {
			again, err := of(member)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			members[key] = again
		}
		return json.Marshal(members)
	}
}
