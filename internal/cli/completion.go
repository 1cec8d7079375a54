package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCmd) Help() string {
	return "Examples:\n  source <(fairlead completion bash)\n  fairlead completion zsh > \"${fpath[1]}/_fairlead\"\n  fairlead completion fish > ~/.config/fish/completions/fairlead.fish"
}

// Run prints a script made from the command table.
func (cmd *completionCmd) Run(a *app) error {
	write := map[string]func(*strings.Builder, []*kong.Node){"bash": bash, "zsh": zsh, "fish": fish}[cmd.Shell]
	var visible []*kong.Node
	for _, c := range a.kong.Model.Children {
		if !c.Hidden {
			visible = append(visible, c)
		}
	}
	var b strings.Builder
	write(&b, visible)
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

// words are the subcommands, fixed arguments and flags that may follow a command.
func words(c *kong.Node) []string {
	var out []string
	for _, sub := range c.Children {
		out = append(out, sub.Name)
	}
	for _, arg := range c.Positional {
		out = append(out, arg.EnumSlice()...)
	}
	for _, group := range c.AllFlags(true) {
		for _, flag := range group {
			out = append(out, "--"+flag.Name)
		}
	}
	return out
}

func names(commands []*kong.Node) []string {
	var out []string
	for _, c := range commands {
		out = append(out, c.Name)
	}
	return out
}

func bash(b *strings.Builder, commands []*kong.Node) {
	b.WriteString("_fairlead() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words\n")
	fmt.Fprintf(b, "  if [ \"$COMP_CWORD\" -eq 1 ]; then words=%q\n  else case ${COMP_WORDS[1]} in\n", strings.Join(names(commands), " "))
	for _, c := range commands {
		fmt.Fprintf(b, "    %s) words=%q ;;\n", c.Name, strings.Join(words(c), " "))
	}
	b.WriteString("  esac; fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _fairlead fairlead\n")
}

func zsh(b *strings.Builder, commands []*kong.Node) {
	b.WriteString("#compdef fairlead\nif (( CURRENT == 2 )); then\n")
	fmt.Fprintf(b, "  compadd -- %s\n  return\nfi\ncase $words[2] in\n", strings.Join(names(commands), " "))
	for _, c := range commands {
		fmt.Fprintf(b, "  %s) compadd -- %s ;;\n", c.Name, strings.Join(words(c), " "))
	}
	b.WriteString("esac\n_files\n")
}

func fish(b *strings.Builder, commands []*kong.Node) {
	for _, c := range commands {
		fmt.Fprintf(b, "complete -c fairlead -n __fish_use_subcommand -f -a %s -d %q\n", c.Name, c.Help)
	}
	for _, c := range commands {
		for _, w := range words(c) {
			if flag, ok := strings.CutPrefix(w, "--"); ok {
				fmt.Fprintf(b, "complete -c fairlead -n '__fish_seen_subcommand_from %s' -l %s\n", c.Name, flag)
			} else {
				fmt.Fprintf(b, "complete -c fairlead -n '__fish_seen_subcommand_from %s' -a %s\n", c.Name, w)
			}
		}
	}
}
