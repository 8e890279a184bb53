#!/bin/sh
# Resolve requirements.lock: one file for both distributions, the servers on a laptop, the tests
# and the tools; any Linux or macOS, Python 3.11 or newer; every file by its hash, no address.
# And what the image needs of it: the same versions, without tests and tools.
set -eu
cd "$(dirname "$0")/.."

resolve() { # resolve OUTPUT INPUT... -- OPTION...
	output=$1
	shift
	.venv/bin/uv pip compile "$@" --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-emit-package opstrail-schemas \
		--custom-compile-command "make lock" --quiet --output-file "$output"
}

resolve requirements.lock pyproject.toml schemas/pyproject.toml --extra local --group dev "$@"
resolve deploy/image/requirements.lock pyproject.toml schemas/pyproject.toml \
	--constraints requirements.lock "$@"
resolve deploy/image/tools.lock deploy/image/tools.in --constraints requirements.lock "$@"
