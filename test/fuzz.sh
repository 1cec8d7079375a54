#!/usr/bin/env bash
# Runs every fuzz target of both modules for the given time, 5 s each by default.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-5s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
count=0
for file in $(grep -rlE '^func Fuzz' --include='*_test.go' mcp internal); do
	module=.
	case $file in mcp/*) module=mcp ;; esac
	for target in $(grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | cut -d' ' -f2); do
		dir=$(dirname "$file")
		echo "fuzz $dir $target $time"
		if ! (cd "$module" && go test "./${dir#"$module"}" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2) >"$log" 2>&1; then
			# The go command sometimes reports the end of -fuzztime itself as a failure
			# (golang/go#75804). Only that, with no failing input, is not one.
			if ! grep -q '^    context deadline exceeded$' "$log" || grep -qE 'Failing input|panic|fuzzing process' "$log"; then
				cat "$log"
				exit 1
			fi
			echo "fuzz $dir $target: ended by its time limit while a worker was busy"
		fi
		count=$((count + 1))
	done
done
echo "$count fuzz targets passed"
