package gateway

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"unicode/utf8"
)

const (
	// separator stands between the upstream's name and its own name for a thing.
	separator = "__"
	// maxName is the longest name that common model APIs take.
	maxName = 64
	hashLen = 6
)

// exposed returns the name that Root has for something of an upstream. A name
// that would be too long is cut and told apart by a hash of the whole, so that it
// is the same after every start.
func exposed(upstream, name string) string {
	full := upstream + separator + name
	if len(full) <= maxName {
		return full
	}
	sum := sha256.Sum256([]byte(full))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashLen]
	cut := maxName - hashLen
	for cut > 0 && !utf8.RuneStart(full[cut]) {
		cut--
	}
	return full[:cut] + hash
}
