# make          builds bootstrap, the static executable that Lambda starts
# make help     lists the rest
#
# SPDX-License-Identifier: MIT-0

# ---- What may be given: make ARCH=arm64, make CC=clang, make HANDLER=path/to/hello.c ----

# What to compile, and .o and .a to link with it. Nothing is remembered from one make to the next: what is not given, here or
# in the environment, is the default. Only what is deployed has to be named.
HANDLER ?= bootstrap.c
ifeq ($(filter clean help,$(MAKECMDGOALS)),)
MISSING := $(filter-out $(wildcard $(HANDLER)),$(or $(strip $(HANDLER)),(nothing)))
$(if $(MISSING),$(error HANDLER=$(firstword $(MISSING)): no such file; expected .c, .o or .a, and a path without a blank))
OTHER := $(filter-out %.c %.o %.a,$(HANDLER))
$(if $(OTHER),$(error HANDLER=$(OTHER): expected a C file (.c), an object (.o) or an archive (.a)))
endif
BOOTSTRAP ?= ./bootstrap
ifeq ($(filter deploy,$(MAKECMDGOALS)) $(origin HANDLER) $(BOOTSTRAP),deploy file ./bootstrap)
$(error HANDLER is missing; expected HANDLER=hello.c, or HANDLER=bootstrap.c for the echo)
endif
ARCH ?= $(shell uname -m)
EVENT ?= {"text":"Hello"}
HOST_CC ?= cc
# As it was given, with its dollar signs.
override EVENT := $(or $(value EVENT),$(error EVENT is empty; expected JSON, as in EVENT='{}', or EVENT=@file or EVENT=-))
export EVENT BOOTSTRAP FUNCTION ROLE

# arm64 and amd64 are other names for two of the kernel's.
MACHINE := $(patsubst arm64,aarch64,$(patsubst amd64,x86_64,$(ARCH)))
CROSS := $(filter-out $(shell uname -m),$(MACHINE))

# musl's compiler for the executable, wherever there is one. On Alpine that is the system's own.
# Else the system's compiler with its C library, which works, at some 700 KB.
ifeq ($(origin CC),default)
CC := $(if $(CROSS),$(CROSS)-linux-musl-gcc,$(or $(shell command -v musl-gcc 2>/dev/null),cc))
endif

# Small first, and what is touched early together in memory. What each flag saves, and which
# hardening was left out and why, is under "Decisions" in test/README.md.
STRICT = -Wconversion -Wshadow -pedantic
COMPILING = -std=gnu11 -Wall -Wextra -Os $(CPPFLAGS) $(CFLAGS) -I. -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -fno-pie
LINKING = -static -s -no-pie -Wl,--gc-sections -Wl,-z,noseparate-code -Wl,-z,norelro \
	-Wl,-z,common-page-size=64 -Wl,--sort-section=alignment
BUILD = $(COMPILING) $(LINKING)
# What of others' is compiled behind a handler need not be as clean as bootstrap.c.
BY_SOURCE = $(if $(filter-out bootstrap.c,$1),-fstack-protector-strong,$(STRICT))
COMMAND = $(strip $(CC) $(BUILD))
# Each source has an object, named after all that it is made of but the headers: so what was made of
# another file of that name, or by another command, is never taken for it.
OBJECT = build/objects/$(subst /,+,$1)-$(firstword $(shell { echo '$(CC) $(COMPILING)'; cat $1; } | cksum)).o
ifeq ($(filter clean help,$(MAKECMDGOALS)),)
SOURCES := $(filter %.c,$(HANDLER))
OBJECTS := $(foreach source,$(SOURCES),$(call OBJECT,$(source)))
LINK := $(strip $(CC) $(LINKING) $(LDFLAGS) $(OBJECTS) $(filter-out %.c,$(HANDLER)) $(LDLIBS))
endif
# Makes an executable of these sources, and a note of the headers that they include. None is left
# where that fails, which would be another handler's.
define COMPILE
@sh test/deploy/compiler.sh '$(CC)' $(MACHINE)
@rm -f $@
@$(CC) $(BUILD) -MM -MP -MT $@ $1 >build/$(@:build/%=%).d 2>/dev/null || :
$(CC) $(BUILD) $(BY_SOURCE) $1 -o $@
endef

all: bootstrap

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo 'make HANDLER=hello.c   the same from your file; or export HANDLER=hello.c'
	@echo '              more files behind it, .c, .o or .a, are linked; CPPFLAGS, CFLAGS, LDFLAGS, LDLIBS=-lm'
	@echo 'make run      invokes the function once, with EVENT, and prints its response'
	@echo 'make test     all tests that need a C compiler and nothing else'
	@echo 'make serve    the Invoke API, and a function URL, at 127.0.0.1:9000, for curl and the AWS CLI;' \
		'PORT, TIMEOUT, MEMORY, CONCURRENCY'
	@echo 'make trace    one cold invocation as the bytes on the wire'
	@echo 'make zip      function.zip for Lambda; make ARCH=arm64 zip for Graviton'
	@echo 'make deploy, make invoke, make undeploy   by the AWS CLI;' \
		'HANDLER, FUNCTION, ROLE, EVENT, MEMORY, TIMEOUT'
	@echo 'make bench    measures bootstrap, and PEERS (or all), against the least that is possible'
	@echo 'make clean    removes what was built'

CHECK_CC = sh test/deploy/compiler.sh '$(CC)' $(MACHINE)
bootstrap: $(OBJECTS) $(filter-out %.c,$(HANDLER)) build/link
	@$(if $(OBJECTS),,$(CHECK_CC))
	@rm -f $@
	$(LINK) -o $@
	@cksum <$@ >build/cksum
# No executable is left where one of its sources does not compile, nor an object of that source as it was.
define FROM_SOURCE
$(call OBJECT,$1): $1 | build/objects
	@rm -f bootstrap $(call OBJECT,$1) build/objects/$(subst /,+,$1)-*
	@$(if $(filter $1,$(firstword $(SOURCES))),$$(CHECK_CC))
	$$(CC) $$(COMPILING) $(call BY_SOURCE,$1) -MMD -MP -c $1 -o $(call OBJECT,$1)
endef
$(foreach source,$(SOURCES),$(eval $(call FROM_SOURCE,$(source))))
-include $(OBJECTS:.o=.d)

# Newer than what another command has built, which is then built anew; else headers count as well.
ifeq ($(shell cat build/command 2>/dev/null),$(COMMAND))
-include $(wildcard build/*.d build/*/*.d)
else
build/command: always
endif
# So is what it did not link itself.
ifneq ($(shell cat build/link 2>/dev/null; cksum 2>/dev/null <bootstrap),$(LINK) $(shell cat build/cksum 2>/dev/null))
build/link: always
endif
build/command: NOTE = $(COMMAND)
build/link: NOTE = $(LINK)
build/command build/link: | build
	@printf '%s\n' '$(subst ','\'',$(NOTE))' >$@

# ---- Using it on this machine ----

# Ours is built first; another executable is taken as it is: make run BOOTSTRAP=path
OURS := $(filter ./bootstrap,$(BOOTSTRAP))
STARTED := $(if $(OURS),$(if $(CROSS),build/emulated,bootstrap))
run trace serve: override BOOTSTRAP := $(or $(STARTED:%=./%),$(BOOTSTRAP))

run trace: $(STARTED) build/local_lambda
	@build/local_lambda $@ "$$EVENT"
serve: $(STARTED) build/local_lambda
	@build/local_lambda serve
# One for another machine, by qemu, in the folder that Lambda would start it in.
build/emulated: bootstrap
	@qemu=$$(command -v qemu-$(MACHINE)-static || command -v qemu-$(MACHINE)) || { \
	echo 'make: no qemu-$(MACHINE) to run what is for $(MACHINE); install one: apt-get install' \
	'qemu-user-static (Debian, Ubuntu), apk add qemu-$(MACHINE) (Alpine)' >&2; exit 1; }; \
	printf '#!/bin/sh\ncd "$${0%%/*}/.." && LAMBDA_TASK_ROOT=$$PWD exec %s ./bootstrap\n' "$$qemu" >$@
	@chmod 755 $@

# Beside others: make bench PEERS=all, PEERS="bash python" or PEERS="name=path"; build/bench --help. The
# tables and the picture are made of build/bench.json; the last one stays as before.json. Ctrl-C ends the measuring only.
BUILT = all glibc go bash python node
# All on the last processor; PIN= leaves that to the scheduler.
PIN = taskset -c $$(sed -n 's/^Cpus_allowed_list:.*[^0-9]//p' /proc/self/status)
REPORT = LC_ALL=C awk -f test/bench/report.awk
bench: bootstrap build/bench build/floor build/floor+return
	@mv -f build/bench.json build/before.json 2>/dev/null; trap : INT; $(PIN) build/bench $(BENCHFLAGS) --output build/bench.json build/floor ./bootstrap \
		build/floor+return $(if $(filter $(BUILT),$(PEERS)),$$(sh test/bench/peers.sh build/peers $(filter $(BUILT),$(PEERS)))) \
		$(filter-out $(BUILT),$(PEERS)); status=$$?; \
	[ -s build/bench.json ] && $(REPORT) build/bench.json && \
		$(REPORT) form=svg build/bench.json >build/bench.svg && exit $$status

# ---- Deploying: FUNCTION is its name, ROLE the ARN of its role, DRY_RUN=1 prints the commands ----

SOURCE = $(if $(OURS),$(HANDLER),$(BOOTSTRAP))
zip: $(OURS)
	@sh test/deploy/package.sh '$(BOOTSTRAP)' '$(ARCH)' function.zip
	@echo 'Source      $(SOURCE)'
deploy: $(if $(DRY_RUN),,zip)
	@HANDLER='$(SOURCE)' sh test/deploy/deploy.sh deploy "$$FUNCTION" "$$ROLE"
invoke:
	@sh test/deploy/deploy.sh invoke "$$FUNCTION" "$$EVENT"
undeploy:
	@sh test/deploy/deploy.sh undeploy "$$FUNCTION"
build-%: bootstrap # what SAM calls with BuildMethod: makefile
	cp bootstrap "$$ARTIFACTS_DIR"

# ---- Tests: what they show, and how to run a single case, is in test/README.md ----

# Short of what needs a minute or a package: that is in .ci/run.
test:
	@$(MAKE) -j$$(getconf _NPROCESSORS_ONLN) test-programs
	sh test/run.sh 'build/end_to_end build/echo build/probe' build/unit build/faults $(TINY) \
		'RUN_WITH=env build/end_to_end build/tiny/build/echo build/tiny/build/probe ": "' \
		'build/fuzz_seeds seeds' \
		'build/differential test/proof/differential.txt' 'build/sandbox build/end_to_end build/echo' \
		'build/lambda_test build/local_lambda build/probe' \
		'sh test/handlers/examples.sh build/handlers build/local_lambda'
EXAMPLES = $(patsubst test/%.c,build/%,$(wildcard test/handlers/*.c))
TINY = build/tiny/build/unit build/tiny/build/faults_poisoned
test-programs: build/echo build/probe $(EXAMPLES) build/end_to_end build/unit build/faults $(TINY) \
		build/tiny/build/echo build/tiny/build/probe build/fuzz_seeds build/differential build/sandbox build/local_lambda build/lambda_test

# Executables as Lambda would start them.
build/echo build/arm64/echo: bootstrap.c
build/probe build/arm64/probe: test/runtime/probe.c bootstrap.c
$(EXAMPLES): build/%: test/%.c bootstrap.c
build/echo build/probe $(EXAMPLES): build/command
build/echo build/probe build/arm64/echo build/arm64/probe $(EXAMPLES): | build/handlers build/arm64
	$(call COMPILE,$<)

# Programs that include bootstrap.c, with a double of the system under it; that play Lambda; or that
# measure. OPTIONS are what one of them has more than the others.
PROGRAMS = $(addprefix build/,unit faults faults_poisoned fuzz fuzz_seeds exhaustive differential \
	end_to_end sandbox soak local_lambda lambda_test bench)
TOOLS = -std=c11 -O2 -Wall -Wextra $(STRICT) -Wno-missing-field-initializers -Wno-overlength-strings
build/unit build/faults build/end_to_end build/sandbox build/soak: build/%: test/runtime/%.c
build/faults_poisoned: test/runtime/faults.c
build/fuzz: test/runtime/fuzz.c
build/fuzz_seeds build/exhaustive: test/runtime/exhaustive.c test/runtime/fuzz.c test/runtime/seeds.txt
build/end_to_end build/soak: test/runtime/script.h
build/differential: test/proof/differential.c test/runtime/fuzz.c
build/local_lambda build/lambda_test: build/%: test/lambda/%.c
build/bench: test/bench/bench.c
build/unit build/faults build/faults_poisoned build/fuzz build/fuzz_seeds build/exhaustive build/differential: \
	bootstrap.c $(wildcard test/runtime/*.h)
$(PROGRAMS): test/lambda/wire.c test/lambda/wire.h | build
	$(HOST_CC) $(TOOLS) $(OPTIONS) $(filter-out bootstrap.c $(INCLUDED),$(filter %.c,$^)) -o $@

# The same with limits of a few dozen bytes, in a copy of the tree.
build/tiny/Makefile: Makefile bootstrap.c test/proof/tiny.sh $(wildcard test/runtime/*.* test/lambda/*.*)
	sh test/proof/tiny.sh build/tiny
build/tiny/build/%: build/tiny/Makefile
	@$(MAKE) -s -C build/tiny HANDLER=bootstrap.c build/$*
tiny-fuzz: build/tiny/Makefile
	@$(MAKE) -s -C build/tiny HANDLER=bootstrap.c fuzz

# Sanitizers, where the compiler has them.
SANITIZED = $(shell echo 'int main(void) { return 0; }' | $(HOST_CC) -fsanitize=address,undefined \
	-x c - -o /dev/null 2>/dev/null && echo -O1 -fsanitize=address,undefined -fno-sanitize-recover=all)
build/unit build/faults_poisoned: OPTIONS = -g $(SANITIZED)
build/fuzz_seeds: OPTIONS = -g $(SANITIZED)
build/fuzz: HOST_CC = clang
build/fuzz: OPTIONS = -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
build/fuzz_seeds build/exhaustive build/differential: INCLUDED = test/runtime/fuzz.c

# The floor of the bench, without any libc.
FLOOR = -std=c11 -Wall -Wextra $(STRICT) -Os -static -s -nostdlib -ffreestanding -fno-pie -no-pie \
	-fno-stack-protector -fno-asynchronous-unwind-tables -Wl,-z,noseparate-code -Wl,-z,norelro \
	-Wl,--build-id=none
build/floor+return: OPTIONS = -DRETURNS
build/floor build/floor+return: test/bench/floor.c | build
	$(CC) $(FLOOR) $(OPTIONS) $< -o $@

build build/handlers build/objects build/arm64:
	@mkdir -p $@

# What needs more than a compiler: clang, the AWS CLI, buildah, debootstrap, qemu.
SECONDS ?= 60
fuzz: build/fuzz # for so many SECONDS
	sh test/runtime/fuzz.sh build/fuzz $(SECONDS)
test-deploy: bootstrap
	$(MAKE) -s ARCH=arm64 build/arm64/echo
	sh test/deploy/deploy_test.sh bootstrap build/arm64/echo
test-image: build/local_lambda
	sh test/deploy/image_test.sh build/local_lambda
test-clients: build/local_lambda build/probe
	sh test/lambda/clients.sh build/local_lambda build/probe
test-arm64: build/end_to_end
	$(MAKE) -s ARCH=arm64 build/arm64/echo build/arm64/probe
	RUN_WITH=qemu-aarch64-static build/end_to_end build/arm64/echo build/arm64/probe

clean:
	rm -rf build bootstrap function.zip

.PHONY: all help run trace serve bench zip deploy invoke undeploy \
	test test-programs test-deploy test-image test-clients test-arm64 fuzz tiny-fuzz clean always
