# The commands for people. Each one installs what it lacks first: see scripts/install-tools. `make V=1` shows the commands.
.DEFAULT_GOAL := all
MAKEFLAGS += --no-print-directory
include native/core/core.mk

.PHONY: all help clean format docs demo
.PHONY: addon prebuilds typescript erlang packages package-npm package-erlang
.PHONY: test test-core test-format test-typescript test-erlang test-interop test-releases test-packages test-arm64
.PHONY: torture compose-test bench bench-smoke bench-instructions
.PHONY: tools-node tools-addon tools-build tools-test tools-bench

C_FILES := $(wildcard native/include/*.h native/*/*.[ch] native/*/*.cc native/*/*.hpp native/test/fuzz/*.[ch] port/*.[ch] \
	bench/native/*.c erlang/c_src/*.[ch] docker/services/*.c interop-tests/testees/*.c interop-tests/torture/support/*.c \
	test/packages/support/*.c)

all: addon typescript erlang ## build everything

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 18

# Build

tools-node tools-addon tools-build tools-test:
	@scripts/install-tools $(@:tools-%=%)

tools-bench:
	@scripts/install-tools bench || echo "They are left out." >&2

node_modules/.package-lock.json: package-lock.json | tools-addon
	$(call say,NPM,node_modules)
	$(Q)npm ci $(if $(filter 1,$(V)),,--silent)
	@touch $@

addon: node_modules/.package-lock.json
	$(call say,MAKE,native/addon)
	$(Q)npm run --silent build:addon

typescript: node_modules/.package-lock.json
	$(call say,TSC,dist)
	$(Q)npm run --silent build
	$(call say,TSC,build/examples)
	$(Q)npm run --silent build:examples

erlang: tools-build
	$(call say,MAKE,erlang)
	$(Q)cd erlang && rebar3 compile

prebuilds: node_modules/.package-lock.json ## compile the addons for the npm package's other platforms too
	@scripts/install-tools prebuilds
	$(call say,MAKE,prebuilds)
	$(Q)npm run --silent build:prebuilds

# Packages, in build/packages

package-npm: addon typescript ## pack the npm package with the addon for this machine alone
	@mkdir -p build/packages
	$(call say,PACK,build/packages)
	$(Q)node scripts/check-prebuilds.mjs --here
	$(Q)npm pack --silent --ignore-scripts --pack-destination build/packages

package-erlang: tools-build ## pack the Erlang package
	@mkdir -p build/packages
	$(call say,PACK,build/packages)
	$(Q)scripts/pack-erlang build/packages

packages: typescript prebuilds package-erlang ## pack both packages, the npm package with the addons for all its platforms
	$(Q)npm pack --silent --pack-destination build/packages

# Use

demo: all ## a BEAM node and a Node process on the same counters, queues and blocks
	@node build/examples/demo/run.mjs

docs/tools/node_modules/.package-lock.json: docs/tools/package-lock.json | tools-addon
	$(call say,NPM,docs/tools/node_modules)
	$(Q)npm ci --prefix docs/tools $(if $(filter 1,$(V)),,--silent)
	@touch $@

docs: tools-test node_modules/.package-lock.json docs/tools/node_modules/.package-lock.json ## build the reference of both APIs, in build/docs
	@rm -rf build/docs
	$(call say,DOCS,build/docs/typescript)
	$(Q)docs/tools/node_modules/.bin/typedoc --options docs/tools/typedoc.json
	$(call say,DOCS,build/docs/erlang)
	$(Q)escript docs/tools/erlang-reference.escript erlang/src build/docs/erlang
	@echo See build/docs/typescript/index.html and build/docs/erlang/index.html

# Test

test: tools-test all test-core test-format test-typescript test-erlang test-interop test-releases test-packages docs bench-smoke ## run every test

test-core: tools-test
	@$(MAKE) -C native/test
	@$(MAKE) -C native/model

test-format: tools-test node_modules/.package-lock.json
	$(Q)clang-format-14 --dry-run -Werror $(C_FILES)
	$(Q)npm run --silent check
	$(Q)node scripts/check-circles.mjs native port erlang/c_src erlang/src src

test-typescript: all
	$(Q)npm test

test-releases: all
	$(Q)npm run --silent test:releases

test-packages: all prebuilds tools-test
	$(Q)npm run --silent test:packages

test-arm64: ## run the core's tests as they ship for 64-bit ARM, in an emulator; takes some minutes
	@scripts/install-tools arm64
	@$(MAKE) -C native/test arm64

test-erlang: erlang tools-test
	$(Q)cd erlang && rebar3 xref && rebar3 as clients dialyzer && rebar3 ct

test-interop: all tools-test
	$(Q)npm run --silent test:interop

torture: all tools-test ## do every fault to every runtime; SECONDS=600 in all; FAULTS=a,b chooses
	@node interop-tests/torture/run.mjs "$(SECONDS)" "$(FAULTS)"

compose-test: tools-node ## run BEAM and Node services in containers, kill them while they work, and count losses
	@node docker/compose-test/main.mjs

# Measure

bench: all tools-bench ## compare every operation with its alternatives, and write the report
	@node bench/run.mjs

bench-smoke: all tools-test
	@node bench/run.mjs --quick
	@node bench/native/instructions.mjs

bench-instructions: erlang tools-test
	@node bench/native/instructions.mjs $(if $(RECORD),--record)

# Tidy

format: node_modules/.package-lock.json ## format all sources
	$(Q)clang-format-14 -i $(C_FILES)
	$(Q)npm run --silent format

clean: ## remove everything that was built
	$(Q)rm -rf dist prebuilds node_modules native/addon/build native/test/build erlang/_build build
	$(Q)rm -rf bench/node_modules docs/tools/node_modules test/node-releases/node_modules test/packages/*/node_modules
