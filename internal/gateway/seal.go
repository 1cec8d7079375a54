package gateway

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Key is a key for the handles that leave the node.
type Key struct {
	ID     byte     // told in the clear, to find the key again
	Secret [32]byte // AES-256
}

// stateLife is how long a caller has to answer an upstream's questions.
const stateLife = 10 * time.Minute

// sealer turns an upstream's requestState into an envelope that only the same
// caller can use, for the same call, for some time. Layout: format, key id, nonce,
// ciphertext of (expiry, upstream, state); the rest of what it is bound to is
// authenticated and not in it.
type sealer struct {
	aeads   map[byte]cipher.AEAD
	current byte
}

const sealFormat = 1

func newSealer(keys []Key) *sealer {
	if len(keys) == 0 {
		var k Key
		rand.Read(k.Secret[:]) // never fails
		keys = []Key{k}
	}
	s := &sealer{aeads: make(map[byte]cipher.AEAD, len(keys)), current: keys[0].ID}
	for _, k := range keys {
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

// seal wraps the state of an upstream for the caller of req.
func (s *sealer) seal(req *mcp.Request, upstream, state string) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(stateLife).Unix()))
	plain = append(appendText(plain, upstream), state...)
	out := []byte{sealFormat, s.current}
	return base64.RawURLEncoding.EncodeToString(s.aeads[s.current].Seal(out, nil, plain, bound(req)))
}

var errState = errors.New("requestState is not valid for this request")

// open unwraps the state that came with req.
func (s *sealer) open(req *mcp.Request, sealed string) (upstream, state string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(b) < 2 || b[0] != sealFormat || s.aeads[b[1]] == nil {
		return "", "", errState
	}
	plain, err := s.aeads[b[1]].Open(nil, nil, b[2:], bound(req))
	if err != nil || len(plain) < 12 {
		return "", "", errState
	}
	if uint64(time.Now().Unix()) > binary.BigEndian.Uint64(plain) {
		return "", "", errState
	}
	n := binary.BigEndian.Uint32(plain[8:])
	if uint64(n) > uint64(len(plain)-12) {
		return "", "", errState
	}
	return string(plain[12 : 12+n]), string(plain[12+n:]), nil
}

// bound is what an envelope is good for: this caller, method and these params,
// without what differs between the first request and the retry.
func bound(req *mcp.Request) []byte {
	b := appendText(nil, req.Principal.Issuer)
	b = appendText(b, req.Principal.Subject)
	b = appendText(b, req.Principal.Client)
	b = appendText(b, req.Method)
	var members []jsonrpc.Member
	for key, value := range jsonrpc.Members(req.Params) {
		if key != "_meta" && key != "requestState" && key != "inputResponses" {
			members = append(members, jsonrpc.Member{Key: key, Value: value})
		}
	}
	// Sorted, since a client may put the members of its retry in another order.
	slices.SortFunc(members, func(a, b jsonrpc.Member) int { return strings.Compare(a.Key, b.Key) })
	digest := sha256.Sum256(jsonrpc.Splice(nil, nil, members...))
	return append(b, digest[:]...)
}

// appendText appends a length and the text, so that texts cannot run into each other.
func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
