#!/bin/sh
# image_test.sh - really builds Dockerfile.build, every stage of it, and runs what comes out.
#
#   image_test.sh LOCAL_LAMBDA
#
# With buildah, which needs neither a daemon nor privileged containers (chroot isolation). No
# registry is asked: a Debian root from debootstrap gets the names of both base images, so what is
# tested of the lambda stage is what we add to that image, not the image. Needs root, buildah,
# debootstrap, apt, unzip, and qemu-aarch64-static for the image that is cross-compiled.
#
# SPDX-License-Identifier: MIT-0
set -eu

. test/checks.sh
[ $# -eq 1 ] || die "expected LOCAL_LAMBDA"
local_lambda=$(realpath "$1")
source=$PWD
[ "$(id -u)" -eq 0 ] || die "expected to run as root, for debootstrap and chroot"
for tool in buildah debootstrap qemu-aarch64-static unzip; do
    command -v $tool >/dev/null || die "$tool is missing; expected it in PATH (apt-get install)"
done
export CONTAINERS_STORAGE_CONF="$work/storage.conf" BUILDAH_ISOLATION=chroot
stop() {
    buildah rm --all >/dev/null 2>&1 || :
}
cd "$work"

# A store of our own. The overlay driver is the quick one, and impossible inside most containers.
use_store() { # DRIVER
    cat >storage.conf <<END
[storage]
driver = "$1"
graphroot = "$work/store"
runroot = "$work/run"
END
}
use_store overlay
buildah info >/dev/null 2>&1 || use_store vfs

# The value of an ARG in Dockerfile.build.
base_image() { # ARG
    sed -n "s/^ARG $1=//p" "$source/Dockerfile.build"
}

# --- the base image ---------------------------------------------------------------------------

container=$(buildah from scratch)
root=$(buildah mount "$container")
sh "$source/test/deploy/root.sh" "$(base_image BUILD_IMAGE | sed 's/.*:\([a-z]*\)-.*/\1/')" "$root" ||
    die "there is no base image"
buildah commit -q "$container" "$(base_image BUILD_IMAGE)" >/dev/null
buildah commit -q "$container" "$(base_image LAMBDA_IMAGE)" >/dev/null
buildah rm "$container" >/dev/null

# --- building and looking ---------------------------------------------------------------------

# The command that README has, with buildah for docker.
# shellcheck disable=SC2016 # backquotes of README
readme_build=$(tr '\n' ' ' <"$source/README.md" | sed -n 's/.*`docker \(build [^`]*\) \.`.*/\1/p')
[ -n "$readme_build" ] || die "README.md has no \`docker build … .\`"

build() { # NAME OPTIONS...
    name=$1
    shift
    # shellcheck disable=SC2086 # words of a command
    (cd "$source" && buildah $readme_build --layers --pull-never -t "$name" "$@" .) \
        >"$name.log" 2>&1 || die "building $name failed: $(tail -n 60 "$name.log")"
}

# Unpacks an image; $root is then its root folder.
mount_image() { # NAME
    container=$(buildah from --pull-never "$@")
    root=$(buildah mount "$container")
}

# Starts COMMAND in the image's root as Lambda would, and gives it one event.
expect_echo() { # WHAT COMMAND...
    what=$1
    shift
    printf '#!/bin/sh\nexec chroot "%s" %s\n' "$root" "$*" >bootstrap
    chmod 755 bootstrap
    event='{"from":"an image"}'
    equal "$what answers" "$(BOOTSTRAP=./bootstrap "$local_lambda" run "$event")" "$event"
}

setting() { # NAME FIELD
    buildah inspect --type image --format "{{.OCIv1.$2}}" "localhost/$1"
}

files() {
    (cd "$root" && find . ! -type d)
}

build executable
mount_image localhost/executable
equal "files in the default image" "$(files)" ./bootstrap
equal "entry point" "$(setting executable Config.Entrypoint)" "[/bootstrap]"
expect_echo "the default image" /bootstrap

build tests --target test
grep -q '^[0-9]* passed, 0 failed' tests.log || die "no tests were run: $(tail -n 3 tests.log)"
equal "tests that come before the default image" "$(grep 'make test' executable.log)" ''

build artifact --target artifact --output "$work/artifacts"
equal "artifacts" "$(cd artifacts && echo *)" "bootstrap function.zip"
unzip -p artifacts/function.zip bootstrap | cmp - artifacts/bootstrap || die "the zip holds something else"
check "the same executable in the default image" cmp artifacts/bootstrap "$root/bootstrap"

build lambda --target lambda
mount_image localhost/lambda
equal "mode in the lambda image" "$(stat -c %a "$root/var/runtime/bootstrap")" 755
equal "handler" "$(setting lambda Config.Cmd)" "[bootstrap]"
expect_echo "the lambda image" /var/runtime/bootstrap

machine=$(dpkg --print-architecture)
other=arm64
[ "$machine" = amd64 ] || other=amd64
build cross --platform "linux/$other" --build-arg "BUILDPLATFORM=linux/$machine"
mount_image --platform "linux/$other" localhost/cross
equal "files in the other image" "$(files)" ./bootstrap
equal "its architecture" "$(setting cross Architecture)" "$other"
if [ "$other" = arm64 ]; then
    cp "$(command -v qemu-aarch64-static)" "$root/qemu"
    expect_echo "the arm64 image" /qemu /bootstrap
fi
end
