#!/bin/sh
# Installs from Debian what the benches need beside what the tests need: HAProxy, to measure side by side with.
# Does nothing when it is there. Its service is neither started nor enabled: the bench runs its own, on loopback.
set -eu
cd "$(dirname "$0")/.."

sh scripts/system-packages.sh

haproxy=/usr/sbin/haproxy
[ -x $haproxy ] && exit 0

if [ "$(id -u)" -eq 0 ]; then
  as_root=''
elif sudo -n true 2>/dev/null; then
  as_root='sudo -n'
else
  echo 'bench packages: the bench needs haproxy; as root: apt-get install --no-install-recommends haproxy' >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo 'bench packages: the bench needs haproxy, and there is no apt-get here to install it with' >&2
  exit 1
fi

# Runs a shell command as root and shows what it wrote only if it failed.
root() {
  if ! output=$($as_root sh -c "$1" 2>&1); then
    printf '%s\n' "$output" >&2
    return 1
  fi
}

# Debian's own switch for "start no service on installation"; ours stands only while we install.
policy=/usr/sbin/policy-rc.d
if ! [ -e $policy ]; then
  trap 'root "rm -f $policy"' EXIT
  trap 'exit 1' INT TERM
  root "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
fi

install='DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=120 haproxy'
# Package lists may be missing (a slim image) or too old to name files that still exist: then update once.
if ! root "$install" 2>/dev/null; then
  root 'apt-get update -o DPkg::Lock::Timeout=120'
  root "$install"
fi
# Without this the next boot would start it.
if command -v systemctl >/dev/null; then root 'systemctl disable haproxy'; fi

if ! [ -x $haproxy ]; then
  echo "bench packages: haproxy is installed but there is no $haproxy" >&2
  exit 1
fi
