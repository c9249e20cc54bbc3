# How the core is compiled: one library with one set of flags, for the doors, tests, fuzzers, testees and benchmarks.
#
#   include core.mk
#   $(eval $(call core_library,FOLDER,COMPILER,MORE FLAGS))     defines the rules for FOLDER/libemmap_core.a
#
#   make -f core.mk BUILD=FOLDER    builds the library alone
#   make -f core.mk flags           prints the flags, for the addon: node-gyp compiles the core for it
#
# The flags that come last win: a user's CFLAGS, or a sanitizer's -O1. It also has what makes make quiet: $(call say,STEP,FILE)
# prints a line for a step and $(Q) hides its command; `make V=1` shows the commands instead, V=0 neither.

CORE_DIR := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
CORE_SOURCES := $(wildcard $(CORE_DIR)/*.c)

# The package of Erlang has both folders beside each other, as the repository has.
EMMAP_CPPFLAGS := -D_XOPEN_SOURCE=700 -I$(CORE_DIR)/../include
ifeq ($(shell uname -s),Darwin)
# Shows what is beyond POSIX.
EMMAP_CPPFLAGS += -D_DARWIN_C_SOURCE
endif
EMMAP_CFLAGS := -std=c11 -O3 -fPIC -fvisibility=hidden -pthread -Wall -Wextra -Wpedantic

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 0 1,$(V)),,$(info $(1)	$(patsubst $(abspath $(CORE_DIR)/../..)/%,%,$(abspath $(2)))))

define core_library
$(1)/core/%.o: $(CORE_DIR)/%.c $(CORE_DIR)/core.mk
	$$(call say,CC,$$@)
	@mkdir -p $$(@D)
	$$(Q)$(2) $$(EMMAP_CPPFLAGS) $$(EMMAP_CFLAGS) $(3) -MMD -MP -c -o $$@ $$<

$(1)/libemmap_core.a: $(CORE_SOURCES:$(CORE_DIR)/%.c=$(1)/core/%.o)
	$$(call say,AR,$$@)
	@rm -f $$@
	$$(Q)$(AR) rcs $$@ $$^

-include $(wildcard $(1)/core/*.d)
endef

# Run by itself, and not included.
ifeq ($(words $(MAKEFILE_LIST)),1)
.PHONY: library flags
library: $(BUILD)/libemmap_core.a
$(eval $(call core_library,$(BUILD),$(CC),$(CFLAGS)))
flags:
	@echo $(EMMAP_CFLAGS) $(filter -D%,$(EMMAP_CPPFLAGS))
endif
