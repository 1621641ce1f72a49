#!/usr/bin/env bash
# Everything that CI checks: lint, types, imports, the site, tests and what those of three rooms reach.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
ruff format --check .
ruff check .
mypy
lint-imports
mkdocs build --strict --quiet --site-dir "$(mktemp -d)"
python -m pytest -n 2 --dist loadgroup -m "not slow" --cov --cov-fail-under=95
