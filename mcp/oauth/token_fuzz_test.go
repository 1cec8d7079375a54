package oauth

// Fuzz targets see inside: they call the readers of what servers send.

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzTokenResponse: what a token endpoint answers is a token that a header can
// carry or an error that a terminal can show, never both.
func FuzzTokenResponse(f *testing.F) {
	for _, body := range []string{
		goodToken, `{}`, `[]`, `null`, ``, `{"error":"invalid_grant","error_description":"x\u001b[31m"}`,
		`{"access_token":"a","token_type":"DPoP","expires_in":"1e400"}`, `{"access_token":"a","token_type":"Bearer","expires_in":-0.0,"scope":" a  b "}`,
		`{"access_token":"a\u0000","token_type":"Bearer"}`, `{"access_token":1}`, `{"error":{},"access_token":"a"}`,
	} {
		for _, status := range []int{200, 204, 302, 400, 500} {
			f.Add(status, "application/json", []byte(body))
		}
	}
	f.Add(200, "text/html", []byte(goodToken))
	f.Add(200, "application/json; charset=\"", []byte(goodToken))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		res, err := readTokenResponse("https://as.example/token", status, contentType, body)
		if (res == nil) == (err == nil) {
			t.Fatalf("got %v and %v", res, err)
		}
		if err != nil {
			if text := err.Error(); len(text) > 2000 || plain(text) != text && len(text) < 300 {
				t.Errorf("error %q", text)
			}
			if refused := (*TokenError)(nil); errors.As(err, &refused) && refused.Code == "" {
				t.Error("a refusal without a code")
			}
			return
		}
		if status != 200 || !isToken68(res.AccessToken) || res.TokenType == "" {
			t.Errorf("status %d gives a token of type %q", status, res.TokenType)
		}
		if d := res.lifetime(); d < 0 || d > maxLifetime || time.Now().Add(d).Before(time.Now().Add(-time.Second)) {
			t.Errorf("lifetime %v", d)
		}
	})
}

// FuzzIDJAG: no text of an identity provider is taken for a grant that it is not.
func FuzzIDJAG(f *testing.F) {
	for _, seed := range []string{
		"", "..", "e30.e30.", "e30.e30.e30", "bnVsbA.bnVsbA.x", "eyJ0eXAiOiJvYXV0aC1pZC1qYWcrand0In0.eyJhdWQiOltdLCJleHAiOjFlMzAwfQ.x",
		"eyJ0eXAiOiJvYXV0aC1pZC1qYWcrand0In0.eyJhdWQiOiJodHRwczovL2FzLmV4YW1wbGUiLCJjbGllbnRfaWQiOiJjbGllbnQiLCJleHAiOjQxMDI0NDQ4MDB9.x",
	} {
		f.Add(seed)
	}
	s := &Server{Metadata: &ServerMetadata{Issuer: "https://as.example"}, Registration: Registration{ClientID: "client"}, Resource: "https://mcp.example"}
	f.Fuzz(func(t *testing.T, jwt string) {
		if checkIDJAG(jwt, s) != nil {
			return
		}
		var head, claims map[string]any
		if err := decodeJWT(jwt, &head, &claims); err != nil {
			t.Fatal(err)
		}
		if head["typ"] != "oauth-id-jag+jwt" || claims["client_id"] != "client" || strings.Count(jwt, ".") != 2 {
			t.Errorf("taken: %v %v", head, claims)
		}
	})
}
