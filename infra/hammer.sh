#!/usr/bin/env bash
# Hammers two gateways over one repository while a person changes her mind, with bad lines and gateways that are stopped and started; then two
# processes, one of them with the repository, of which one after the other is killed with -9. Every history must be that of one register
# (tests/KantaGateway.Tests/Laws/Hammer/README.md). The same seed gives the same faults and requests, not the same order.
#   infra/hammer.sh [DECLARATIONS, default 600] [KILLS, default 30] [SEED, default 20261128]
# The result of the last campaign is in infra/hammer.last.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
export KANTA_HAMMER_ROUNDS=${1:-600} KANTA_HAMMER_KILLS=${2:-30} KANTA_HAMMER_SEED=${3:-20261128} KANTA_HAMMER_REPORT=$PWD/infra/hammer.last.txt
printf '%s, commit %s, infra/hammer.sh %s %s %s\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$KANTA_HAMMER_ROUNDS" "$KANTA_HAMMER_KILLS" "$KANTA_HAMMER_SEED" > "$KANTA_HAMMER_REPORT"
dotnet test tests/KantaGateway.Tests --nologo -v q --filter FullyQualifiedName~Laws.Hammer
cat "$KANTA_HAMMER_REPORT"
