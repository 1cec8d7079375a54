// Package secret holds values that never print. A secret.Text can be passed
// around, logged, marshalled and compared without its content leaving the
// process; only Reveal gives it out, so every use of a secret can be found by
// searching for that word.
//
//	token := secret.New(os.Getenv("TOKEN"))
//	log.Info("calling", "token", token) // token=[redacted]
//	req.Header.Set("Authorization", "Bearer "+token.Reveal())
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a string that never prints. The zero value is the empty secret.
// It is immutable and safe for concurrent use.
type Text struct {
	// A pointer, because fmt prints unexported fields of other structs without
	// asking their methods: it then finds an address and not the value.
	value *string
}

// New returns value as a secret.
func New(value string) Text {
	return Text{value: &value}
}

// Reveal returns the value itself.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// IsZero reports whether the secret is empty.
func (t Text) IsZero() bool { return t.Reveal() == "" }

// Equal reports whether both secrets have the same value, in a time that
// depends on their lengths only.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "[redacted]".
func (Text) String() string { return redacted }

// GoString returns "[redacted]".
func (Text) GoString() string { return redacted }

// Format writes "[redacted]" for every verb and flag.
func (Text) Format(f fmt.State, _ rune) {
	// A failed write is reported by the printer that owns f.
	_, _ = io.WriteString(f, redacted)
}

// LogValue returns "[redacted]".
func (Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns the JSON string "[redacted]".
func (Text) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML returns "[redacted]".
func (Text) MarshalYAML() (any, error) { return redacted, nil }
