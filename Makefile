# Targets are at most three lines each; what they need they install.
SHELL := /bin/bash
GO ?= go
LINT_VERSION := v2.15.0
VERSITYGW_VERSION := v1.8.0
COSIGN_VERSION := v3.1.3
KILLS ?= 200
KILLS_FOR ?=
STUDY ?= studies/infer.yaml
RACE_ROOMS := ./runtime/... ./factory ./internal/ledger ./artifacts/... ./benchmarks/external ./benchmarks/universe ./gates

.PHONY: nightly test lint race fuzz kill bench integration story browser clean data build peers interop

nightly: build
	bash internal/scripts/nightly $(STUDY)

build:
	$(GO) build -trimpath -o bin/arqon ./cmd/arqon

data:
	bash internal/scripts/data

test: data
	$(GO) test -count=1 -timeout 10m ./...

lint: bin/golangci-lint-$(LINT_VERSION)
	$(GO) vet ./...
	bin/golangci-lint-$(LINT_VERSION) run ./...

bin/golangci-lint-$(LINT_VERSION): internal/tools/go.mod
	cd internal/tools && $(GO) build -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

race: data
	$(GO) test -race -short -count=1 -timeout 20m $(RACE_ROOMS)
	$(GO) test -race -count=1 -timeout 20m -run 'TestScripts/^(run|serve)$$' ./cmd/arqon

fuzz:
	bash internal/scripts/fuzz 10s

# The real process killed with SIGKILL at random points, KILLS times a verb, under 1, 2 and 8 workers.
kill:
	ARQON_KILLS=$(KILLS) $(GO) test -count=1 -timeout 60m -run TestKill -v ./cmd/arqon

bench: data
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The runtime's hot path beside feature-flag clients and HdrHistogram, in a module of its own.
peers:
	cd runtime/peers && $(GO) run -mod=mod . -out ../../docs/runtime-peers.md

# A real object store, versitygw, on loopback; publishers killed KILLS times, or for KILLS_FOR (as 30m), on it, gofakes3 and a directory.
integration: bin/versitygw-$(VERSITYGW_VERSION)
	ARQON_VERSITYGW=$(CURDIR)/$< ARQON_KILLS=$(KILLS) ARQON_KILLS_FOR=$(KILLS_FOR) $(GO) test -count=1 -timeout 180m -v ./artifacts/s3
	ARQON_VERSITYGW=$(CURDIR)/$< $(GO) test -count=1 -run 'TestScripts/^s3$$' ./cmd/arqon

bin/versitygw-$(VERSITYGW_VERSION): internal/tools/versitygw/go.mod
	cd internal/tools/versitygw && $(GO) build -trimpath -o ../../../$@ github.com/versity/versitygw/cmd/versitygw

# Readers that others wrote: tuf-js and @sigstore/verify, by the lock file (needs Node 20 and npm), and cosign, which builds for minutes.
interop: internal/tools/interop/node_modules bin/cosign-$(COSIGN_VERSION)
	ARQON_INTEROP=$(CURDIR)/internal/tools/interop $(GO) test -count=1 -run TestOtherReaders -v ./catalog/publish
	ARQON_COSIGN=$(CURDIR)/bin/cosign-$(COSIGN_VERSION) $(GO) test -count=1 -run 'TestScripts/^cosign$$' -v ./cmd/arqon

bin/cosign-$(COSIGN_VERSION): internal/tools/cosign/go.mod
	cd internal/tools/cosign && $(GO) build -trimpath -p 1 -o ../../../$@ github.com/sigstore/cosign/v3/cmd/cosign

internal/tools/interop/node_modules: internal/tools/interop/package-lock.json
	cd internal/tools/interop && npm ci --no-audit --no-fund

story: data
	$(GO) test -count=1 -timeout 15m -run 'TestStory|TestTamper' -v ./cmd/arqon

# The pages in a real headless Chromium, scripts off and network down, at two widths; more with PAGES=….
PAGES ?= $(shell git ls-files '*.html')
browser:
	bash internal/scripts/chromium
	cd internal/tools/browser && $(GO) test -count=1 . && $(GO) build -o ../../../bin/browser .
	bin/browser $(PAGES)

clean:
	rm -rf out bin
