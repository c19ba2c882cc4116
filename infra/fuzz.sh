#!/usr/bin/env bash
# Feeds mutated inputs to everything that takes bytes from outside apart: never an unforeseen exception or a 5xx, never
# longer than a second, nothing kept. The same numbers give the same inputs.
#   infra/fuzz.sh [CASES per entry point, default 1000000] [FIRST number, default 0]
# The result of the last campaign is in infra/fuzz.last.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
export KANTA_FUZZ_CASES=${1:-1000000} KANTA_FUZZ_FROM=${2:-0} KANTA_FUZZ_REPORT=$PWD/infra/fuzz.last.txt
printf '%s, commit %s, infra/fuzz.sh %s %s\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$KANTA_FUZZ_CASES" "$KANTA_FUZZ_FROM" > "$KANTA_FUZZ_REPORT"
dotnet test tests/KantaGateway.Tests -c Release --nologo -v q --filter FullyQualifiedName~Fuzzing
cat "$KANTA_FUZZ_REPORT"
