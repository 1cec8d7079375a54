package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes.
type ByteSize int64

var units = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}}

// ParseByteSize reads 512, 512B, 64KiB, 4MiB, 1GiB, and the decimal KB, MB, GB.
func ParseByteSize(s string) (ByteSize, error) {
	digits, factor := s, int64(1)
	for _, u := range units {
		if d, ok := strings.CutSuffix(s, u.name); ok {
			digits, factor = strings.TrimSpace(d), u.size
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return ByteSize(int64(n) * factor), nil
}

// String returns the size in the largest binary unit that divides it.
func (b ByteSize) String() string {
	for _, u := range units[:3] {
		if b >= ByteSize(u.size) && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// Hash is the SHA-256 of a bearer token. Tokens are long and random, so a fast
// hash is enough: there is nothing to guess from.
type Hash [sha256.Size]byte

// HashToken returns the hash that goes into the file for token.
func HashToken(token string) Hash { return sha256.Sum256([]byte(token)) }

// ParseHash reads "sha256:" and 64 hex digits. Its error does not repeat s,
// which may be the token itself.
func ParseHash(s string) (Hash, error) {
	var h Hash
	digits, ok := strings.CutPrefix(s, "sha256:")
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != len(h) {
		return Hash{}, errors.New(`not "sha256:" and 64 hex digits`)
	}
	return Hash(raw), nil
}

// String returns the hash as it stands in the file.
func (h Hash) String() string { return "sha256:" + hex.EncodeToString(h[:]) }
