# Each target does all its own set-up. "make help" lists them.
SHELL := /bin/bash
GO ?= go
# Each module builds as a user gets it: without the workspace.
export GOWORK := off
TOOL := $(GO) tool -modfile=$(CURDIR)/tools/go.mod
FUZZTIME ?= 5s
LONGTIME ?= 10m
MODULES := . ./mcp ./test/peers

.PHONY: help build run test check format fmt vet staticcheck generated generate unit fuzz peers e2e cross bench faults long clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/fairlead, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/fairlead ./cmd/fairlead

run: build ## run a node with a supervised demo upstream on 127.0.0.1:8080
	@exec bin/fairlead serve

test: format vet staticcheck generated peers unit fuzz e2e cross ## everything: what CI runs

check: format vet staticcheck ## format, vet and staticcheck only

format: ## gofumpt has nothing to change, go fix neither
	@out=$$($(TOOL) gofumpt -l $$(git ls-files -c -o --exclude-standard '*.go')); test -z "$$out" || { echo "not formatted (run: make fmt):"; echo "$$out"; exit 1; }
	@for m in $(MODULES); do (cd $$m && $(GO) fix -diff ./...) || exit 1; done

fmt: ## format the code
	$(TOOL) gofumpt -w $$(git ls-files -c -o --exclude-standard '*.go')

vet: ## go vet in every module
	@for m in $(MODULES); do (cd $$m && $(GO) vet ./...) || exit 1; done

staticcheck: ## staticcheck in every module
	@for m in $(MODULES); do (cd $$m && $(TOOL) staticcheck ./...) || exit 1; done

generated: ## generated files are fresh
	$(GO) test ./internal/archtest ./internal/config ./internal/upstream -run 'Generated|ErrorsDoc|Imports|Coverage' -count=1
	cd test/peers && $(GO) test . -run 'Generated|Exceptions' -count=1

generate: ## write the generated files anew
	$(GO) test ./internal/archtest ./internal/config ./internal/upstream -run 'Generated|ErrorsDoc' -count=1 -args -update
	cd test/peers && $(GO) test . -run Generated -count=1 -args -update

unit: ## all Go tests with the race detector
	@for m in . ./mcp; do (cd $$m && $(GO) test -race ./...) || exit 1; done

fuzz: ## each fuzz target for FUZZTIME (5s)
	@./test/fuzz.sh $(FUZZTIME)

peers: test/npm/node_modules/.package-lock.json ## install the npm peers the tests run against

test/npm/node_modules/.package-lock.json: test/npm/package-lock.json
	cd test/npm && npm ci --no-progress --no-fund --no-audit

e2e: peers ## the official suite, the official servers, SDKs and inspector against real processes
	FAIRLEAD_E2E=1 $(GO) test ./test/... -count=1 -timeout 15m
	cd test/peers && FAIRLEAD_E2E=1 $(GO) test ./... -count=1 -timeout 15m

cross: ## the library builds on Linux, macOS and Windows, the daemon on Linux and macOS
	@for os in linux darwin windows; do (cd mcp && CGO_ENABLED=0 GOOS=$$os $(GO) build ./...) || exit 1; done
	@for os in linux darwin; do CGO_ENABLED=0 GOOS=$$os $(GO) build -o /dev/null ./cmd/fairlead || exit 1; done

bench: peers ## measure beside the peers and write docs/performance.md
	cd test/peers && $(GO) run ./cmd/compare -out $(CURDIR)/docs/performance.md

faults: ## break a node in every way, measure, and write docs/faults.md
	FAIRLEAD_FAULTS=1 $(GO) test ./test/faults -run TestFaults -v -count=1 -timeout 2h -out $(CURDIR)/docs/faults.md

long: ## thousand cycles, a soak of LONGTIME (10m), each fuzz target for ten minutes; hours
	FAIRLEAD_LONG=$(LONGTIME) $(GO) test ./test/long -v -count=1 -timeout 24h
	@./test/fuzz.sh 10m

clean: ## remove what the targets made
	rm -rf bin out test/npm/node_modules
