#!/usr/bin/env bash
# How long the product's programs take from their start until they are ready, and what memory they keep at rest: the gateway over a repository and a key service that run, as after a restart; and those two.
#   infra/start.sh [TIMES, default 5]     # what infra/release.sh publishes, and the same without compilation ahead; the result goes to infra/start.last.txt
#   BUILT=yes PUBLISHED=FOLDER infra/start.sh   # on what has been made before: infra/dev is built, and FOLDER/true and FOLDER/false are of infra/release.sh publish
# Ready is the first 200 of /health/ready (of the key service /health/live). Memory is the resident set ten seconds later, with nothing asked. Fails where the gateway takes 2 s or more, by the median.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
times=${1:-5}
work=$(mktemp -d /tmp/kanta-start-XXXXXX) host=
trap '[ -z "$host" ] || { kill "$host" 2>/dev/null; wait "$host" 2>/dev/null; }; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
quiet=(--nologo -v q -nodeReuse:false -p:UseSharedCompilation=false)
[ -n "${BUILT:-}" ] || dotnet build infra/dev "${quiet[@]}" > "$work/log" 2>&1 || { tail "$work/log"; exit 1; }
for ahead in true false; do if [ -n "${PUBLISHED:-}" ]; then cp -r "$PUBLISHED/$ahead" "$work/$ahead"; else infra/release.sh publish "$work/$ahead" $ahead; fi; done
port=$((20000 + RANDOM % 8000))
dotnet infra/dev/bin/Debug/net10.0/KantaGateway.Dev.dll --data "$work/data" --port "$port" --sockets --probes 0 --witnesses false > "$work/host.log" 2>&1 & host=$!
for _ in $(seq 900); do grep -qx ready "$work/host.log" && break; sleep 0.1; done
for ahead in true false; do cp "$work/data/gateway.json" "$work/$ahead/gateway/appsettings.json"; done
{
    printf '%s, commit %s, infra/start.sh %s, %s cores, load of the machine meanwhile %s\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$times" "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)"
    python3 infra/start.py "$work" "$port" "$times"
} | tee "$work/said"
cp "$work/said" infra/start.last.txt
! grep -q 'TOO SLOW' "$work/said"
