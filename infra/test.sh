#!/usr/bin/env bash
# Builds the solution with warnings as errors and runs every test, with real PostgreSQL, Redis, SoftHSM, Chromium, Node and promtool.
# Installs what is missing when it is root on Debian, and says exactly what to install when it is not.
# The last line is always: N passed, N failed, N skipped. Exit code 0 only when something passed and nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 CI=true

passed=0 failed=0 skipped=0
work=$(mktemp -d)
postgres_bin='' postgres_user='' redis_pid=''

finish() {
    local code=$?
    [ -n "$redis_pid" ] && kill "$redis_pid" 2>/dev/null
    [ -f "$work/postgres/data/postmaster.pid" ] && as_postgres "$postgres_bin/pg_ctl" -D "$work/postgres/data" -m immediate -w stop >/dev/null 2>&1
    rm -rf "$work"
    [ "$code" = 0 ] && { [ "$failed" -gt 0 ] || [ "$passed" = 0 ]; } && code=1
    echo "$passed passed, $failed failed, $skipped skipped"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { echo "test.sh: $*"; }
fail() { say "$*" >&2; exit 1; }

# initdb and postgres refuse to run as root.
as_postgres() {
    if [ -n "$postgres_user" ]; then (cd / && setpriv --reuid="$postgres_user" --regid="$postgres_user" --init-groups -- "$@"); else "$@"; fi
}

# Newest server among Debian's versioned folders, else the one on the path.
find_postgres() {
    local newest
    newest=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -name postgres 2>/dev/null | sort -V | tail -n 1)
    [ -n "$newest" ] || newest=$(command -v postgres) || return 1
    dirname "$(readlink -f "$newest")"
}

# :: What must be there
missing=()
command -v dotnet >/dev/null || fail "the .NET 10 SDK is missing: https://dotnet.microsoft.com/download/dotnet/10.0"
command -v chromium-headless-shell >/dev/null || missing+=(chromium-headless-shell)
fc-list 2>/dev/null | grep -q . || missing+=(fontconfig fonts-dejavu-core)
command -v redis-server >/dev/null || missing+=(redis-server)
find_postgres >/dev/null || missing+=(postgresql)
command -v softhsm2-util >/dev/null || missing+=(softhsm2)
command -v promtool >/dev/null || missing+=(prometheus)
command -v age >/dev/null || missing+=(age)
command -v sqlite3 >/dev/null || missing+=(sqlite3)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v go >/dev/null || missing+=(golang-go)
[ -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ] || missing+=(golang-golang-x-mod-dev)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "needs ${missing[*]}, and this is not Debian: install what corresponds to these packages"
    [ "$(id -u)" = 0 ] || fail "needs packages that only root can install: sudo apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]}"
    # policy-rc.d: packages must not start services of their own.
    [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && policy=made; }
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; } > "$work/apt.log" 2>&1
    installed=$?
    [ "${policy:-}" = made ] && rm -f /usr/sbin/policy-rc.d
    [ "$installed" = 0 ] || { tail -n 20 "$work/apt.log" >&2; fail "could not install ${missing[*]}"; }
fi

# :: Build
say "building"
dotnet restore KantaGateway.sln --locked-mode -v q || fail "restore failed: package versions and lock files must agree"
dotnet build KantaGateway.sln --no-restore -v q -warnaserror -nodeReuse:false -p:UseSharedCompilation=false || fail "the build failed"

# :: The client packages that vendors use from npm, exactly as locked
for client in fhir-kit fhirclient oauth; do
    npm ci --prefix "tests/KantaGateway.Tests/Clients/$client" --ignore-scripts --no-audit --no-fund > "$work/npm.log" 2>&1 || { tail -n 20 "$work/npm.log" >&2; fail "npm ci failed"; }
done

# :: Databases, on sockets that only this run can reach
password=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
postgres_bin=$(find_postgres) || fail "no PostgreSQL after the installation"
[ "$(id -u)" = 0 ] && postgres_user=postgres
mkdir "$work/postgres" && chmod 711 "$work"
printf '%s' "$password" > "$work/postgres/password"
[ -z "$postgres_user" ] || chown -R "$postgres_user" "$work/postgres"
as_postgres "$postgres_bin/initdb" -D "$work/postgres/data" -U kanta --auth=scram-sha-256 --pwfile="$work/postgres/password" -E UTF8 --locale=C > "$work/initdb.log" 2>&1 \
    || { cat "$work/initdb.log" >&2; fail "PostgreSQL could not be set up"; }
as_postgres "$postgres_bin/pg_ctl" -D "$work/postgres/data" -l "$work/postgres/log" -w -o "-c listen_addresses='' -c unix_socket_directories='$work/postgres'" start > "$work/pg_ctl.log" 2>&1 \
    || { cat "$work/pg_ctl.log" >&2; fail "PostgreSQL did not start"; }
export KANTA_TEST_POSTGRES="Host=$work/postgres;Username=kanta;Password=$password;Database=postgres"

redis-server --port 0 --unixsocket "$work/redis.sock" --unixsocketperm 700 --requirepass "$password" --save '' --appendonly no --dir "$work" > "$work/redis.log" 2>&1 &
redis_pid=$!
for _ in $(seq 50); do [ -S "$work/redis.sock" ] && break; sleep 0.1; done
[ -S "$work/redis.sock" ] || { cat "$work/redis.log" >&2; fail "Redis did not start"; }
export KANTA_TEST_REDIS="!$work/redis.sock,password=$password"

# :: Test
# Most code of a run is compiled and used a few times: these cost more than they bring there.
export DOTNET_TieredPGO=0 DOTNET_EnableWriteXorExecute=0
attribute() { sed -n "s/.*<Counters[^>]* $2=\"\([0-9]*\)\".*/\1/p" "$1" | head -n 1; }
# Seconds and name of the classes that took longest, from a results file.
slowest() {
    sed -n 's/.*<UnitTestResult [^>]*testName="\([^"(]*\)[^>]* duration="\([^"]*\)".*/\1 \2/p' "$1" \
        | awk '{ split($2, t, ":"); sub(/\.[^.]*$/, "", $1); sub(/^KantaGateway\.[^.]*\./, "", $1); s[$1] += t[1] * 3600 + t[2] * 60 + t[3] } END { for (c in s) printf "%6.0f s  %s\n", s[c], c }' \
        | sort -rn | head -n 12
}
for project in $(grep -l 'Microsoft.NET.Test.Sdk' tests/*/*.csproj); do
    name=$(basename "$project" .csproj)
    say "testing $name"
    timeout 2700 dotnet test "$project" --no-build --nologo -v q --logger "trx;LogFileName=$name.trx" --logger 'console;verbosity=minimal' --results-directory "$work/results"
    code=$?
    results="$work/results/$name.trx"
    if [ ! -s "$results" ]; then
        say "$name ended with code $code and no results" >&2
        failed=$((failed + 1))
        continue
    fi
    slowest "$results"
    bad=$(( $(attribute "$results" failed) + $(attribute "$results" error) + $(attribute "$results" timeout) + $(attribute "$results" aborted) ))
    [ "$code" != 0 ] && [ "$bad" = 0 ] && { say "$name ended with code $code" >&2; bad=1; }
    passed=$((passed + $(attribute "$results" passed)))
    failed=$((failed + bad))
    skipped=$((skipped + $(attribute "$results" total) - $(attribute "$results" executed)))
done
