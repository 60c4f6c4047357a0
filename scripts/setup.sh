#!/bin/sh
# Makes a checkout ready to run: packages from the lockfile, then the compiled program in dist/.
# Both only when something changed. Silent unless it fails. Called by `npm run demo` and by scripts/test.sh.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "setup: $1" >&2
  exit 1
}

# Runs a command and shows what it wrote only if it failed.
quietly() {
  if ! output=$("$@" 2>&1); then
    printf '%s\n' "$output" >&2
    fail "this failed: $*"
  fi
}

command -v node >/dev/null || fail 'Node.js 20.19 or newer is needed; there is no node on the PATH'
node -e '
  const [major, minor] = process.versions.node.split(".").map(Number);
  process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);
' || fail "Node.js 20.19 or newer is needed; this is $(node --version)"

# npm writes this hidden lockfile last, so it is missing or old after an install that was interrupted.
if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  # Errors are wanted even from an npm that was told to be silent, as .ci/run does.
  quietly npm ci --loglevel=error
fi

# tsc doesn't delete the output of a source that is gone, and a stale test would go on running.
mkdir -p dist
find src test bench -name node_modules -prune -o -name '*.ts' -print | LC_ALL=C sort >dist/.sources.new
if ! cmp -s dist/.sources.new dist/.sources; then
  rm -rf dist/src dist/test dist/bench dist/.tsbuildinfo
fi
mv dist/.sources.new dist/.sources
quietly node_modules/.bin/tsc -p tsconfig.json
