# make          builds bootstrap, the static executable that Lambda starts
# make help     lists the rest
#
# SPDX-License-Identifier: MIT-0

# ---- What may be given: make ARCH=arm64, make CC=clang, make HANDLER=path/to/hello.c ----

# The file to compile. Nothing is remembered from one make to the next: what is not given, here or in
# the environment, is the default. Only what is deployed has to be named.
HANDLER ?= bootstrap.c
ifeq ($(filter clean help,$(MAKECMDGOALS)),)
$(foreach file,$(or $(strip $(HANDLER)),''),$(if $(wildcard $(file)),,$(error \
	HANDLER=$(file): no such file; expected a C file)))
endif
ifeq ($(filter deploy,$(MAKECMDGOALS)) $(origin HANDLER),deploy file)
$(error HANDLER is missing; expected HANDLER=hello.c, or HANDLER=bootstrap.c for the echo)
endif
ARCH ?= $(shell uname -m)
EVENT ?= {"text":"Hello"}
BOOTSTRAP ?= ./bootstrap
HOST_CC ?= cc
# As it was given, with its dollar signs.
override EVENT := $(value EVENT)
export EVENT BOOTSTRAP FUNCTION ROLE

# arm64 and amd64 are other names for two of the kernel's.
MACHINE := $(patsubst arm64,aarch64,$(patsubst amd64,x86_64,$(ARCH)))
CROSS := $(filter-out $(shell uname -m),$(MACHINE))

# musl's compiler for the executable, wherever there is one. On Alpine that is the system's own.
# Else the system's compiler with its C library, which works, at some 700 KB.
ifeq ($(origin CC),default)
CC := $(if $(CROSS),$(CROSS)-linux-musl-gcc,$(or $(shell command -v musl-gcc 2>/dev/null),cc))
endif

# Small first, and what is touched early together in memory: what each flag saves, in bytes, is in test/README.md. As for hardening, decided by the
# figures there: the stack is not executable and no segment can be written and executed, since that
# costs nothing. Left out: RELRO, for a static executable without tables to protect; static-pie, a
# tenth of the way to the first poll; the stack protector, for a program whose arrays are all written
# through bounded buffers, but not for a handler of somebody's own; pages of their own for constants.
CFLAGS ?= -Os
WARNINGS = -Wall -Wextra -Wconversion -Wshadow -pedantic
BUILD = -std=gnu11 $(WARNINGS) $(CFLAGS) -I. -static -s -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -fno-pie -no-pie -Wl,--gc-sections \
	-Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-z,common-page-size=64 -Wl,--sort-section=alignment
PROTECTED = $(if $(filter-out bootstrap.c,$1),-fstack-protector-strong)
COMMAND = $(strip $(CC) $(BUILD) $(HANDLER))
# Says what is missing, or that the executable will be larger than it could be.
DEBIAN = $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(MACHINE)))
CHECK_CC = if ! $(CC) -dumpmachine >/dev/null 2>&1; then echo 'make: no compiler $(CC); install one:' \
	'$(if $(CROSS),dpkg --add-architecture $(DEBIAN) && apt-get update && apt-get install gcc-$(subst _,-,$(MACHINE))-linux-gnu musl-dev:$(DEBIAN) (Debian),apt-get install musl-tools gcc (Debian, Ubuntu), apk add gcc musl-dev (Alpine), dnf install gcc glibc-static (Amazon Linux))' >&2; exit 1; \
	elif echo '\#include <features.h>' | $(CC) -E -dM -x c - 2>/dev/null | grep -q __GLIBC__; then \
	echo 'make: $(CC) has no musl and makes a larger executable; on Debian and Ubuntu: apt-get install musl-tools' >&2; fi

# Makes an executable of these sources, and a note of the headers that they include. None is left where
# that fails, which would be another handler's.
define COMPILE
@$(CHECK_CC)
@rm -f $@
@$(CC) $(BUILD) -MM -MP -MT $@ $1 >build/$(@:build/%=%).d 2>/dev/null || :
$(CC) $(BUILD) $(PROTECTED) $1 -o $@
endef

TOOLS = -std=c11 -O2 $(WARNINGS) -Wno-missing-field-initializers -Wno-overlength-strings

# No libc at all: the floor of the bench.
FLOOR = -std=c11 $(WARNINGS) -Os -static -s -nostdlib -ffreestanding -fno-pie -no-pie \
	-fno-stack-protector -fno-asynchronous-unwind-tables -Wl,-z,noseparate-code -Wl,-z,norelro \
	-Wl,--build-id=none

# Sanitizers for the unit tests, where the compiler has them.
SANITIZED = $(shell echo 'int main(void) { return 0; }' | $(HOST_CC) -fsanitize=address,undefined \
	-x c - -o /dev/null 2>/dev/null && echo -O1 -fsanitize=address,undefined -fno-sanitize-recover=all)

all: bootstrap

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo 'make HANDLER=hello.c   the same from your file, which includes bootstrap.c; or export HANDLER=hello.c'
	@echo 'make run      invokes the function once, with EVENT, and prints its response'
	@echo 'make test     all tests that need a C compiler and nothing else'
	@echo 'make serve    the Invoke API at 127.0.0.1:9000 (PORT, TIMEOUT, MEMORY, CONCURRENCY), for curl and the AWS CLI'
	@echo 'make trace    one cold invocation as the bytes on the wire'
	@echo 'make zip      function.zip for Lambda; make ARCH=arm64 zip for Graviton'
	@echo 'make deploy, make invoke, make undeploy   HANDLER, FUNCTION, ROLE, EVENT, MEMORY, TIMEOUT; by the AWS CLI'
	@echo 'make bench    measures bootstrap, and PEERS, against the least that is possible'
	@echo 'make size     sizes of the executable, and what is largest in it'
	@echo 'make clean    removes what was built'

bootstrap: $(HANDLER) bootstrap.c build/command
	$(call COMPILE,$(HANDLER))

# Newer than what another command has built, which is then built anew; else headers count as well.
ifeq ($(shell cat build/command 2>/dev/null),$(COMMAND))
-include $(wildcard build/*.d build/*/*.d)
else
build/command: always
endif
build/command: | build
	@printf '%s\n' '$(subst ','\'',$(COMMAND))' >$@

# ---- Using it on this machine ----

# Ours is built first; another executable is taken as it is: make run BOOTSTRAP=path
OURS = $(if $(filter ./bootstrap,$(BOOTSTRAP)),bootstrap)

run trace: $(OURS) build/local_lambda
	@build/local_lambda $@ "$$EVENT"
serve: $(OURS) build/local_lambda
	@build/local_lambda serve

# Beside others: make bench PEERS="name=path other=path"; further options: build/bench --help
bench: bootstrap build/bench build/floor build/floor+return
	build/bench $(BENCHFLAGS) --floor build/floor ./bootstrap build/floor+return $(PEERS)

size: bootstrap
	@wc -c < bootstrap | sed 's/$$/ bytes, stripped/'
	@$(CC) $(filter-out -s,$(BUILD)) $(call PROTECTED,$(HANDLER)) $(HANDLER) -o build/unstripped
	@echo 'the largest pieces of code and constants, in bytes:'
	@nm -S --size-sort -t d build/unstripped | awk '$$3 !~ /[bB]/ {print $$2 + 0, $$4}' | tail -n 20

# ---- Deploying: FUNCTION is its name, ROLE the ARN of its role, DRY_RUN=1 prints the commands ----

zip: bootstrap
	@sh test/deploy/package.sh bootstrap '$(ARCH)' function.zip
	@echo 'Source      $(HANDLER)'
deploy: $(if $(DRY_RUN),,zip)
	@sh test/deploy/deploy.sh deploy "$$FUNCTION" "$$ROLE"
invoke:
	@sh test/deploy/deploy.sh invoke "$$FUNCTION" "$$EVENT"
undeploy:
	@sh test/deploy/deploy.sh undeploy "$$FUNCTION"
build-BootstrapFunction: bootstrap # what SAM calls with BuildMethod: makefile
	cp bootstrap "$$ARTIFACTS_DIR"

# ---- Tests ----

EXAMPLES = $(patsubst test/handlers/%.c,build/handlers/%,$(wildcard test/handlers/*.c))

# Short of what needs a minute or a package: that is in .ci/run.
test:
	@$(MAKE) -j2 test-programs
	sh test/run.sh build/unit build/faults 'build/fuzz_seeds seeds test/runtime/seeds.txt' \
		'build/end_to_end build/echo build/probe' 'build/sandbox build/echo' \
		'build/lambda_test build/local_lambda build/probe' \
		'sh test/handlers/examples.sh build/handlers build/local_lambda'
test-programs: build/echo build/probe build/unit build/faults \
		build/fuzz_seeds build/end_to_end build/sandbox build/local_lambda build/lambda_test $(EXAMPLES)

build build/handlers build/arm64:
	@mkdir -p $@

# The executable under test, as Lambda would start it.
build/echo: bootstrap.c build/command
	$(call COMPILE,$<)
build/probe: test/runtime/probe.c bootstrap.c build/command
	$(call COMPILE,$<)
build/handlers/%: test/handlers/%.c bootstrap.c build/command | build/handlers
	$(call COMPILE,$<)
build/floor+return: OPTIONS = -DRETURNS
build/floor build/floor+return: test/bench/floor.c | build
	$(CC) $(FLOOR) $(OPTIONS) $< -o $@

# Programs that include bootstrap.c, with a double of the system under it.
build/unit: OPTIONS = -g $(SANITIZED)
build/unit build/exhaustive: build/%: test/runtime/%.c test/runtime/reference.h bootstrap.c | build
	$(HOST_CC) $(TOOLS) $(OPTIONS) $< -o $@
build/fuzz_seeds: OPTIONS = -Wno-format-truncation -g -DREPLAY $(SANITIZED)
build/faults build/fuzz_seeds: test/runtime/doubles.h test/runtime/reference.h test/lambda/wire.c test/lambda/wire.h bootstrap.c | build
	$(HOST_CC) $(TOOLS) $(OPTIONS) $(filter %.c,$(filter-out bootstrap.c,$^)) -o $@
build/faults: test/runtime/faults.c
build/fuzz_seeds: test/runtime/fuzz.c
build/fuzz: test/runtime/fuzz.c test/runtime/doubles.h test/runtime/reference.h test/lambda/wire.c test/lambda/wire.h bootstrap.c | build
	clang -std=c11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		test/runtime/fuzz.c test/lambda/wire.c -o $@

# Programs that play Lambda, or measure.
build/end_to_end build/sandbox build/soak: build/%: test/runtime/%.c
build/local_lambda build/lambda_test: build/%: test/lambda/%.c
build/control_plane: test/deploy/control_plane.c
build/bench: test/bench/bench.c
build/bench: OPTIONS = -lm
build/end_to_end build/sandbox build/soak build/local_lambda build/lambda_test build/control_plane \
		build/bench: test/lambda/wire.c test/lambda/wire.h | build
	$(HOST_CC) $(TOOLS) $(filter %.c,$^) $(OPTIONS) -o $@

# What needs more than a compiler: the AWS CLI, buildah, debootstrap, qemu.
test-deploy: bootstrap build/control_plane build/local_lambda
	$(MAKE) -s ARCH=arm64 build/arm64/echo
	sh test/deploy/deploy_test.sh bootstrap build/control_plane build/local_lambda build/arm64/echo
SECONDS ?= 60
FUZZ = $(addprefix fuzz-,conversation reply address text json request)
fuzz: build/fuzz build/fuzz_seeds # SECONDS for each target, two at a time
	@$(MAKE) -s -j2 $(FUZZ)
	@echo '$(words $(FUZZ)) passed, 0 failed'
$(FUZZ): fuzz-%:
	@mkdir -p build/corpus/$*
	@build/fuzz_seeds corpus test/runtime/seeds.txt $* build/corpus/$*
	@FUZZ_TARGET=$* build/fuzz -max_total_time=$(SECONDS) -max_len=4096 -print_final_stats=1 \
		-artifact_prefix=build/finding-$*- build/corpus/$* >build/fuzz-$*.txt 2>&1 || \
		{ tail -n 40 build/fuzz-$*.txt; exit 1; }
	@echo "$*: $$(grep DONE build/fuzz-$*.txt)"
test-image: build/local_lambda
	sh test/deploy/image_test.sh build/local_lambda
test-clients: build/local_lambda build/probe
	sh test/lambda/clients.sh build/local_lambda build/probe
test-arm64: build/end_to_end
	$(MAKE) -s ARCH=arm64 build/arm64/echo build/arm64/probe
	RUN_WITH=qemu-aarch64-static build/end_to_end build/arm64/echo build/arm64/probe
build/arm64/echo: bootstrap.c | build/arm64
build/arm64/probe: test/runtime/probe.c bootstrap.c | build/arm64
build/arm64/echo build/arm64/probe:
	$(call COMPILE,$<)

clean:
	rm -rf build bootstrap function.zip

.PHONY: all help run trace serve bench size zip deploy invoke undeploy build-BootstrapFunction \
	test-programs test-deploy test-image test-clients test-arm64 fuzz $(FUZZ) test clean always
