#!/usr/bin/env bash
# Asks two houses the same by every road: in one a part of a person's record is denied, in the other it was never written.
# Both must answer the same bytes but for ids and times. 150 roads a record; the same numbers give the same records.
# Then the same of the repository alone, for every way in which it withholds something: a tenth of the records for each.
#   infra/matrix.sh [RECORDS, default 400] [FIRST number, default 0]
# The result of the last campaign is in infra/matrix.last.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
export KANTA_MATRIX_RECORDS=${1:-400} KANTA_MATRIX_FROM=${2:-0} KANTA_MATRIX_REPORT=$PWD/infra/matrix.last.txt
printf '%s, commit %s, infra/matrix.sh %s %s\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$KANTA_MATRIX_RECORDS" "$KANTA_MATRIX_FROM" > "$KANTA_MATRIX_REPORT"
dotnet test tests/KantaGateway.Tests -c Release --nologo -v q --filter FullyQualifiedName~Laws.Matrix
cat "$KANTA_MATRIX_REPORT"
