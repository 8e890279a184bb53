#!/bin/sh
# Install the Debian packages that `make setup` cannot take from a Python registry, where that is
# allowed. One `needs PROGRAM-OR-TEST PACKAGE...` line each, with the reason. Never fails the
# set-up: without root, without apt or without a mirror it says what is missing and goes on.
set -u

missing=""
needs() { # needs TEST PACKAGE...
	test=$1
	shift
	sh -c "$test" >/dev/null 2>&1 || missing="$missing $*"
}

# Debian splits venv's installer off; without it `python3 -m venv` makes no environment.
needs "${PYTHON:-python3} -c 'import ensurepip, venv'" python3-venv

# The browser of the page's tests: Playwright's own download is not to be had behind every mirror.
needs "command -v chromium || command -v chromium-browser || command -v google-chrome" chromium

# promtool tests the alerts, and a real Prometheus scrapes in the tests. Unpacked below build/ and
# not installed: the package's installation would start a Prometheus that stays.
unpacked=build/prometheus
if ! command -v promtool >/dev/null 2>&1 && [ ! -x "$unpacked/usr/bin/promtool" ]; then
	fetched=$(mktemp -d)
	if (
		cd "$fetched" || exit 1
		apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }
	) >&2 && mkdir -p "$unpacked" && dpkg -x "$fetched"/prometheus_*.deb "$unpacked"; then
		echo "unpacked Debian's prometheus and promtool into $unpacked" >&2
	else
		echo "please install: promtool and prometheus (not to be had here)" >&2
	fi
	rm -rf "$fetched"
fi

[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "please install:$missing (or their like; not root on Debian, so not done here)" >&2
	exit 0
fi
# shellcheck disable=SC2086 # a list of names
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } >&2 ||
	echo "could not install:$missing" >&2
exit 0
