package approval

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Marks says what is dangerous about a command. It helps a person who reads;
// it is no filter: a command without marks can still do anything.
func Marks(c *Command) (out []string) {
	name := filepath.Base(c.Argv[0])
	args := c.Argv[1:]
	line := strings.Join(c.Argv, " ")
	add := func(condition bool, text string) {
		if condition {
			out = append(out, text)
		}
	}
	add(slices.ContainsFunc(words(line), isOneOf("sudo", "doas", "su", "pkexec", "runas")), "asks for the rights of another user (sudo)")
	add(deletes.MatchString(line), "deletes files (rm -r)")
	add(pipeToShell.MatchString(line), "runs what it downloads in a shell")
	add(isShell(name) && slices.ContainsFunc(args, isFlag('c')), "runs a line of shell")
	add(isNpm(name) && slices.ContainsFunc(args, func(a string) bool { return isFlag('c')(a) || a == "--call" || strings.HasPrefix(a, "--call=") }), "runs a line of shell (npx -c)")
	add(isInterpreter(name) && slices.ContainsFunc(args, func(a string) bool {
		return isFlag('c')(a) || isFlag('e')(a) || isFlag('p')(a) || strings.HasPrefix(a, "--eval") || strings.HasPrefix(a, "--print")
	}), "runs program text that stands in its arguments")
	add(downloads(name, args, line), "downloads from the network; what it runs can change after you approve it")
	add(isInterpreter(name) || isShell(name), "runs a script that is not checked: only the interpreter is")
	add(container(name, line), "gives a container access to this machine")
	add(slices.ContainsFunc(args, homePath), "reaches into a home directory")
	add(private.MatchString(line), "touches keys or settings of users or of the system")
	add(slices.ContainsFunc(c.Env, loaderName), "sets a variable that makes programs load other code")
	add(strings.ContainsFunc(line, func(r rune) bool { return r > 0x7e }), "has characters outside ASCII, which can look like others")
	add(strings.ContainsFunc(line, invisible), "has invisible characters, shown here as escapes")
	return out
}

var (
	deletes        = regexp.MustCompile(`(^|[\s;&|/'"(])rm\s+(-\S+\s+)*(-[a-zA-Z]*[rRf]|--recursive|--force)`)
	pipeToShell    = regexp.MustCompile(`\b(curl|wget|fetch)\b[^\n]*(\||\$\(|<\()[^\n]*|\b(sh|bash|zsh|eval)\b[^\n]*(\$\(|<\(|` + "`" + `)\s*(curl|wget|fetch)\b`)
	private        = regexp.MustCompile(`(^|[/=~])\.(ssh|aws|gnupg|kube|docker|config|netrc|npmrc|bashrc|zshrc|profile)\b|(^|[\s=:])/(etc|proc|sys|dev|boot)(/|$|\s|:)`)
	containerFlags = regexp.MustCompile(`--privileged|docker\.sock|(-v|--volume|--mount)[ =]|--(net|network|pid|ipc|userns)[ =]host|--cap-add|--device`)
	fetchers       = regexp.MustCompile(`\b(curl|wget)\b|https?://`)
)

func words(line string) []string {
	return strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\n;&|()/'\"`$", r) })
}

func isOneOf(names ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(names, s) }
}

// isFlag matches -c, and groups of short flags such as -ec.
func isFlag(letter rune) func(string) bool {
	return func(arg string) bool {
		return len(arg) > 1 && len(arg) < 5 && arg[0] == '-' && arg[1] != '-' && strings.ContainsRune(arg, letter)
	}
}

func isShell(name string) bool {
	return isOneOf("sh", "bash", "dash", "zsh", "fish", "ksh", "busybox", "cmd", "pwsh", "powershell")(name)
}

func isNpm(name string) bool { return isOneOf("npx", "npm", "pnpm", "yarn", "bunx", "pnpx")(name) }

func isInterpreter(name string) bool {
	return isOneOf("node", "nodejs", "deno", "bun", "python", "perl", "ruby", "php", "lua", "tsx", "ts-node", "java", "env")(strings.TrimRight(name, "0123456789."))
}

func downloads(name string, args []string, line string) bool {
	has := func(verbs ...string) bool { return slices.ContainsFunc(args, isOneOf(verbs...)) }
	switch name {
	case "npx", "pnpx", "bunx", "uvx", "pipx", "curl", "wget":
		return true
	case "npm", "pnpm", "yarn", "bun":
		return has("exec", "x", "dlx", "install", "i", "add", "create", "init")
	case "uv":
		return has("run", "tool", "pip", "sync", "add")
	case "docker", "podman", "nerdctl":
		return has("run", "pull", "create")
	case "go":
		return has("run", "install", "get")
	case "pip", "pip3", "cargo", "gem", "brew", "apt", "apt-get":
		return has("install")
	}
	return fetchers.MatchString(line) && (isShell(name) || isInterpreter(name))
}

func container(name, line string) bool {
	return isOneOf("docker", "podman", "nerdctl")(name) &&
		containerFlags.MatchString(line)
}

var home = regexp.MustCompile(`(^|[=:,\s])(~|\$HOME\b|\$\{HOME\}|/root|/home/[^/]+|/Users/[^/]+)(/|$|\s|:)`)

func homePath(arg string) bool { return home.MatchString(arg) }

func loaderName(name string) bool {
	return strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "DYLD_") ||
		isOneOf("PATH", "NODE_OPTIONS", "NODE_PATH", "PYTHONPATH", "PYTHONSTARTUP", "PERL5OPT", "PERL5LIB", "RUBYOPT", "RUBYLIB", "BASH_ENV", "ENV", "JAVA_TOOL_OPTIONS", "GCONV_PATH", "SHELLOPTS", "npm_config_registry", "NPM_CONFIG_REGISTRY", "UV_INDEX_URL", "PIP_INDEX_URL")(name)
}
