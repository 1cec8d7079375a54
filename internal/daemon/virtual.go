package daemon

import (
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/gateway"
)

// virtual turns what the config says of virtual servers into what the gateway shows.
func virtual(cfg *config.Config) (out []gateway.Virtual) {
	for i := range cfg.Virtual {
		v := &cfg.Virtual[i]
		out = append(out, gateway.Virtual{
			Name: v.Name, Instructions: v.Instructions, ToolSearch: v.ToolSearch,
			Tools: picks(cfg, v.Tools), Prompts: picks(cfg, v.Prompts), Resources: picks(cfg, v.Resources),
		})
	}
	return out
}

func picks(cfg *config.Config, list []config.Pick) (out []gateway.Pick) {
	for i := range list {
		p := &list[i]
		pick := gateway.Pick{
			Names: p.Names, As: p.As, Prefix: p.Prefix, Title: p.Title, Description: p.Description,
			Defaults: map[string][]byte{}, Fixed: map[string][]byte{},
		}
		for j := range cfg.Upstreams {
			if p.Chooses(&cfg.Upstreams[j]) {
				pick.From = append(pick.From, cfg.Upstreams[j].Name)
			}
		}
		for name, value := range p.Defaults {
			pick.Defaults[name] = []byte(value)
		}
		for name, value := range p.Fixed {
			pick.Fixed[name] = []byte(value.Reveal())
		}
		out = append(out, pick)
	}
	return out
}
