package jsonrpc

// A Kind says what a message is.
type Kind uint8

// The kinds of message. The zero Kind is no message.
const (
	Request      Kind = iota + 1 // has a method and an id
	Notification                 // has a method and no id
	Response                     // has an id and a result
	ErrorReply                   // has an error, and an id unless the id could not be read
)

// Error codes of JSON-RPC 2.0 (https://www.jsonrpc.org/specification#error_object).
const (
	CodeParseError     = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternalError  = -32603
)

// Message is one scanned message. Every slice points into the bytes given to
// Scan and is valid as long as they are; nil means that the member is absent.
type Message struct {
	Kind   Kind
	Method string // decoded; known method names do not allocate

	Data []byte // the whole message, without surrounding white space
	ID   []byte // raw text of the id, digit for digit, with the quotes of a string

	Params    []byte // object
	Name      []byte // params.name: raw string with quotes
	URI       []byte // params.uri: raw string with quotes
	Arguments []byte // params.arguments: any value; the method's owner checks the type
	Meta      []byte // params._meta of a request or notification, result._meta of a response: object

	Result []byte // object
	Error  []byte // object
}

// Limits bounds what Scan accepts. A nil *Limits and zero fields mean the defaults.
type Limits struct {
	// MaxBytes bounds the length of one message. Zero means 16 MiB.
	MaxBytes int
	// MaxDepth bounds the nesting of objects and arrays. Zero means 128.
	MaxDepth int
}

// Defaults of [Limits].
const (
	DefaultMaxBytes = 16 << 20
	DefaultMaxDepth = 128
)
