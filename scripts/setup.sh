#!/usr/bin/env bash
# Installs what building and testing need on Debian, and says what is missing elsewhere.
#
#   setup.sh [PACKAGE …]    further packages that one target needs
set -euo pipefail

# tgt is the iSCSI library of strangers that the initiator and the conformance suite are tried on;
# poppler-utils and zbar-tools draw and read printed labels.
packages=(build-essential pkg-config libssl-dev rsync attr acl zstd python3 python3-venv gzip tgt
    poppler-utils zbar-tools "$@")

missing=()
if command -v dpkg-query >/dev/null; then
    for package in "${packages[@]}"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing+=("$package")
    done
else
    # Not Debian: ask for the tools themselves.
    for tool in cc make pkg-config rsync setfattr setfacl zstd python3 gzip; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        echo "These tools are missing; install them with this system's package manager:" >&2
        echo "  ${missing[*]}" >&2
        echo "The headers of OpenSSL are needed too. Debian 12 installs all of it by itself." >&2
        exit 1
    fi
fi

if [ ${#missing[@]} -gt 0 ]; then
    sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "Run this as root, or install sudo: apt-get install ${missing[*]}" >&2
            exit 1
        fi
        sudo=(sudo)
    fi
    echo "Installing: ${missing[*]}" >&2
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! command -v cargo >/dev/null; then
    echo "cargo is not on the PATH. Install Rust with rustup (https://rustup.rs), then open a new shell." >&2
    exit 1
fi
