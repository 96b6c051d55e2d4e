#!/bin/sh
# peers.sh - builds what bootstrap is compared with, as far as this machine can, and prints each as
# NAME=FOLDER for the bench. What cannot be built is named on stderr, with the reason.
#
#   peers.sh FOLDER all | NAME...
#
# Each is a folder as it is deployed, with its version. bash, curl and glibc are in Lambda's images
# for custom runtimes. Python and Node.js are not; their packages are as for AWS's runtimes, which
# have them.
#
# SPDX-License-Identifier: MIT-0
set -eu
[ $# -gt 1 ] || { echo 'peers.sh: expected a folder to build in, and all or names' >&2; exit 2; }
mkdir -p "$1"
built=$(cd "$1" && pwd)
shift
wanted=" $* "
cd "$(dirname "$0")/peers"
client=aws-lambda-ric@3.3.0

script() { # INTERPRETER FILE: bootstrap is FILE, with that interpreter in its first line
    [ -n "$1" ] && { printf '#!%s\n' "$1" && grep -v '^#!' "$2"; } >bootstrap && chmod +x bootstrap
}

# Each of these is called in the peer's own folder, with that of the sources; prints the version.
build_bash() {
    script "$(bash -c 'command -v bash')" "$1/bash.sh" && curl=$(curl --version) &&
        printf 'bash %s, curl %s' "$(bash -c "echo \${BASH_VERSION%%(*}")" \
            "$(echo "$curl" | sed -n '1s/curl \([^ ]*\).*/\1/p')"
}
build_python() {
    script "$(python3 -c 'import sys; print(sys.executable)')" "$1/python.py" && python3 --version
}
build_glibc() {
    cc -O2 -s "$1/glibc.c" -o bootstrap &&
        printf 'glibc %s, dynamic, cc %s' "$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)" \
            "$(cc -dumpfullversion)"
}
build_go() {
    CGO_ENABLED=0 GO111MODULE=off go build -ldflags='-s -w' -o bootstrap "$1/go.go" &&
        go env GOVERSION
}
# Its part in C++ is compiled during the installation, with the headers of this Node.js.
build_node() {
    node=$(node -p process.execPath) || return
    cp "$1/node.js" function.js
    [ -f node_modules/.package-lock.json ] ||
        npm_config_nodedir=$(dirname "$(dirname "$node")") npm_config_dangerously_allow_all_scripts=true \
            npm install --no-audit --no-fund --foreground-scripts "$client" >&2 || return
    printf '#!/bin/sh\nexec %s %s/node_modules/aws-lambda-ric/bin/index.mjs function.handler\n' \
        "$node" "$PWD" >bootstrap && chmod +x bootstrap
    printf 'Node.js %s, %s' "$(node --version)" "$client"
}

sources=$PWD
for name in glibc go bash python node; do
    case $wanted in *" all "* | *" $name "*) ;; *) continue ;; esac
    mkdir -p "$built/$name"
    # shellcheck disable=SC2094 # the log is read when it is complete
    if (cd "$built/$name" && "build_$name" "$sources" >version) 2>"$built/$name.txt" &&
        [ -x "$built/$name/bootstrap" ]; then
        echo "$name=$built/$name"
    else
        echo "peers.sh: $name is left out, it could not be built: $built/$name.txt: $(
            tail -n 1 "$built/$name.txt")" >&2
    fi
done
