package daemon

import (
	"errors"
	"net/http"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/config"
)

// configRoutes are the routes of the control API that are about the config.
func (d *Daemon) configRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+adminapi.PathConfig+"/reload", func(w http.ResponseWriter, r *http.Request) {
		change, err := d.Reload(d.who(r, "reload"))
		answerChange(w, change, err)
	})
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
