package mcp

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// maxPageURL bounds the URL of a page: a user who is to examine it has no use for
// more, and browsers take no more.
const maxPageURL = 8 << 10

// check checks a page that a server wants opened.
func (p Page) check() error {
	if len(p.URL) > maxPageURL {
		return errors.New("the URL is too long to be examined")
	}
	for _, r := range p.URL {
		// Invisible characters and those that turn the direction of writing.
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return errors.New("the URL has characters that cannot be shown")
		}
	}
	return checkPage(p.URL)
}

// Domain is the host of the page's URL, to be shown beside it with emphasis: it is
// what tells whose page it is.
func (p Page) Domain() string {
	u, err := url.Parse(p.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Warnings says what is suspicious about the page's URL, to be shown to the user
// who decides (MCP 2026-07-28, client/elicitation, Safe URL Handling). Nil is no
// proof of anything.
func (p Page) Warnings() []string {
	u, err := url.Parse(p.URL)
	if err != nil {
		return []string{"the URL cannot be parsed"}
	}
	var found []string
	host := strings.ToLower(u.Hostname())
	addr, notAddr := netip.ParseAddr(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || notAddr == nil && addr.IsLoopback()
	if u.Scheme != "https" && !local {
		found = append(found, "the page is not encrypted (http)")
	}
	if u.User != nil {
		found = append(found, "the URL has a user name before the host, which can make it look like another site's")
	}
	if notAddr == nil && !local {
		found = append(found, "the host is an address without a name")
	}
	for label := range strings.SplitSeq(host, ".") {
		if strings.HasPrefix(label, "xn--") || strings.IndexFunc(label, func(r rune) bool { return r > unicode.MaxASCII }) >= 0 {
			found = append(found, "the host has letters that can look like others (Punycode)")
			break
		}
	}
	return found
}
