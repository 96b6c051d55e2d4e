# make          builds bootstrap, the static executable that Lambda starts
# make help     lists the rest
#
# SPDX-License-Identifier: MIT-0

# ---- What may be given: make ARCH=arm64, make CC=clang, make HANDLER=path/to/hello.c ----

HANDLER ?= bootstrap.c
EVENT ?= {"text":"Hello"}
HOST_CC ?= cc
export EVENT

# musl's compiler for the executable, wherever there is one. On Alpine that is the system's own.
# Else the system's compiler with its C library, which works, at some 700 KB.
ifeq ($(origin CC),default)
CC := $(or $(shell command -v musl-gcc),$(shell command -v cc),$(shell command -v gcc))
endif

# What each flag is for, in bytes of the executable and of the zip, is in test/README.md.
CFLAGS ?= -Os
WARNINGS = -Wall -Wextra -Wconversion -Wshadow -pedantic
BUILD = -std=c11 $(WARNINGS) $(CFLAGS) -static -s -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -fno-ident -fno-pie -no-pie -Wl,--gc-sections -Wl,--build-id=none \
	-Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-z,common-page-size=64
# Says what is missing, or that the executable will be larger than it could be.
CHECK_CC = if [ -z '$(CC)' ]; then 	echo 'make: no C compiler; apt install musl-tools (Debian, Ubuntu), apk add gcc musl-dev make (Alpine), dnf install gcc glibc-static make (Amazon Linux)' >&2; exit 1; 	elif ! { $(CC) -dumpspecs 2>/dev/null; $(CC) -dumpmachine; } | grep -q musl; then 	echo 'make: no musl here, so $(CC) makes a larger executable; on Debian and Ubuntu: apt install musl-tools' >&2; fi

TOOLS = -std=c11 -O2 $(WARNINGS) -Wno-missing-field-initializers -Wno-overlength-strings

# Sanitizers for the unit tests, where the compiler has them.
SANITIZED = $(shell echo 'int main(void) { return 0; }' | $(HOST_CC) -fsanitize=address,undefined 	-x c - -o /dev/null 2>/dev/null && echo -fsanitize=address,undefined -fno-sanitize-recover=all)

all: bootstrap

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo 'make run      invokes the function once, with EVENT, and prints its response'
	@echo 'make test     all tests that need a C compiler and nothing else'
	@echo 'make size     sizes of the executable, and what is largest in it'
	@echo 'make clean    removes what was built'

bootstrap: $(HANDLER) bootstrap.c build/command
	@$(CHECK_CC)
	$(CC) $(BUILD) $(HANDLER) -o $@

# Changes when the command does, so that another compiler or handler builds anew.
build/command: always
	@mkdir -p build
	@echo '$(CC) $(BUILD) $(HANDLER)' | cmp -s - $@ || echo '$(CC) $(BUILD) $(HANDLER)' > $@

# ---- Using it on this machine ----

run: bootstrap build/local_lambda
	@BOOTSTRAP=./bootstrap build/local_lambda run "$$EVENT"

size: bootstrap
	@wc -c < bootstrap | sed 's/$$/ bytes, stripped/'
	@$(CC) $(filter-out -s,$(BUILD)) $(HANDLER) -o build/unstripped
	@echo 'the largest pieces of code and constants, in bytes:'
	@nm -S --size-sort -t d build/unstripped | awk '$$3 !~ /[bB]/ {print $$2 + 0, $$4}' | tail -n 20

# ---- Tests ----

EXAMPLES = $(patsubst test/handlers/%.c,build/handlers/%,$(wildcard test/handlers/*.c))

test: build/echo build/probe build/unit build/end_to_end build/local_lambda $(EXAMPLES)
	sh test/run.sh build/unit 'build/end_to_end build/echo build/probe' \
		'sh test/examples.sh build/handlers build/local_lambda'

build/echo: bootstrap.c build/command
	@$(CHECK_CC)
	$(CC) $(BUILD) bootstrap.c -o $@
build/probe: test/probe.c bootstrap.c build/command
	$(CC) $(BUILD) test/probe.c -o $@
build/handlers/%: test/handlers/%.c bootstrap.c build/command
	@mkdir -p build/handlers
	$(CC) $(BUILD) $< -o $@
build/unit: test/unit.c bootstrap.c
	@mkdir -p build
	$(HOST_CC) $(TOOLS) -g $(SANITIZED) test/unit.c -o $@
build/end_to_end build/local_lambda: build/%: test/%.c test/wire.c test/wire.h
	@mkdir -p build
	$(HOST_CC) $(TOOLS) test/$*.c test/wire.c -o $@

clean:
	rm -rf build bootstrap

.PHONY: all help run size test clean always
