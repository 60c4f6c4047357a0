#!/bin/sh
# Installs from Debian what the tests need beside Node: real servers and their tools. Does nothing when all are there.
# Nothing it installs is started: tests start their own servers, on loopback, and end them.
# Arguments, `package:program` each, are needed besides: the benches name HAProxy and others.
set -eu

# package:program that must exist (a full path where Debian keeps it off the PATH)
needed='
postgresql-15:/usr/lib/postgresql/15/bin/initdb
postgresql-15:/usr/lib/postgresql/15/bin/pgbench
postgresql-client-15:psql
postgresql-15-auto-failover:/usr/lib/postgresql/15/lib/pgautofailover.so
pg-auto-failover-cli:pg_autoctl
patroni:patroni
python3-etcd:/usr/lib/python3/dist-packages/etcd
etcd-server:etcd
dnsmasq-base:/usr/sbin/dnsmasq
openssl:openssl
mariadb-server:/usr/sbin/mariadbd
mariadb-client:mariadb
galera-4:/usr/lib/galera/libgalera_smm.so
rsync:rsync
redis-server:redis-server
redis-sentinel:redis-sentinel
redis-tools:redis-benchmark
sysbench:sysbench
nginx:/usr/sbin/nginx
haproxy:/usr/sbin/haproxy
curl:curl
systemd:systemd-socket-activate
'"$*"

# A full path need not be a program: the stream module of nginx is a library.
present() {
  case $1 in /*) [ -e "$1" ] ;; *) command -v "$1" >/dev/null ;; esac
}

missing=''
for entry in $needed; do
  package=${entry%%:*}
  present "${entry#*:}" && continue
  case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
  as_root=''
elif sudo -n true 2>/dev/null; then
  as_root='sudo -n'
else
  echo "system packages: the tests need$missing; as root: apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo "system packages: the tests need$missing, and there is no apt-get here to install them with" >&2
  exit 1
fi

# Runs a shell command as root and shows what it wrote only if it failed.
root() {
  if ! output=$($as_root sh -c "$1" 2>&1); then
    printf '%s\n' "$output" >&2
    return 1
  fi
}

# The Debian package makes and starts a cluster on port 5432 unless it is told not to before it is installed.
cluster_conf=/etc/postgresql-common/createcluster.conf
[ -e $cluster_conf ] || root "mkdir -p ${cluster_conf%/*} && echo 'create_main_cluster = false' >$cluster_conf"

# Debian's own switch for "start no service on installation"; ours stands only while we install.
policy=/usr/sbin/policy-rc.d
if ! [ -e $policy ]; then
  root "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
  trap 'root "rm -f $policy"' EXIT
  trap 'exit 1' INT TERM
fi

install="DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=120$missing"
# Package lists may be missing (a slim image) or too old to name files that still exist: then update once.
if ! root "$install" 2>/dev/null; then
  root 'apt-get update -o DPkg::Lock::Timeout=120'
  root "$install"
fi

for entry in $needed; do
  if ! present "${entry#*:}"; then
    echo "system packages: ${entry%%:*} is installed but there is no ${entry#*:}" >&2
    exit 1
  fi
done
