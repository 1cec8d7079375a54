package mcp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// SealKey is a key of a [Sealer].
type SealKey struct {
	ID     byte     // told in the clear, to find the key again
	Secret [32]byte // AES-256
}

// Sealer makes handles that travel through a client: requestState, task ids,
// cursors. Nobody without the keys can read one, change one, or use one for
// another binding or after its time. It is safe for concurrent use.
//
// Layout, in base64url: format, key id, nonce, AES-256-GCM of (expiry, value); the
// binding is authenticated and not in it.
type Sealer struct {
	aeads   map[byte]cipher.AEAD
	current byte
}

const sealFormat = 1

// sealEncoding has one text for each handle.
var sealEncoding = base64.RawURLEncoding.Strict()

// NewSealer makes a Sealer: the first key seals, all open, so that keys can be
// rotated. Without keys it makes one of its own, which ends with the process:
// servers behind one address share keys. It panics if two keys have the same id.
func NewSealer(keys ...SealKey) *Sealer {
	if len(keys) == 0 {
		var k SealKey
		rand.Read(k.Secret[:]) // never fails
		keys = []SealKey{k}
	}
	s := &Sealer{aeads: make(map[byte]cipher.AEAD, len(keys)), current: keys[0].ID}
	for _, k := range keys {
		if s.aeads[k.ID] != nil {
			panic(fmt.Sprintf("mcp.NewSealer: two keys have the id %d", k.ID))
		}
		block, err := aes.NewCipher(k.Secret[:])
		if err != nil {
			panic(err) // the length is right by type
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err) // AES has the right block size
		}
		s.aeads[k.ID] = aead
	}
	return s
}

// Seal wraps value for the binding until life has passed.
func (s *Sealer) Seal(binding SealBinding, value []byte, life time.Duration) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(life).Unix()))
	out := []byte{sealFormat, s.current}
	return sealEncoding.EncodeToString(s.aeads[s.current].Seal(out, nil, append(plain, value...), binding))
}

// errSealed says no more: what is wrong with a handle is not a forger's business.
var errSealed = errors.New("handle is not valid here")

// Open unwraps a handle. The error does not say whether it was changed, bound to
// something else, or too old.
func (s *Sealer) Open(binding SealBinding, sealed string) ([]byte, error) {
	b, err := sealEncoding.DecodeString(sealed)
	if err != nil || len(b) < 2 || b[0] != sealFormat || s.aeads[b[1]] == nil {
		return nil, errSealed
	}
	plain, err := s.aeads[b[1]].Open(nil, nil, b[2:], binding)
	if err != nil || len(plain) < 8 || uint64(time.Now().Unix()) > binary.BigEndian.Uint64(plain) {
		return nil, errSealed
	}
	return plain[8:], nil
}

// SealedBy tells the id of the key that a handle was sealed with, which it has in
// the clear: it says who made the handle, and proves nothing.
func SealedBy(sealed string) (keyID byte, ok bool) {
	const head = 4 // three bytes in base64url
	if len(sealed) < head {
		return 0, false
	}
	b, err := sealEncoding.DecodeString(sealed[:head])
	if err != nil || b[0] != sealFormat {
		return 0, false
	}
	return b[1], true
}

// SealBinding is what a handle is good for.
type SealBinding []byte

// BindRequest binds to the caller, the method and the params of req, without what
// differs between a request and its retry: _meta, requestState and inputResponses
// (MCP 2026-07-28, basic/patterns/mrtr, Server Requirements).
func BindRequest(purpose string, req *Request) SealBinding {
	b := appendSized(BindPrincipal(purpose, req.Principal), req.Method)
	var members []jsonrpc.Member
	for key, value := range jsonrpc.Members(req.Params) {
		if key != "_meta" && key != memberState && key != memberResponses {
			members = append(members, jsonrpc.Member{Key: key, Value: value})
		}
	}
	// Sorted, since a client may put the members of its retry in another order.
	slices.SortFunc(members, func(a, b jsonrpc.Member) int { return strings.Compare(a.Key, b.Key) })
	digest := sha256.Sum256(jsonrpc.Splice(nil, nil, members...))
	return append(b, digest[:]...)
}

// BindPrincipal binds to the caller only.
func BindPrincipal(purpose string, p Principal) SealBinding {
	b := appendSized(nil, purpose)
	b = appendSized(b, p.Issuer)
	b = appendSized(b, p.Subject)
	return appendSized(b, p.Client)
}

// appendSized appends a length and the text, so that texts cannot run into each other.
func appendSized(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
