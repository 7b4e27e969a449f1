#!/bin/sh
# Prints the CPythons of this machine that the gate can run on, oldest first, the newest release of each minor version:
#
#     3.11.7 /usr/local/bin/python3.11
#
# "interpreters.sh only COMMAND" prints that line for COMMAND, or fails. "interpreters.sh default" prints it for python3,
# or for the newest interpreter if python3 is too old.
set -eu

MINORS="11 12 13 14"

# Prints "3.MINOR.MICRO PATH", or nothing. A shim of pyenv may start no Python, Debian's may lack what makes virtual
# environments, and a free-threaded build has other wheels.
ask() {
    "$1" -c '
import sys, sysconfig
if sys.version_info >= (3, 11) and sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    import ensurepip, venv
    print("%d.%d.%d" % sys.version_info[:3], sys.executable)
' 2>/dev/null </dev/null | while read -r version path; do
        for minor in $MINORS; do
            case $version in "3.$minor."*) echo "$version $path" ;; esac
        done
    done
}

# Where interpreters may be: on PATH, and where pyenv installs them, found by its variable, its usual place or its shims.
candidates() {
    for minor in $MINORS; do
        echo "$PATH" | tr ':' '\n' | while read -r folder; do
            echo "$folder/python3.$minor"
            case $folder in */shims) ls -d "${folder%/shims}/versions/3.$minor."*/bin/python3 2>/dev/null || true ;; esac
        done
        for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"; do
            ls -d "$root/versions/3.$minor."*/bin/python3 2>/dev/null || true
        done
    done
    command -v python3 || true
}

all() {
    candidates | sort -u | while read -r candidate; do
        if [ -x "$candidate" ]; then ask "$candidate"; fi
    done | sort -t. -k2,2n -k3,3n | awk -F'[.]' '
        NR > 1 && $2 != minor { print line }
        { minor = $2; line = $0 }
        END { if (NR) print line }'
}

# Prints what is wrong with COMMAND, and fails.
refuse() {
    version=$("$1" -V 2>&1 | head -n 1) || true
    echo "The gate needs CPython 3.11 to 3.14 with its venv module; $1 is: ${version:-not there}" >&2
    exit 1
}

case ${1:-all} in
    all)
        all
        ;;
    only)
        found=$(ask "$2")
        [ -n "$found" ] || refuse "$2"
        echo "$found"
        ;;
    default)
        found=$(ask python3)
        [ -n "$found" ] || found=$(all | tail -n 1)
        [ -n "$found" ] || refuse python3
        echo "$found"
        ;;
    *)
        echo "usage: $0 [all | only COMMAND | default]" >&2
        exit 2
        ;;
esac
