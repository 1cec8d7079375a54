package oauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

func fields(values ...string) http.Header { return http.Header{"Www-Authenticate": values} }

func TestParseChallenges(t *testing.T) {
	type params = map[string]string
	type list = []oauth.Challenge
	for name, row := range map[string]struct {
		in   []string
		want list
	}{
		"none":         {nil, nil},
		"empty":        {[]string{""}, nil},
		"only commas":  {[]string{" , ,"}, nil},
		"scheme alone": {[]string{"Bearer"}, list{{Scheme: "bearer", Params: params{}}}},
		"of the specification": {
			[]string{`Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource", scope="files:read"`},
			list{{Scheme: "bearer", Params: params{"resource_metadata": "https://mcp.example.com/.well-known/oauth-protected-resource", "scope": "files:read"}}},
		},
		"two schemes in one field": {
			[]string{`DPoP algs="ES256 PS256", error=use_dpop_nonce, Bearer scope="a b"`},
			list{{Scheme: "dpop", Params: params{"algs": "ES256 PS256", "error": "use_dpop_nonce"}}, {Scheme: "bearer", Params: params{"scope": "a b"}}},
		},
		"two fields": {
			[]string{`Basic realm="x"`, `BEARER`},
			list{{Scheme: "basic", Params: params{"realm": "x"}}, {Scheme: "bearer", Params: params{}}},
		},
		"token68 between": {
			[]string{"Negotiate YWJj==, Bearer a=b"},
			list{{Scheme: "negotiate", Token: "YWJj==", Params: params{}}, {Scheme: "bearer", Params: params{"a": "b"}}},
		},
		"token68 without padding": {[]string{"Negotiate abc"}, list{{Scheme: "negotiate", Token: "abc", Params: params{}}}},
		"schemes without parameters": {
			[]string{"Negotiate, Bearer"},
			list{{Scheme: "negotiate", Params: params{}}, {Scheme: "bearer", Params: params{}}},
		},
		"quoted pairs, commas and equals in quotes": {
			[]string{`Bearer error_description="say \"no\", a=b \\", Error = x`},
			list{{Scheme: "bearer", Params: params{"error_description": `say "no", a=b \`, "error": "x"}}},
		},
		"empty list elements": {[]string{`, Bearer a=1, , b="" ,`}, list{{Scheme: "bearer", Params: params{"a": "1", "b": ""}}}},
		"space around equals": {[]string{"Bearer a \t=\t b"}, list{{Scheme: "bearer", Params: params{"a": "b"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := oauth.ParseChallenges(fields(row.in...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseChallengesRefuses(t *testing.T) {
	for name, in := range map[string][]string{
		"parameter twice":             {`Bearer scope=a, scope=b`},
		"parameter twice in two ways": {`Bearer scope=a, SCOPE="b"`},
		"open quote":                  {`Bearer scope="a`},
		"open escape":                 {`Bearer scope="a\`},
		"control character":           {"Bearer scope=\"a\x01b\""},
		"escaped control character":   {"Bearer scope=\"a\\\nb\""},
		"no value":                    {"Bearer scope=, error=x"},
		"comma missing":               {`Bearer scope="a" error="b"`},
		"no scheme":                   {`="x"`},
		"parameter before a scheme":   {`scope="a", Bearer`},
		"not a token":                 {"Bearer (x)"},
		"unquoted list":               {"Bearer scope=a b"},
		"one good, one bad":           {"Bearer", `Bearer "`},
		"too large":                   {"Bearer a=" + strings.Repeat("x", 17<<10)},
		"too many challenges":         {strings.Repeat("A, ", 17)},
		"too many in fields":          strings.Fields(strings.Repeat("A ", 17)),
		"too many parameters":         {"Bearer " + strings.Join(names(33), "=1, ") + "=1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := oauth.ParseChallenges(fields(in...)); err == nil || got != nil {
				t.Errorf("got %v, %v; want an error and nothing else", got, err)
			}
		})
	}
}

func names(n int) (out []string) {
	for i := range n {
		out = append(out, "p"+strings.Repeat("x", i))
	}
	return out
}

// FuzzParseChallenges: what parses is within bounds, and is the same when it is
// written out and parsed again.
func FuzzParseChallenges(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="x", error="invalid_token", error_description="The \"token\" expired"`,
		`Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource", scope="files:read files:write"`,
		`DPoP algs="ES256", error="use_dpop_nonce", Bearer`, "Negotiate YWJj==, Basic", `Bearer a="`, ", ,=,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := oauth.ParseChallenges(fields(in))
		if err != nil {
			if got != nil {
				t.Fatalf("%v beside the error %v", got, err)
			}
			return
		}
		again, err := oauth.ParseChallenges(fields(write(got)))
		if err != nil {
			t.Fatalf("%q parses, what it says does not: %v", in, err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("%q changes (-first +second)\n%s", in, diff)
		}
	})
}

func write(all []oauth.Challenge) string {
	var b strings.Builder
	for _, c := range all {
		b.WriteString(", " + c.Scheme)
		sep := " "
		if c.Token != "" {
			b.WriteString(" " + c.Token)
		}
		for name, value := range c.Params {
			b.WriteString(sep + name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`)
			sep = ", "
		}
	}
	return b.String()
}
