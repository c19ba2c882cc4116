#!/usr/bin/env bash
# Parts that are stopped and started under load, as processes of their own: two gateways behind a load balancer that asks them for their health, two repositories over one PostgreSQL, Redis.
#   infra/rolling.sh drain [SECONDS, default 4]   # one gateway after the other is told to stop (SIGTERM), ends and starts again; not one request may fail. With 0, which is no draining, some do: that is what the time is for
#   infra/rolling.sh upgrade                      # the schema is migrated by a newer program while the older one serves, then each repository and gateway is replaced by the newer one; not one request may fail, and the older program refuses to start
#   infra/rolling.sh all                          # drain, drain 0, upgrade
# What the last runs said is in infra/rolling.last.txt. Root on Debian: what is missing is installed, and PostgreSQL runs as postgres. The newer program is this one with one migration more, which adds a column.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
what=${1:-all}; shift || true
work=$(mktemp -d /tmp/kanta-rolling-XXXXXX) && chmod 711 "$work"
report=$PWD/infra/rolling.last.txt
declare -A pid=()

say() { echo "rolling.sh: $*"; }
fail() { say "$*" >&2; exit 1; }
as_postgres() { cd / && exec env HOME=/nonexistent setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; }
finish() {
    local code=$?
    trap - EXIT
    [ "$code" = 0 ] || [ "$code" = 130 ] || { for log in "$work"/logs/*; do echo "--- $log"; tail -n 12 "$log"; done; } >&2 2>/dev/null
    for name in balancer gateway-1 gateway-2 repository-2 repository-3 host redis; do [ -z "${pid[$name]:-}" ] || kill "${pid[$name]}" 2>/dev/null || true; done
    for name in gateway-1 gateway-2 repository-2 repository-3 host; do
        [ -n "${pid[$name]:-}" ] || continue
        for _ in $(seq 150); do kill -0 "${pid[$name]}" 2>/dev/null || break; sleep 0.1; done
        kill -9 "${pid[$name]}" 2>/dev/null || true
    done
    [ -f "$work/pg/data/postmaster.pid" ] && kill -INT "$(head -n 1 "$work/pg/data/postmaster.pid")" 2>/dev/null && sleep 1
    [ -n "${KEEP:-}" ] && say "kept $work" || rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# :: What must be there
[ "$(id -u)" = 0 ] || fail "needs root, to run PostgreSQL as postgres"
missing=()
for pair in haproxy:haproxy redis-server:redis-server openssl:openssl python3:python3 curl:curl; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}"); done
bin=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name postgres 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || missing+=(postgresql)
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && policy=made; }
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; } > "$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; fail "could not install ${missing[*]}"; }
    [ "${policy:-}" = made ] && rm -f /usr/sbin/policy-rc.d
    bin=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name postgres | sort -V | tail -n 1)
fi
bin=$(dirname "$bin")
build() { [ -n "${BUILT:-}" ] && [ $# = 1 ] && return; say "building $1"; dotnet build "$@" --nologo -v q -nodeReuse:false -p:UseSharedCompilation=false > "$work/build.log" 2>&1 || { grep -E ': (error|warning) ' "$work/build.log" | sort -u | head -n 20 >&2; fail "the build failed"; }; }
for project in infra/dev tests/KantaGateway.Harness; do build "$project"; done
harness() { dotnet tests/KantaGateway.Harness/bin/Debug/net10.0/KantaGateway.Harness.dll "$@"; }

# :: Database, Redis, and the host with key service and simulators
mkdir -p "$work/logs" && mkdir -m 711 "$work/pg" && chown postgres "$work/pg"
password=$(openssl rand -hex 16)
install -m 600 -o postgres /dev/null "$work/pg/password" && printf %s "$password" > "$work/pg/password"
(as_postgres "$bin/initdb" -D "$work/pg/data" -U postgres --auth=scram-sha-256 --pwfile="$work/pg/password" -E UTF8 --locale=C > "$work/logs/initdb.log" 2>&1)
(as_postgres "$bin/pg_ctl" -D "$work/pg/data" -l "$work/pg/log" -w -o "-c listen_addresses='' -c unix_socket_directories='$work/pg' -c max_connections=300" start > "$work/logs/pg_ctl.log" 2>&1)
server="Host=$work/pg;Username=postgres;Password=$password"
sql() { PGPASSWORD=$password "$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$work/pg" -U postgres -d "$1" -c "$2"; }
sql postgres 'CREATE DATABASE kanta'; sql postgres 'CREATE DATABASE kanta_audit'
redis-server --port 0 --unixsocket "$work/redis.sock" --unixsocketperm 700 --requirepass "$password" --save '' --appendonly no --dir "$work" > "$work/logs/redis.log" 2>&1 & pid[redis]=$!
for _ in $(seq 50); do [ -S "$work/redis.sock" ] && break; sleep 0.1; done

port=$((20000 + RANDOM % 8000)) balancer=$((29000 + RANDOM % 2000))
one=$((port + 10)) two=$((port + 20))
data=$work/data
KANTA_POSTGRES="$server;Database=kanta" KANTA_AUDIT_POSTGRES="$server;Database=kanta_audit" KANTA_REDIS="!$work/redis.sock,password=$password" \
    dotnet infra/dev/bin/Debug/net10.0/KantaGateway.Dev.dll --data "$data" --port "$port" --sockets --repositories 3 --probes 0 --witnesses false > "$work/logs/host.log" 2>&1 & pid[host]=$!
for _ in $(seq 900); do grep -qx ready "$work/logs/host.log" && break; kill -0 "${pid[host]}" 2>/dev/null || fail "the host ended"; sleep 0.1; done

# :: The product's own programs
program() { cp -r "$1" "$2"; }
program gateway/KantaGateway.Gateway/bin/Debug/net10.0 "$work/gateway" && cp "$data/gateway.json" "$work/gateway/appsettings.json" && chmod 600 "$work/gateway/appsettings.json"
program fhir-adapters/KantaGateway.Repository/bin/Debug/net10.0 "$work/repository-old"
repositories=$work/repository-old drain=4
await() { for _ in $(seq 600); do "$@" && return; sleep 0.1; done; fail "not so within a minute: $*"; }
is_ready() { [ "$(curl -s -k -m 2 -o /dev/null -w '%{http_code}' "https://localhost:$1/health/ready")" = 200 ]; }
gateway() {
    local n=$1 at=$one
    [ "$n" = 1 ] || at=$two
    # A log that all share has one key.
    [ -d "$data/audit-shared-$at" ] || mkdir -m 700 "$data/audit-shared-$at"
    [ -e "$data/audit-shared-$at/log.key" ] || install -m 600 "$data/audit-shared/log.key" "$data/audit-shared-$at/log.key"
    KANTA_Gateway__Port=$at KANTA_Gateway__MetricsListen="http://127.0.0.1:$((at + 2))" KANTA_Gateway__AuditFolder="$data/audit-shared-$at" KANTA_Gateway__Breach__CaseFolder="$data/breach-$at" \
        KANTA_Gateway__Breach__Gateway="gateway-$n" KANTA_Gateway__DrainSeconds=$drain dotnet "$work/gateway/KantaGateway.Gateway.dll" >> "$work/logs/gateway-$n.log" 2>&1 & pid[gateway-$n]=$!
    await is_ready "$at"
}
repository() {
    KANTA_REPOSITORY__DrainSeconds=$((drain * 2)) dotnet "$repositories/KantaGateway.Repository.dll" "$data/repository/repository-$1.json" >> "$work/logs/repository-$1.log" 2>&1 & pid[repository-$1]=$!
    await test -S "$data/repository-$1.sock"
    await repository_is_ready "$1"
}
repository_is_ready() { [ "$(curl -s -m 2 -o /dev/null -w '%{http_code}' --unix-socket "$data/repository-$1.sock" http://localhost/health/ready)" = 200 ]; }
stop() {
    local begun=$EPOCHREALTIME
    kill -TERM "${pid[$1]}"
    for _ in $(seq 600); do kill -0 "${pid[$1]}" 2>/dev/null || break; sleep 0.1; done
    ! kill -0 "${pid[$1]}" 2>/dev/null || fail "$1 does not end"
    echo "  $1 ended $(python3 -c "print(round($EPOCHREALTIME - $begun, 1))") s after it was told to" >> "$work/said"
}
repository 2; repository 3; gateway 1; gateway 2
# What load balancers do: TLS goes through, and whoever says that it is not ready gets no new connection.
cat > "$work/haproxy.cfg" <<CFG
defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    option redispatch
    retries 3
frontend public
    bind 127.0.0.1:$balancer
    default_backend gateways
backend gateways
    balance leastconn
    option httpchk GET /health/ready
    http-check expect status 200
    default-server check check-ssl verify none inter 500ms fall 1 rise 1
    server gateway-1 127.0.0.1:$one
    server gateway-2 127.0.0.1:$two
CFG
haproxy -db -f "$work/haproxy.cfg" > "$work/logs/haproxy.log" 2>&1 & pid[balancer]=$!
await is_ready "$balancer"

record() {
    local name=$1
    touch "$report"
    awk -v name="== $name (" 'index($0, "== ") == 1 { skip = (index($0, name) == 1) } !skip' "$report" > "$work/report"
    { cat "$work/report"; printf '== %s (%s, commit %s)\n' "$name" "$(date -u +%F)" "$(git rev-parse --short HEAD)"; cat; } > "$work/report.new"
    mv "$work/report.new" "$report"; chmod 644 "$report"
}
# Load, while this shell does what it does: the harness waits for a file.
under_load() {
    local name=$1; shift
    : > "$work/said"; rm -f "$work/done" "$work/begun"
    # The host's own gateway, which stays, is the public address by which persons sign in; half of the load goes there, half to the balancer.
    harness outage --target "https://localhost:$port" "https://localhost:$balancer" --dev "$data" --lead 8 --after 8 --within 30 --do "touch $work/begun; while [ ! -e $work/done ]; do sleep 0.2; done" > "$work/outage" 2>&1 & local load=$!
    for _ in $(seq 1200); do [ -e "$work/begun" ] && break; kill -0 "$load" 2>/dev/null || { cat "$work/outage"; fail "the load ended"; }; sleep 0.1; done
    "$@"
    touch "$work/done"
    wait "$load" || { cat "$work/outage"; fail "the load was not answered as it has to be"; }
    cat "$work/outage" >> "$work/said"
    failed=$(awk '/^(writes|reads|declarations):/ { sum += $4 } END { print sum + 0 }' "$work/said")
    echo "requests that failed: $failed" >> "$work/said"
    tee /dev/stderr < "$work/said" | record "$name"
}
again() { for n in 1 2; do stop "gateway-$n"; gateway "$n"; done; }

drain() {
    local seconds=${1:-4} failed=0
    if [ "$seconds" != "$drain" ]; then drain=$seconds; again > /dev/null; fi
    under_load "drain $seconds" again
    [ "$seconds" = 0 ] || [ "$failed" = 0 ] || fail "$failed requests failed"
}

upgrade() {
    local failed=0 code
    drain=4
    again
    say "building the newer program"
    git ls-files -z gateway fhir-adapters Directory.Build.props Directory.Packages.props global.json | xargs -0 tar c 2>/dev/null | (mkdir "$work/newer" && tar x -C "$work/newer")
    local newest; newest=$(find fhir-adapters/KantaGateway.Repository/Storage/Migrations/Postgres -name '*.sql' -printf '%f\n' | sort | tail -n 1)
    newest=$(printf '%04d' $((10#${newest%%_*} + 1)))
    for engine in Postgres Sqlite; do echo 'ALTER TABLE entry ADD COLUMN trial integer;' > "$work/newer/fhir-adapters/KantaGateway.Repository/Storage/Migrations/$engine/${newest}_trial.sql"; done
    build "$work/newer/fhir-adapters/KantaGateway.Repository" -o "$work/repository-new"
    under_load upgrade replace
    [ "$failed" = 0 ] || fail "$failed requests failed"
}
replace() {
    KANTA_REPOSITORY__PostgresOwner="$server;Database=kanta" dotnet "$work/repository-new/KantaGateway.Repository.dll" migrate "$data/repository/repository-2.json" | sed 's/^/  migrate: /' >> "$work/said"
    echo "  the older repositories serve on: $(for n in 2 3; do repository_is_ready "$n" && echo -n 'ready '; done)" >> "$work/said"
    repositories=$work/repository-new
    for n in 2 3; do stop "repository-$n"; repository "$n"; done
    for n in 1 2; do stop "gateway-$n"; gateway "$n"; done
    # On a socket of its own, so that it takes nobody's away.
    local code=0
    KANTA_REPOSITORY__Listen="unix:$work/older.sock" dotnet "$work/repository-old/KantaGateway.Repository.dll" "$data/repository/repository-2.json" > "$work/older" 2>&1 || code=$?
    echo "  the older program, started now, ends with $code: $(tail -n 1 "$work/older")" >> "$work/said"
    [ "$code" = 2 ] || fail "the older program starts on the newer schema"
}

case $what in
    drain) drain "$@" ;;
    upgrade) upgrade ;;
    all) drain 4; drain 0; upgrade ;;
    *) fail "drain, upgrade or all" ;;
esac
