package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Challenge is one challenge of a WWW-Authenticate header (RFC 9110, section
// 11.6.1).
type Challenge struct {
	// Scheme is the authentication scheme in lower case, such as bearer or dpop.
	Scheme string
	// Token is the token68 of schemes that have one in place of parameters.
	Token string
	// Params maps the name of a parameter, in lower case, to its value.
	Params map[string]string
}

// Limits of a challenge: what servers send has some hundred bytes.
const (
	maxChallengeBytes  = 16 << 10 // of all WWW-Authenticate fields together
	maxChallenges      = 16
	maxChallengeParams = 32 // of one challenge
	maxScopes          = 256
)

// ParseChallenges reads the WWW-Authenticate fields of a response, several
// challenges in one field or in several. It is strict: a header that is not what
// RFC 9110 says, that names a parameter twice, or that is larger than 16 KiB is an
// error, and no part of it is returned.
func ParseChallenges(h http.Header) ([]Challenge, error) {
	var out []Challenge
	size := 0
	for _, field := range h.Values("WWW-Authenticate") {
		if size += len(field); size > maxChallengeBytes {
			return nil, fmt.Errorf("WWW-Authenticate: more than %d bytes", maxChallengeBytes)
		}
		p := &challengeParser{rest: field}
		if err := p.field(); err != nil {
			return nil, fmt.Errorf("WWW-Authenticate, byte %d: %w", len(field)-len(p.rest), err)
		}
		if out = append(out, p.out...); len(out) > maxChallenges {
			return nil, fmt.Errorf("WWW-Authenticate: more than %d challenges", maxChallenges)
		}
	}
	return out, nil
}

// challengeParser reads one field from the front of rest.
type challengeParser struct {
	rest string
	out  []Challenge
}

// field reads a list of challenges. A comma stands between challenges and between
// the parameters of one; what follows a comma is a parameter if it has an equals
// sign, and a scheme otherwise.
func (p *challengeParser) field() error {
	for first := true; ; first = false {
		commas := p.commas()
		if p.rest == "" {
			return nil
		}
		if !first && commas == 0 {
			return errors.New("a comma is missing")
		}
		if len(p.out) == maxChallenges {
			return fmt.Errorf("more than %d challenges", maxChallenges)
		}
		if err := p.challenge(); err != nil {
			return err
		}
	}
}

// challenge reads a scheme and its token68 or parameters. What it leaves begins
// with a comma, or is empty.
func (p *challengeParser) challenge() error {
	scheme := p.token()
	if scheme == "" {
		return errors.New("an authentication scheme is missing")
	}
	c := Challenge{Scheme: strings.ToLower(scheme), Params: map[string]string{}}
	if strings.HasPrefix(p.rest, " ") {
		p.spaces()
		if t, ok := p.token68(); ok {
			c.Token = t
		} else if err := p.params(&c); err != nil {
			return err
		}
	}
	p.spaces()
	if p.rest != "" && p.rest[0] != ',' {
		return fmt.Errorf("unexpected %q after a challenge", p.rest[0])
	}
	p.out = append(p.out, c)
	return nil
}

// params reads parameters as long as there are any. It stops before the comma that
// leads to the next challenge.
func (p *challengeParser) params(c *Challenge) error {
	for {
		before := p.rest
		p.commas()
		name := p.token()
		p.spaces()
		if name == "" || !strings.HasPrefix(p.rest, "=") {
			p.rest = before
			return nil
		}
		p.rest = p.rest[1:]
		p.spaces()
		value, err := p.value()
		if err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
		name = strings.ToLower(name)
		if _, twice := c.Params[name]; twice {
			return fmt.Errorf("parameter %s stands twice", name)
		}
		if len(c.Params) == maxChallengeParams {
			return fmt.Errorf("more than %d parameters", maxChallengeParams)
		}
		c.Params[name] = value
		p.spaces()
		if !strings.HasPrefix(p.rest, ",") {
			return nil
		}
	}
}

// value reads a token or a quoted string.
func (p *challengeParser) value() (string, error) {
	if !strings.HasPrefix(p.rest, `"`) {
		if v := p.token(); v != "" {
			return v, nil
		}
		return "", errors.New("a value is missing")
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		if c == '"' {
			p.rest = p.rest[i+1:]
			return b.String(), nil
		}
		if c == '\\' {
			if i++; i == len(p.rest) {
				break
			}
			c = p.rest[i]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return "", errors.New("a control character in a quoted string")
		}
		b.WriteByte(c)
	}
	return "", errors.New("the quote is not closed")
}

// token68 reads a token68, if all up to the comma or the end is one. "a=" is one,
// "a=b" is not, as RFC 9110 has it.
func (p *challengeParser) token68() (string, bool) {
	end := strings.IndexByte(p.rest, ',')
	if end < 0 {
		end = len(p.rest)
	}
	t := strings.TrimRight(p.rest[:end], " \t")
	body := strings.TrimRight(t, "=")
	if body == "" || strings.ContainsFunc(body, func(r rune) bool {
		return r > 0x7f || !isAlnum(byte(r)) && !strings.ContainsRune("-._~+/", r)
	}) {
		return "", false
	}
	p.rest = p.rest[len(t):]
	return t, true
}

// token reads a token of RFC 9110, empty if there is none.
func (p *challengeParser) token() string {
	i := 0
	for i < len(p.rest) && (isAlnum(p.rest[i]) || strings.IndexByte("!#$%&'*+-.^_`|~", p.rest[i]) >= 0) {
		i++
	}
	t := p.rest[:i]
	p.rest = p.rest[i:]
	return t
}

func (p *challengeParser) spaces() { p.rest = strings.TrimLeft(p.rest, " \t") }

// commas skips white space and commas, and counts the commas.
func (p *challengeParser) commas() (n int) {
	for p.spaces(); strings.HasPrefix(p.rest, ","); p.spaces() {
		p.rest = p.rest[1:]
		n++
	}
	return n
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// challengeOf returns the first challenge of one of the schemes.
func challengeOf(all []Challenge, schemes ...string) (c Challenge, ok bool) {
	i := slices.IndexFunc(all, func(c Challenge) bool { return slices.Contains(schemes, c.Scheme) })
	if i < 0 {
		return Challenge{}, false
	}
	return all[i], true
}

// scopes reads the scope parameter of a challenge (RFC 6750, section 3).
func (c *Challenge) scopes() ([]string, error) { return splitScopes(c.Params["scope"]) }

// splitScopes reads a scope value (RFC 6749, section 3.3). Order stays, repetitions
// go.
func splitScopes(value string) (scopes []string, err error) {
	for s := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ' ' }) {
		if !isScope(s) {
			return nil, fmt.Errorf("scope %.64q has a character that scopes cannot have", s)
		}
		if scopes = union(scopes, s); len(scopes) > maxScopes {
			return nil, fmt.Errorf("more than %d scopes", maxScopes)
		}
	}
	return scopes, nil
}

// isScope reports whether s is a scope-token of RFC 6749.
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
}

// union returns scopes with those of more that it does not have, in a slice of its
// own.
func union(scopes []string, more ...string) []string {
	out := slices.Clone(scopes)
	for _, s := range more {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
