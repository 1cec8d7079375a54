package gateway

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// stateLife is how long a caller has to answer an upstream's questions.
const stateLife = 10 * time.Minute

// The purpose that an upstream's state is sealed for: a server's own states are
// another, so neither is taken for the other.
const statePurpose = "upstream requestState"

// sealState wraps the requestState of an upstream into an envelope that only the
// same caller can use, for the same call, for some time.
func (g *Gateway) sealState(req *mcp.Request, upstream, state string) string {
	plain := binary.BigEndian.AppendUint32(nil, uint32(len(upstream)))
	plain = append(append(plain, upstream...), state...)
	return g.sealer.Seal(mcp.BindRequest(statePurpose, req), plain, stateLife)
}

var errState = errors.New("requestState is not valid for this request")

// openState unwraps the state that came with req.
func (g *Gateway) openState(req *mcp.Request, sealed string) (upstream, state string, err error) {
	plain, err := g.sealer.Open(mcp.BindRequest(statePurpose, req), sealed)
	if err != nil || len(plain) < 4 {
		return "", "", errState
	}
	n := binary.BigEndian.Uint32(plain)
	if uint64(n) > uint64(len(plain)-4) {
		return "", "", errState
	}
	return string(plain[4 : 4+n]), string(plain[4+n:]), nil
}
