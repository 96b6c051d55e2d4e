#!/bin/sh
# root.sh - makes the root folder of a Debian system, with debootstrap, from the mirror that apt has here.
#
#   root.sh SUITE FOLDER
#
# MIRROR is another mirror: a suite that is no longer supported moves to Debian's archive some day.
#
# SPDX-License-Identifier: MIT-0
set -eu

# shellcheck disable=SC2016 # apt expands it
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
    head -n 1)}
[ -n "$mirror" ] || {
    echo "root.sh: apt knows no mirror of Debian; expected one in sources.list, or MIRROR" >&2
    exit 1
}
debootstrap --variant=minbase "$1" "$2" "$mirror" >"$2.log" 2>&1 || {
    echo "root.sh: debootstrap $1 failed: $(tail -n 3 "$2.log" | tr '\n' ' ')" >&2
    exit 1
}
# What apt needs here to get through to the mirror.
apt-config dump | grep -E '^(Acquire::(https?|Check)|APT::Sandbox)' >"$2/etc/apt/apt.conf.d/99host" || :
