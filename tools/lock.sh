#!/bin/sh
# Resolve requirements.lock: one file for both distributions, the servers on a laptop, the tests
# and the tools; any Linux or macOS, Python 3.11 or newer; every file by its hash, no address.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/uv pip compile pyproject.toml schemas/pyproject.toml --extra local --group dev \
	--universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-emit-package opstrail-schemas \
	--custom-compile-command "make lock" --quiet --output-file requirements.lock "$@"
