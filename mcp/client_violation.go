package mcp

import (
	"fmt"
	"strings"
	"unicode"
)

// A Violation names a way in which a server breaks the protocol.
type Violation string

// The violations of a server that asks (MCP 2026-07-28, basic/patterns/mrtr,
// Server Requirements; client/elicitation; client/sampling; client/roots).
const (
	// ViolationAskingMethod: the result of a method that cannot ask asks.
	ViolationAskingMethod Violation = "asking-method"
	// ViolationAskedNothing: a result asks for input and has neither questions nor a state.
	ViolationAskedNothing Violation = "asked-nothing"
	// ViolationAskedMalformed: questions or state are not of the type that they must have.
	ViolationAskedMalformed Violation = "asked-malformed"
	// ViolationAskedTooMuch: more than 64 questions at once.
	ViolationAskedTooMuch Violation = "asked-too-much"
	// ViolationAskedUnknown: a question is none that a server may ask.
	ViolationAskedUnknown Violation = "asked-unknown"
	// ViolationAskedUndeclared: a question needs a capability that the client has not declared.
	ViolationAskedUndeclared Violation = "asked-undeclared"
	// ViolationForm: a form is not one of those that clients can show.
	ViolationForm Violation = "form"
	// ViolationPage: the page to open is not an http or https URL that can be shown.
	ViolationPage Violation = "page"
	// ViolationSample: what the client's model is asked is not a conversation.
	ViolationSample Violation = "sample"
)

// ProtocolError is the error of a call whose server breaks the protocol. Nothing
// that came with the violation was used: no function of the client has seen it.
type ProtocolError struct {
	Violation Violation
	// Question is the key of the question that is wrong; empty if no single one is.
	Question string
	// Detail says what is wrong, for people. It may repeat short texts of the server,
	// without what cannot be shown.
	Detail string
}

func (e *ProtocolError) Error() string {
	if e.Question == "" {
		return fmt.Sprintf("the server breaks the protocol (%s): %s", e.Violation, e.Detail)
	}
	return fmt.Sprintf("the server breaks the protocol (%s): question %q: %s", e.Violation, clip(e.Question), e.Detail)
}

// Is reports whether target is a *ProtocolError with the same violation.
func (e *ProtocolError) Is(target error) bool {
	t, ok := target.(*ProtocolError)
	return ok && t.Violation == e.Violation
}

func violates(v Violation, question, format string, args ...any) *ProtocolError {
	return &ProtocolError{Violation: v, Question: question, Detail: printable(fmt.Sprintf(format, args...))}
}

// printable is the text of a stranger that goes to a log or a terminal: at most 256
// bytes, without characters that control it.
func printable(s string) string {
	const limit = 256
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
