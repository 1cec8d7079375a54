package gateway

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
)

// stateLife is how long a caller has to answer an upstream's questions.
const stateLife = 10 * time.Minute

// The purpose that an upstream's state is sealed for: a server's own states are
// another, so neither is taken for the other.
const statePurpose = "upstream requestState"

// sealState wraps the requestState of an upstream into an envelope that only the
// same caller can use, for the same call, for some time.
func (g *Gateway) sealState(req *mcp.Request, u *upstream.Upstream, state string) string {
	g.bound(u, stateLife)
	return g.sealer.Seal(mcp.BindRequest(statePurpose, req), joinSealed(u.Name(), state), stateLife)
}

// bound notes that a handle is about to leave. What a remote server of the latest
// revision gives is good whoever asks it; anything else ends with this process.
func (g *Gateway) bound(u *upstream.Upstream, life time.Duration) {
	if u.Spec().URL != "" && u.Status().Version.Modern() {
		return
	}
	until := time.Now().Add(life).Unix()
	for {
		last := g.sealed.Load()
		if last >= until || g.sealed.CompareAndSwap(last, until) {
			return
		}
	}
}

// joinSealed puts an upstream's name before what it has given.
func joinSealed(upstream, value string) []byte {
	plain := binary.BigEndian.AppendUint32(nil, uint32(len(upstream)))
	return append(append(plain, upstream...), value...)
}

func splitSealed(plain []byte) (upstream, value string, ok bool) {
	if len(plain) < 4 {
		return "", "", false
	}
	n := binary.BigEndian.Uint32(plain)
	if uint64(n) > uint64(len(plain)-4) {
		return "", "", false
	}
	return string(plain[4 : 4+n]), string(plain[4+n:]), true
}

var errState = errors.New("requestState is not valid for this request")

// openState unwraps the state that came with req.
func (g *Gateway) openState(req *mcp.Request, sealed string) (upstream, state string, err error) {
	plain, err := g.sealer.Open(mcp.BindRequest(statePurpose, req), sealed)
	if err != nil {
		return "", "", errState
	}
	upstream, state, ok := splitSealed(plain)
	if !ok {
		return "", "", errState
	}
	return upstream, state, nil
}
