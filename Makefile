# The commands for people. Each one installs what it lacks first: see scripts/install-tools.
.DEFAULT_GOAL := all
.PHONY: all addon prebuilds packages typescript erlang demo test torture bench compose-test docs format clean help
.PHONY: tools-build tools-test tools-bench bench-smoke bench-instructions test-core test-format test-typescript test-releases test-packages test-arm64 test-erlang test-interop

C_FILES := $(wildcard native/include/*.h native/*/*.[ch] native/*/*.cc native/*/*.hpp native/test/fuzz/*.[ch] port/*.[ch] bench/native/*.c erlang/c_src/*.[ch] docker/services/*.c interop-tests/testees/*.c interop-tests/torture/support/*.c test/packages/support/*.c)

all: addon typescript erlang ## build everything

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

tools-build:
	@scripts/install-tools build

tools-test:
	@scripts/install-tools test

tools-bench:
	@scripts/install-tools bench || echo "They are left out." >&2

node_modules/.package-lock.json: package-lock.json | tools-build
	npm ci
	@touch $@

addon: node_modules/.package-lock.json
	npm run --silent build:addon

prebuilds: node_modules/.package-lock.json ## compile the addons that the npm package brings for other machines too
	@scripts/install-tools prebuilds
	npm run --silent build:prebuilds

packages: all prebuilds ## pack the npm and the Erlang package into build/packages
	mkdir -p build/packages
	npm pack --silent --pack-destination build/packages
	scripts/pack-erlang build/packages

typescript: node_modules/.package-lock.json
	npm run --silent build

erlang: tools-build
	cd erlang && rebar3 compile

demo: all ## a BEAM node and a Node process on the same counters, queues and blocks
	@node examples/demo/run.mjs

test: tools-test all test-core test-format test-typescript test-erlang test-interop test-releases test-packages docs bench-smoke ## run every test

test-core: tools-test
	$(MAKE) -C native/test
	$(MAKE) -C native/model

test-format: tools-test node_modules/.package-lock.json
	clang-format-14 --dry-run -Werror $(C_FILES)
	npm run --silent check
	node scripts/check-circles.mjs native erlang/c_src erlang/src src

test-typescript: all
	npm test

test-releases: all
	npm run --silent test:releases

test-packages: all prebuilds tools-test
	npm run --silent test:packages

test-arm64: ## run the core's tests as they ship for 64-bit ARM, in an emulator; takes some minutes
	@scripts/install-tools arm64
	$(MAKE) -C native/test arm64

test-erlang: erlang tools-test
	cd erlang && rebar3 xref && rebar3 as clients dialyzer && rebar3 ct

test-interop: all tools-test
	npm run --silent test:interop

torture: all tools-test ## do every fault to every runtime for SECONDS in all (600); FAULTS=a,b chooses
	@node interop-tests/torture/run.mjs "$(SECONDS)" "$(FAULTS)"

bench: all tools-bench ## measure everything beside what one would use instead
	@node bench/run.mjs

bench-smoke: all tools-test
	@node bench/run.mjs --quick
	@node bench/native/instructions.mjs

bench-instructions: erlang tools-test
	@node bench/native/instructions.mjs $(if $(RECORD),--record)

compose-test: ## run BEAM and Node services in containers, kill them at work, and count what was lost
	@scripts/install-tools node
	@node docker/compose-test/main.mjs

docs/tools/node_modules/.package-lock.json: docs/tools/package-lock.json | tools-build
	npm ci --prefix docs/tools
	@touch $@

docs: tools-test node_modules/.package-lock.json docs/tools/node_modules/.package-lock.json ## build the reference of both APIs, in build/docs
	rm -rf build/docs
	docs/tools/node_modules/.bin/typedoc --options docs/tools/typedoc.json
	escript docs/tools/erlang-reference.escript erlang/src build/docs/erlang
	@echo See build/docs/typescript/index.html and build/docs/erlang/index.html

format: node_modules/.package-lock.json ## format all sources
	clang-format-14 -i $(C_FILES)
	npm run --silent format

clean: ## remove everything that was built
	rm -rf dist prebuilds node_modules native/addon/build native/test/build erlang/_build erlang/priv
	rm -rf bench/node_modules docs/tools/node_modules test/node-releases/node_modules test/packages/*/node_modules build
