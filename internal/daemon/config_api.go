package daemon

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
)

// configRoutes are the routes of the control API that are about the config.
func (d *Daemon) configRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+adminapi.PathConfig+"/reload", func(w http.ResponseWriter, r *http.Request) {
		change, err := d.Reload(d.who(r, "reload"))
		answerChange(w, change, err)
	})
	mux.HandleFunc("POST "+adminapi.PathConfig+"/rollback", func(w http.ResponseWriter, r *http.Request) {
		to, ok := number(w, r.URL.Query().Get("to"))
		if !ok {
			return
		}
		change, err := d.Rollback(to, d.who(r, "rollback"))
		answerChange(w, change, err)
	})
	mux.HandleFunc("GET "+adminapi.PathConfig+"/generations", func(w http.ResponseWriter, _ *http.Request) {
		list, err := d.generations()
		answerChange(w, list, err)
	})
	mux.HandleFunc("GET "+adminapi.PathConfig+"/generations/{n}", func(w http.ResponseWriter, r *http.Request) {
		if n, ok := number(w, r.PathValue("n")); ok {
			g, err := d.generation(n)
			answerChange(w, g, err)
		}
	})
	mux.HandleFunc("GET "+adminapi.PathConfig+"/file", func(w http.ResponseWriter, _ *http.Request) {
		if d.opts.Source == nil {
			answerChange(w, nil, ErrNoSource)
			return
		}
		text, err := d.opts.Source.Read()
		answerChange(w, &adminapi.Generation{Hash: hashOf(text), File: d.opts.Source.Path, Text: string(text)}, err)
	})
}

// upstreamRoutes are those that change which upstreams there are.
func (d *Daemon) upstreamRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+adminapi.PathUpstreams, func(w http.ResponseWriter, r *http.Request) {
		var add adminapi.NewUpstream
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNewUpstream))
		if err == nil {
			err = json.Unmarshal(body, &add)
		}
		if err != nil {
			http.Error(w, "not an upstream: "+err.Error(), http.StatusBadRequest)
			return
		}
		if err := d.Add(add.Name, add.Keys, d.who(r, "add")); err != nil {
			answerChange(w, nil, err)
			return
		}
		answer(w, http.StatusOK, d.upstream(d.now.Load().find(add.Name).up))
	})
	mux.HandleFunc("DELETE "+adminapi.PathUpstreams+"/{name}", func(w http.ResponseWriter, r *http.Request) {
		err := d.Remove(r.PathValue("name"), d.who(r, "remove"))
		if errors.Is(err, adminapi.ErrNotFound) {
			http.Error(w, "no such upstream", http.StatusNotFound)
			return
		}
		answerChange(w, &adminapi.ConfigChange{Added: []string{}, Changed: []string{}, Removed: []string{r.PathValue("name")}, Notes: []adminapi.Finding{}}, err)
	})
}

// maxNewUpstream bounds an upstream that is added, in bytes.
const maxNewUpstream = 64 << 10

func number(w http.ResponseWriter, s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		http.Error(w, "not the number of a generation", http.StatusBadRequest)
	}
	return n, err == nil
}

// who says in a few words who wants something by the API.
func (d *Daemon) who(r *http.Request, what string) string {
	if p, err := d.auth.authenticate(r); err == nil && p.Subject != "" {
		return "api " + what + " of " + p.Subject
	}
	return "api " + what
}

func answerChange(w http.ResponseWriter, v any, err error) {
	_, wrong := errors.AsType[config.Errors](err)
	switch {
	case err == nil:
		answer(w, http.StatusOK, v)
	case wrong:
		answer(w, http.StatusUnprocessableEntity, &adminapi.Refused{Findings: findingsOf(err)})
	default:
		answer(w, http.StatusConflict, &adminapi.Refused{Findings: findingsOf(err)})
	}
}
