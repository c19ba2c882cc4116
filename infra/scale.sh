#!/usr/bin/env bash
# Two gateways with one audit log, two repositories, a key service, PostgreSQL under Patroni with etcd, and Redis, on this machine, over TLS and sockets.
#   infra/scale.sh                                       # starts all, prints addresses and "ready", runs until it is interrupted
#   infra/scale.sh verify                                # the harness's scenario and checks at the first gateway, the checks at the second
#   infra/scale.sh hammer [DECLARATIONS] [KILLS] [SEED]  # the denial hammer (infra/hammer.sh) over this database and Redis, with two repositories
#   infra/scale.sh failover [TIMES, default 1] [kill | patroni | freeze, default kill]  # under writes and reads: all of the primary killed with -9; its Patroni alone; or all of it stopped, so that it answers nobody and hangs up on nobody
#   infra/scale.sh nodes                                 # what a request costs with one gateway and one repository, and with two of each on the same cores; and, by simulation, what each further brings (infra/nodes.py)
#   infra/scale.sh measure FILE...                       # FHIR JSON as infra/scale.md counts with it: bytes in each table, for a document and a person, and pages that are read
#   infra/scale.sh all                                   # verify, hammer 60 6, failover 3, failover 1 patroni, failover 1 freeze
# What the last runs of each said is in infra/scale.last.txt. PORT (default 8443) is that of the first gateway; the second has PORT + 10.
# It has three PostgreSQL servers: a primary, a standby that has confirmed every commit (synchronous_mode_strict, so no commit without one), and one that becomes that standby when the first takes over.
# Root on Debian: what is missing is installed, and servers run as postgres. infra/scale.md says what is otherwise in production.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
what=${1:-up}; shift || true
port=${PORT:-8443} second=$((${PORT:-8443} + 10))
work=$(mktemp -d /tmp/kanta-scale-XXXXXX) && chmod 711 "$work"
report=$PWD/infra/scale.last.txt
pids=() patroni=() product=()

say() { echo "scale.sh: $*"; }
fail() { say "$*" >&2; exit 1; }
# These three are started in the background alone, where they become the process whose number is kept.
as_postgres() { cd / && exec env HOME=/nonexistent nice -n -10 setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; }
dev() { exec dotnet infra/dev/bin/Debug/net10.0/KantaGateway.Dev.dll "$@"; }
repository() { exec dotnet fhir-adapters/KantaGateway.Repository/bin/Debug/net10.0/KantaGateway.Repository.dll "$@"; }
harness() { dotnet tests/KantaGateway.Harness/bin/Debug/net10.0/KantaGateway.Harness.dll "$@"; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

finish() {
    local code=$?
    trap - EXIT
    [ "$code" = 0 ] || [ "$code" = 130 ] || { for log in "$work"/logs/*; do echo "--- $log"; tail -n 15 "$log"; done; } >&2 2>/dev/null
    # The database last, so that nobody complains that it is gone.
    for pid in $(printf '%s\n' "${pids[@]}" | tac); do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
    done
    for n in 1 2 3; do
        [ -f "$work/pg$n/data/postmaster.pid" ] && kill -QUIT "$(head -n 1 "$work/pg$n/data/postmaster.pid")" 2>/dev/null
    done
    sleep 0.5
    [ -n "${KEEP:-}" ] && say "kept $work" || rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# :: What must be there
missing=()
command -v dotnet >/dev/null || fail "the .NET 10 SDK is missing: https://dotnet.microsoft.com/download/dotnet/10.0"
for pair in patroni:patroni etcd:etcd-server redis-server:redis-server openssl:openssl python3:python3 curl:curl; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}"); done
/usr/bin/python3 -c 'import etcd' 2>/dev/null || missing+=(python3-etcd)
bin=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name postgres 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || missing+=(postgresql)
[ "$(id -u)" = 0 ] || fail "needs root, to run PostgreSQL as postgres"
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    # policy-rc.d: packages must not start services of their own.
    [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && policy=made; }
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; } > "$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; fail "could not install ${missing[*]}"; }
    [ "${policy:-}" = made ] && rm -f /usr/sbin/policy-rc.d
    bin=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name postgres | sort -V | tail -n 1)
fi
bin=$(dirname "$bin")
# The tests' project refers to all of them. BUILT=1: as they were built last.
build() { [ -z "${BUILT:-}" ] || return 0; say "building $1"; dotnet build "$1" --nologo -v q -nodeReuse:false -p:UseSharedCompilation=false > "$work/build.log" 2>&1 || { grep -E ': (error|warning) ' "$work/build.log" | sort -u | head -n 20 >&2; fail "the build failed"; }; }
case $what in
    hammer | all) build tests/KantaGateway.Tests ;;
    *) for project in infra/dev fhir-adapters/KantaGateway.Repository tests/KantaGateway.Harness; do build "$project"; done ;;
esac

# :: Database and Redis
mkdir -p "$work/logs" "$work/tls"
password=$(openssl rand -hex 16)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=Database authority' -keyout "$work/tls/ca.key" -out "$work/tls/ca.pem" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=database' -keyout "$work/tls/server.key" -out "$work/tls/server.csr" 2>/dev/null
openssl x509 -req -in "$work/tls/server.csr" -CA "$work/tls/ca.pem" -CAkey "$work/tls/ca.key" -CAcreateserial -days 2 -extfile <(echo 'subjectAltName=DNS:localhost') -out "$work/tls/server.pem" 2>/dev/null
rm "$work/tls/ca.key" && chmod 755 "$work/tls" && chmod 644 "$work/tls"/*.pem && chmod 600 "$work/tls/server.key" && chown postgres "$work/tls/server.key"

etcd_port=$(free_port) etcd_peers=$(free_port)
mkdir -m 700 "$work/etcd"
# Those who decide have machines of their own in production; here they go before what they decide about.
nice -n -10 etcd --name one --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$etcd_peers" \
    --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peers" --initial-cluster "one=http://127.0.0.1:$etcd_peers" --log-level warn > "$work/logs/etcd.log" 2>&1 &
pids+=($!)
hosts='' rest=() pg_ports=()
# When Patroni ends, however that is, its PostgreSQL ends: as systemd does it with KillMode=mixed.
start_patroni() {
    as_postgres patroni "$work/pg$1/patroni.yml" >> "$work/logs/patroni$1.log" 2>&1 & patroni[$1]=$!; pids+=($!); disown
    { tail --pid="${patroni[$1]}" -s 0.2 -f /dev/null; if read -r postmaster < "$work/pg$1/data/postmaster.pid"; then kill -9 "$postmaster" $(pgrep -P "$postmaster"); fi; } 2>/dev/null & pids+=($!); disown
}
for n in 1 2 3; do
    pg_ports[n]=$(free_port) rest[n]=$(free_port)
    hosts="${hosts:+$hosts,}localhost:${pg_ports[n]}"
    mkdir -m 700 "$work/pg$n" && mkdir -m 700 "$work/pg$n/socket"
    cat > "$work/pg$n/patroni.yml" <<YAML
scope: kanta
name: pg$n
restapi: {listen: '127.0.0.1:${rest[n]}', connect_address: '127.0.0.1:${rest[n]}'}
etcd3: {host: '127.0.0.1:$etcd_port'}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    synchronous_mode: true
    synchronous_mode_strict: true
    postgresql:
      use_pg_rewind: true
      parameters: {synchronous_commit: 'on', wal_level: replica, hot_standby: 'on', max_connections: 200, max_wal_senders: 10, wal_keep_size: 256MB, wal_retrieve_retry_interval: 500ms}
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums, {auth: scram-sha-256}]
postgresql:
  listen: 127.0.0.1:${pg_ports[n]}
  connect_address: localhost:${pg_ports[n]}
  bin_dir: $bin
  data_dir: $work/pg$n/data
  pgpass: $work/pg$n/pgpass
  use_unix_socket: true
  authentication:
    superuser: {username: postgres, password: $password, sslmode: verify-full, sslrootcert: $work/tls/ca.pem}
    replication: {username: replicator, password: $password, sslmode: verify-full, sslrootcert: $work/tls/ca.pem}
    rewind: {username: rewinder, password: $password, sslmode: verify-full, sslrootcert: $work/tls/ca.pem}
  pg_hba: ['local all all scram-sha-256', 'hostssl replication replicator 127.0.0.1/32 scram-sha-256', 'hostssl all all 127.0.0.1/32 scram-sha-256', 'hostssl replication replicator ::1/128 scram-sha-256', 'hostssl all all ::1/128 scram-sha-256']
  parameters: {unix_socket_directories: '$work/pg$n/socket', ssl: 'on', ssl_cert_file: '$work/tls/server.pem', ssl_key_file: '$work/tls/server.key'}
tags: {nofailover: false}
YAML
    chmod 600 "$work/pg$n/patroni.yml" && chown -R postgres "$work/pg$n"
    start_patroni "$n"
done
role_of() { curl -s -m 2 "http://127.0.0.1:${rest[$1]}/patroni" | python3 -c 'import json, sys; told = json.load(sys.stdin); print("sync" if told.get("sync_standby") else told.get("role", "?"), told.get("state", "?"))' 2>/dev/null || echo 'silent'; }
primary() { for n in 1 2 3; do [ "$(role_of "$n")" = "master running" ] && echo "$n" && return; done; return 1; }
# A primary, a standby that confirms, and one more.
whole() { local all; all=$(for n in 1 2 3; do role_of "$n"; done | sort | tr '\n' ';'); [ "$all" = "master running;replica running;sync running;" ] || [ "$all" = "master running;replica streaming;sync streaming;" ]; }
await_whole() { for _ in $(seq 240); do whole && return; sleep 0.5; done; for n in 1 2 3; do say "pg$n: $(role_of "$n")" >&2; done; fail "PostgreSQL did not become whole"; }
say "starting PostgreSQL"
await_whole
server="Host=$hosts;Username=postgres;Password=$password;Database=postgres;SSL Mode=VerifyFull;Root Certificate=$work/tls/ca.pem;Target Session Attributes=primary;Command Timeout=5"

redis-server --port 0 --unixsocket "$work/redis.sock" --unixsocketperm 700 --requirepass "$password" --save '' --appendonly no --dir "$work" > "$work/logs/redis.log" 2>&1 &
pids+=($!)
for _ in $(seq 50); do [ -S "$work/redis.sock" ] && break; sleep 0.1; done
redis="!$work/redis.sock,password=$password"

# :: The product
await_line() { for _ in $(seq 900); do grep -qx "$2" "$1" 2>/dev/null && return; sleep 0.1; done; fail "$1 does not say '$2'"; }
await_socket() { for _ in $(seq 300); do [ -S "$1" ] && return; sleep 0.1; done; fail "nobody listens on $1"; }
# Statements to the primary.
sql() { local n; n=$(primary) && PGPASSWORD=$password PGOPTIONS='-c client_min_messages=warning' "$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$work/pg$n/socket" -p "${pg_ports[$n]}" -U postgres -d "$1" -c "$2"; }
# Gateways, and as many repositories: two by default.
start_product() {
    local of=${1:-2}
    sql postgres 'DROP DATABASE IF EXISTS kanta WITH (FORCE)'; sql postgres 'DROP DATABASE IF EXISTS kanta_audit WITH (FORCE)'
    sql postgres 'CREATE DATABASE kanta'; sql postgres 'CREATE DATABASE kanta_audit'
    export KANTA_POSTGRES=${server/Database=postgres/Database=kanta} KANTA_AUDIT_POSTGRES=${server/Database=postgres/Database=kanta_audit} KANTA_REDIS=$redis
    dev --data "$work/data" --port "$port" --sockets --repositories "$of" --probes 0 > "$work/logs/gateway-1.log" 2>&1 & pids+=($!); product=($!)
    await_line "$work/logs/gateway-1.log" ready
    if [ "$of" = 2 ]; then
        repository "$work/data/repository/repository-2.json" > "$work/logs/repository-2.log" 2>&1 & pids+=($!); product+=($!)
        dev --data "$work/data" --port "$second" --join "$port" --repositories 2 --probes 0 > "$work/logs/gateway-2.log" 2>&1 & pids+=($!); product+=($!)
        await_line "$work/logs/gateway-2.log" ready
        await_socket "$work/data/repository-2.sock"
    fi
    unset KANTA_POSTGRES KANTA_AUDIT_POSTGRES KANTA_REDIS
}
stop_product() {
    kill "${product[@]}"
    for pid in "${product[@]}"; do for _ in $(seq 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done; kill -9 "$pid" 2>/dev/null || true; done
}

# :: What is done with it
# A part of the report: what stood there of this command before goes.
record() {
    local name=$1; shift
    touch "$report"
    awk -v name="$name" '/^== /{ skip = ($2 == name) } !skip' "$report" > "$work/report"
    { cat "$work/report"; printf '== %s (%s, commit %s)\n' "$name" "$(date -u +%F)" "$(git rev-parse --short HEAD)"; cat; } > "$work/report.new"
    mv "$work/report.new" "$report"; chmod 644 "$report"
}

# At the second gateway what needs no browser, which is sent to the address by which both are known. The log is that of both.
verify() {
    : > "$work/verify"
    for n in 1 2; do
        local target=$port further=()
        [ "$n" = 1 ] || { target=$second; further=(--only checks); }
        harness verify --target "https://localhost:$target" --dev "$work/data" "${further[@]}" > "$work/logs/verify-$n.log" 2>&1 || { grep -v '^ok ' "$work/logs/verify-$n.log" | tail -n 40; fail "verify failed at gateway $n"; }
        echo "gateway $n${further:+, ${further[*]}}: $(tail -n 1 "$work/logs/verify-$n.log")" | tee -a "$work/verify"
    done
    record verify < "$work/verify"
}

# The audit log is one of all gateways, in a database beside.
hammer() {
    KANTA_HAMMER_POSTGRES=$server KANTA_HAMMER_REDIS=$redis KANTA_HAMMER_ROUNDS=${1:-60} KANTA_HAMMER_KILLS=${2:-6} KANTA_HAMMER_SEED=${3:-20261128} KANTA_HAMMER_REPORT=$work/hammer \
        dotnet test tests/KantaGateway.Tests --no-build --nologo --filter FullyQualifiedName~Laws.Hammer.DenialHammer --logger 'console;verbosity=minimal' || fail "the hammer found something"
    tee /dev/stderr < "$work/hammer" | record hammer
}

# What Patroni and PostgreSQL did after the event, in seconds after it.
moments() {
    [ -s "$work/event" ] || return 0
    cat "$work"/logs/patroni*.log | tr -d '\0' | python3 -c '
import datetime, re, sys
at = lambda text: datetime.datetime.strptime(text.replace(",", "."), "%Y-%m-%d %H:%M:%S.%f")
event = at(open(sys.argv[1]).read().strip())
told = [("acquired session lock", "the lease is over and taken"), ("received promote request", "promoted"), ("accept connections", "takes connections"), ("is now a synchronous standby", "a standby confirms")]
seen = {}
for line in sys.stdin:
    if m := re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d{3})", line):
        for words, name in told:
            if words in line and (after := (at(m[1]) - event).total_seconds()) > 0:
                seen[name] = min(after, seen.get(name, after))
print("   after it: " + ", ".join(f"{name} {after:.1f} s" for name, after in sorted(seen.items(), key=lambda s: s[1])))' "$work/event"
}

# Of the primary all at once, Patroni, PostgreSQL and its backends; or Patroni alone; or all of it stands still, answers nobody and hangs up on nobody, until a watchdog would have reset its machine.
failover() {
    local n times=${1:-1} how=${2:-kill} after
    : > "$work/failover"
    for time in $(seq "$times"); do
        await_whole
        n=$(primary) || fail "no primary"
        postmaster=$(head -n 1 "$work/pg$n/data/postmaster.pid")
        case $how in
            kill) after=45 act="kill -9 ${patroni[$n]} $postmaster \$(pgrep -P $postmaster)" said="killed -9" ;;
            patroni) after=45 act="kill -9 ${patroni[$n]}" said="Patroni alone killed -9, and PostgreSQL ended by whoever keeps it" ;;
            freeze) after=75 act="all=\"${patroni[$n]} $postmaster \$(pgrep -P $postmaster)\"; kill -STOP \$all; (sleep 45; kill -9 \$all) > /dev/null 2>&1 &" said="stopped, and killed 45 s later" ;;
            *) fail "kill, patroni or freeze" ;;
        esac
        echo "$time: $said: pg$n, the primary" | tee -a "$work/failover"
        harness outage --target "https://localhost:$port" "https://localhost:$second" --dev "$work/data" --lead 15 --after "$after" --within 30 --do "date -u '+%F %T.%3N' > $work/event; $act" > "$work/outage" 2>&1 || { cat "$work/outage"; moments; fail "the failover was not as it has to be"; }
        { cat "$work/outage"; moments; } | tee -a "$work/failover"
        echo "   then the primary is pg$(primary || echo none)" | tee -a "$work/failover"
        # Back as a standby, by pg_rewind or anew, before the next.
        start_patroni "$n"
    done
    await_whole
    if grep -l 'ALARM' "$work"/logs/*.log; then fail "a record was taken for a fork, or the audit log for another"; fi
    if [ "$how" = kill ]; then record failover < "$work/failover"; else record "failover-$how" < "$work/failover"; fi
}

# Processor time of a process and of the children that it has seen the end of, in ticks.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 + $14 + $15 }' "/proc/$1/stat" 2>/dev/null || echo 0; }
ticks_of() { local all=0 pid; for pid in "$@"; do all=$((all + $(ticks "$pid"))); done; echo "$all"; }
servers() { local n postmaster; for n in "$@"; do postmaster=$(head -n 1 "$work/pg$n/data/postmaster.pid"); echo "$postmaster"; pgrep -P "$postmaster"; done; }

# The same load at one gateway with one repository, and at two of each. What is told is processor time for a request, which others on the machine do not change much.
nodes() {
    local of counts
    : > "$work/nodes"
    for of in 1 2; do
        rm -rf "$work/data"
        start_product "$of"
        local targets=("https://localhost:$port" "https://localhost:$port")
        [ "$of" = 1 ] || targets=("https://localhost:$port" "https://localhost:$second")
        # Until everything is compiled.
        for _ in 1 2 3; do harness outage --target "${targets[@]}" --dev "$work/data" --lead 15 --after 5 --within 30 --do true > "$work/warm" 2>&1 && break; sleep 2; done
        local before=() after=() database primary
        for pid in "${product[@]}"; do before+=("$(ticks "$pid")"); done
        database=$(ticks_of $(servers 1 2 3)) primary=$(ticks_of $(servers "$(primary)"))
        harness outage --target "${targets[@]}" --dev "$work/data" --lead "${SECONDS_OF_LOAD:-60}" --after 5 --within 30 --do true > "$work/load" 2>&1 || { cat "$work/load"; fail "the load was not answered"; }
        for pid in "${product[@]}"; do after+=("$(ticks "$pid")"); done
        database=$(($(ticks_of $(servers 1 2 3)) - database)) primary=$(($(ticks_of $(servers "$(primary)")) - primary))
        # Writes, each of which is read once at each of two targets at the end; reads; declarations; looks.
        counts=$(python3 -c 'import re, sys; t = open(sys.argv[1]).read(); w, r, d = [int(re.search(k + r": (\d+) answered", t).group(1)) for k in ("writes", "reads", "declarations")]; print(w, r + 2 * w + d + int(re.search(r"of all (\d+) showed", t).group(1)))' "$work/load")
        { printf 'nodes %s writes %s others %s database %s primary %s' "$of" $counts "$database" "$primary"; for i in "${!product[@]}"; do printf ' process%s %s' "$i" $((after[i] - before[i])); done; echo; } >> "$work/nodes"
        stop_product
    done
    python3 infra/nodes.py "$work/nodes" "$(getconf CLK_TCK)" | tee "$work/nodes.out" || fail "each node does not bring what it has to"
    record nodes < "$work/nodes.out"
}

# A sample is stored as a clinic stores it, and then copied to many people in the order in which it would have come: everybody's first row, everybody's second, so that pages and indexes fill as they would in years.
measure() {
    local before after resources bytes copies=${COPIES:-60}
    [ $# -gt 0 ] || fail "measure needs files"
    before=$(sql kanta 'SELECT pg_current_wal_lsn()')
    harness load --target "https://localhost:$port" --dev "$work/data" --as aurora "$@" > "$work/logs/load.log" 2>&1 || say "of the sample some was refused: $work/logs/load.log"
    after=$(sql kanta 'SELECT pg_current_wal_lsn()')
    resources=$(sql kanta "SELECT count(*) FROM body WHERE compartment <> '\\x00000000000000000000'")
    bytes=$(sql kanta "SELECT round(avg(length(sealed))) FROM body WHERE length(sealed) > 0 AND compartment <> '\\x00000000000000000000'")
    {
        echo "sample: $resources rows of $(sql kanta "SELECT count(*) FROM compartment WHERE compartment <> '\\x00000000000000000000'") people, $bytes bytes of body on average, half of them at most $(sql kanta 'SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY length(sealed)) FROM body'); WAL $(sql kanta "SELECT round(pg_wal_lsn_diff('$after', '$before') / $resources)") bytes a row, in the transactions of the sample"
        # Copies do not open: their keys are others'. They are as long.
        sql kanta "CREATE TABLE sample AS SELECT * FROM compartment WHERE head > 20 AND compartment <> '\\x00000000000000000000';
            INSERT INTO compartment SELECT substring(sha256(compartment || int4send(n)) FOR 10), wrapped, head FROM sample, generate_series(1, $copies) n;
            INSERT INTO entry SELECT substring(sha256(compartment || int4send(n)) FOR 10), sequence, sealed FROM entry JOIN sample USING (compartment), generate_series(1, $copies) n ORDER BY sequence, n;
            INSERT INTO body SELECT substring(sha256(compartment || int4send(n)) FOR 10), sequence, sealed FROM body JOIN sample USING (compartment), generate_series(1, $copies) n ORDER BY sequence, n;"
        for table in compartment entry body; do sql kanta "VACUUM ANALYZE $table"; done
        echo "copied to $copies times as many: $(sql kanta 'SELECT count(*) FROM compartment') people, $(sql kanta 'SELECT count(*) FROM body') rows"
        for table in compartment entry body; do
            sql kanta "SELECT format('%s: %s rows, %s bytes a row: table %s, long values %s, index %s', '$table', n, round((heap + toast + idx) / n), round(heap / n), round(toast / n), round(idx / n))
                FROM (SELECT count(*)::numeric AS n FROM $table) c, (SELECT sum(pg_relation_size(inhrelid)) AS heap, sum(pg_indexes_size(inhrelid)) AS idx, sum(coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0)) AS toast
                FROM pg_inherits JOIN pg_class p ON p.oid = inhrelid WHERE inhparent = '$table'::regclass) s"
        done
        echo "to open a record, whose rows were written over years: pages that are read"
        sql kanta "SELECT compartment, head FROM sample ORDER BY head" | while IFS='|' read -r person head; do
            person=$(sql kanta "SELECT substring(sha256('$person'::bytea || int4send(7)) FOR 10)")
            echo "  of $head rows: $(sql kanta "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) SELECT c.head, c.wrapped, e.sequence, e.sealed FROM compartment c LEFT JOIN entry e ON e.compartment = c.compartment AND e.sequence > 0 WHERE c.compartment = '$person' ORDER BY e.sequence" | grep -m 1 Buffers: | sed 's/ *Buffers: shared //')"
        done
    } | tee "$work/measure"
    record measure < "$work/measure"
}

case $what in
    up) start_product
        say "gateways https://localhost:$port https://localhost:$second, data $work/data, logs $work/logs"
        for n in 1 2 3; do say "pg$n: $(role_of "$n")"; done
        echo ready
        wait ;;
    verify) start_product && verify ;;
    hammer) hammer "$@" ;;
    failover) start_product && failover "$@" ;;
    measure) start_product && measure "$@" ;;
    nodes) nodes ;;
    all) start_product && verify && hammer && failover 3 && failover 1 patroni && failover 1 freeze ;;
    *) fail "up, verify, hammer, failover, measure, nodes or all" ;;
esac
