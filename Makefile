GO            ?= go
BIN           := bin/pgcustos
GOLANGCI      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
TESTFLAGS     ?=
FUZZTIME      ?= 30s
BENCHTIME     ?= 1s
BENCHCOUNT    ?= 6
BENCHFLAGS    ?=
AUDIT_RECORDS ?= 10000000
CRASHES       ?= 300
ENDURANCE     ?= 1h
ORACLE_STATEMENTS ?= 50000
ORACLE_SEED   ?= 1
CORPORA       ?=
CONFORMANCE   ?= /tmp/pgcustos-conformance
comma         := ,
space         := $(subst ,, )
SESSIONS      ?= 1000
PRINCIPALS    ?= 200
export CGO_ENABLED = 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/pgcustos
	$(GO) build -trimpath -o $(BIN) ./cmd/pgcustos

.PHONY: tools
tools: ## install what the tests need (PostgreSQL, Samba), with apt
	internal/testkit/install.sh

.PHONY: test
test: tools ## install what is needed and run every test, with the race detector
	$(GO) test -race -count=1 -timeout 45m -p 2 $(TESTFLAGS) ./...

.PHONY: race
race: test ## the same: make test always runs with the race detector

.PHONY: crash
crash: tools ## kill the proxy, and lose the power under a journal, CRASHES (300) times each
	$(GO) test -count=1 -timeout 60m ./audit/journal -run 'PowerLoss|LosesPower' -losses $(CRASHES)
	$(GO) test -count=1 -timeout 60m ./test/crash -v -run Invariant5 -kills $(CRASHES)

.PHONY: faults
faults: tools ## fail each system call of a session and of a start, for each k, and cut each wire at each piece
	$(GO) test -count=1 -timeout 3h ./test/faults -v -every-call

.PHONY: endurance
endurance: tools ## let sessions come and go for ENDURANCE (1h) while what the proxy stands on does, too
	$(GO) test -count=1 -timeout 24h ./test/crash -v -run '^TestEndurance$$' -endurance $(ENDURANCE)

.PHONY: crowds
crowds: tools ## let thousands of clients stall, flood and idle, and measure what others notice and what it costs (10 minutes)
	$(GO) test -count=1 -timeout 60m ./test/crowds -v -crowds

.PHONY: conformance
conformance: tools ## run PostgreSQL's suites, its tools and nine drivers directly and through the proxy, and compare (CONFORMANCE is kept between runs)
	$(GO) test ./test/wire -run TestScripts -count=1 -timeout 60m -wire.all
	test/conformance/suites/fetch.sh $(CONFORMANCE)
	$(GO) run ./test/conformance -work $(CONFORMANCE) -postgres 15=/usr/lib/postgresql/15/bin,$(subst $(space),$(comma),$(foreach v,16 17 18,$(v)=$(abspath $(CONFORMANCE))/pg$(v)/package/native/bin))

.PHONY: lifecycle
lifecycle: tools ## measure the time from a change in the directory to the end of SESSIONS (1000) sessions of PRINCIPALS (200)
	$(GO) test -count=1 -timeout 30m ./test/lifecycle -v -run '^TestMany$$' -sessions $(SESSIONS) -principals $(PRINCIPALS)

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@.ci/fuzz $(FUZZTIME)

.PHONY: oracle
oracle: tools ## compare the record with what pgAudit says of ORACLE_STATEMENTS (50000) of sqlsmith's, and of the files CORPORA
	$(GO) test -count=1 -timeout 120m ./test/oracle -v -sqlsmith $(ORACLE_STATEMENTS) -seed $(ORACLE_SEED) -corpora "$(CORPORA)"

.PHONY: lint
lint: ## run golangci-lint with .golangci.yml
	$(GO) run $(GOLANGCI) run

.PHONY: fmt
fmt: ## format the code
	$(GO) run $(GOLANGCI) fmt

.PHONY: bench-tools
bench-tools: ## the same, and what the benchmarks compare with (PgBouncer, HAProxy)
	internal/testkit/install.sh bench

.PHONY: bench
bench: bench-tools ## measure against direct, PgBouncer and HAProxy (20 minutes), and show it in docs/performance.md
	$(GO) run ./bench -out bench/results -docs docs $(BENCHFLAGS)

.PHONY: bench-gate
bench-gate: bench-tools ## fail where pgcustos costs more than it may (two minutes)
	$(GO) run ./bench -gate $(BENCHFLAGS)

.PHONY: bench-falls
bench-falls: bench-tools ## the same, for machines that are busy otherwise: fail only where it costs more than it ever did
	$(GO) run ./bench -falls $(BENCHFLAGS)

.PHONY: bench-go
bench-go: ## run the benchmarks in Go, BENCHCOUNT (6) times each, for benchstat
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) -timeout 60m -p 1 ./...

.PHONY: bench-audit
bench-audit: ## ask, verify and deliver an audit journal of AUDIT_RECORDS (10 million, 6 GB in TMPDIR for a while)
	AUDIT_RECORDS=$(AUDIT_RECORDS) $(GO) test -run '^$$' -bench '^BenchmarkAudit$$' -benchtime 1x -timeout 60m ./audit/view
	TMPDIR=/dev/shm $(GO) test -run '^$$' -bench '^BenchmarkStatement$$' -benchmem -benchtime 300000x -count 3 ./audit/journal
	$(GO) test -run '^$$' -bench '^BenchmarkStatement$$' -benchmem -benchtime 300000x -count 3 ./audit/journal
	$(GO) test -run '^$$' -bench '^BenchmarkVerify$$' -benchtime $(BENCHTIME) ./audit/journal
	$(GO) test -run '^$$' -bench '^BenchmarkSink$$' -benchtime 3x -timeout 30m ./audit/sink/postgres

.PHONY: demo
demo: tools build ## a domain, a PostgreSQL and the proxy, and a tour with psql (KEEP=1 leaves them running)
	$(GO) run ./internal/testkit/demo start $(if $(KEEP),-keep)

.PHONY: demo-stop
demo-stop: ## end what make demo KEEP=1 left running
	$(GO) run ./internal/testkit/demo stop

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
