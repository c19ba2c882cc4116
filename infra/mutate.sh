#!/usr/bin/env bash
# Changes the rules of consent one place at a time (dotnet-stryker) and asks the tests of consent whether they notice. Fails under 90 %.
# Only the pure tests judge, in a project of their own (infra/mutation), so that a mutant takes seconds; it says too why what survives may.
#   infra/mutate.sh [FILES of the gateway, default Consent/**/*.cs] [CASES of the slow law, default 1000] [AT ONCE, default 2]
# The result of the last run is in infra/mutate.last.txt.
set -euo pipefail
cd "$(dirname "$0")/mutation"
files=${1:-Consent/**/*.cs} at_once=${3:-2}
export KANTA_CONSENT_CASES=${2:-1000} DOTNET_NOLOGO=1
result=../mutate.last.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dotnet tool restore > "$work/restore.log" || { cat "$work/restore.log" >&2; exit 1; }
printf '%s, commit %s, infra/mutate.sh %s %s\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$files" "$KANTA_CONSENT_CASES" > "$result"
code=0
dotnet stryker --config-file stryker-config.json --mutate "$files" --concurrency "$at_once" --skip-version-check --output "$work/out" > "$work/stryker.log" || code=$?
grep -oE '(Killed|Survived|Timeout|[0-9]+ total mutants will be tested|The final mutation score).*' "$work/stryker.log" >> "$result" || { tail -n 30 "$work/stryker.log" >&2; exit 1; }
node summary.js "$work/out/reports/mutation-report.json" >> "$result"
cat "$result"
exit "$code"
