#!/bin/sh
# Installs what the tests need beside Python and Node, if it is missing and we may. What stays missing is said by the
# tests themselves, which are left out then, or fail where CI is set.
set -eu

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

missing=""
have chromium || have chromium-browser || have google-chrome || missing="$missing chromium"
have nginx || missing="$missing nginx"
have ip || missing="$missing iproute2"
have cc || missing="$missing gcc libc6-dev"
have valgrind || missing="$missing valgrind"
have openssl || missing="$missing openssl"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && have apt-get; then
    echo "Installing$missing"
    apt-get update -qq
    # shellcheck disable=SC2086 # several packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Missing, and not ours to install:$missing. The tests that need it are left out."
fi
