package gateway

import (
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// searchIndex ranks tools by Okapi BM25 over the words of name, title, description
// and parameter names. It is immutable, and the same question always has the same answer.
type searchIndex struct {
	docs    []map[string]float64 // tool -> word -> weighted count
	lengths []float64
	average float64
	with    map[string]int // word -> tools that have it
}

const (
	bm25K = 1.2  // how soon a repeated word counts no more
	bm25B = 0.75 // how much long texts count less
)

func newSearchIndex(tools [][]byte) *searchIndex {
	x := &searchIndex{with: make(map[string]int)}
	total := 0.0
	for _, tool := range tools {
		doc, length := make(map[string]float64), 0.0
		add := func(text string, weight float64) {
			for _, w := range words(text) {
				doc[w] += weight
				length += weight
			}
		}
		for _, field := range []struct {
			key    string
			weight float64
		}{{"name", 3}, {"title", 2}, {"description", 1}} {
			text, _ := jsonrpc.Unquote(jsonrpc.Get(tool, field.key))
			add(text, field.weight)
		}
		if schema := jsonrpc.Get(tool, "inputSchema"); isObject(schema) {
			if properties := jsonrpc.Get(schema, "properties"); isObject(properties) {
				for name := range jsonrpc.Members(properties) {
					add(name, 1)
				}
			}
		}
		for w := range doc {
			x.with[w]++
		}
		x.docs = append(x.docs, doc)
		x.lengths = append(x.lengths, length)
		total += length
	}
	x.average = max(total/float64(max(len(tools), 1)), 1)
	return x
}

// find lists the tools that have a word of the query, the best first; of equals, the
// first in the list.
func (x *searchIndex) find(query string) []int {
	asked := words(query)
	slices.Sort(asked)
	asked = slices.Compact(asked)
	scores := make([]float64, len(x.docs))
	var found []int
	for i, doc := range x.docs {
		for _, w := range asked {
			n := doc[w]
			if n == 0 {
				continue
			}
			with := float64(x.with[w])
			rare := math.Log(1 + (float64(len(x.docs))-with+0.5)/(with+0.5))
			scores[i] += rare * n * (bm25K + 1) / (n + bm25K*(1-bm25B+bm25B*x.lengths[i]/x.average))
		}
		if scores[i] > 0 {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	return found
}

// words are the words of a text in lower case: parts of names like readFile and
// read_file count as words, and a plural is its singular.
func words(text string) (out []string) {
	var word []rune
	end := func() {
		if len(word) > 0 {
			w := strings.ToLower(string(word))
			if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") {
				w = w[:len(w)-1]
			}
			out = append(out, w)
		}
		word = word[:0]
	}
	for _, r := range text {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			continue
		case unicode.IsUpper(r) && len(word) > 0 && unicode.IsLower(word[len(word)-1]):
			end()
		}
		word = append(word, r)
	}
	end()
	return out
}
