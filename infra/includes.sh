#!/usr/bin/env bash
# Stores for every include that the CapabilityStatement names and every type that it may lead to a resource that refers to one, and asks
# for it from both sides: 2,700 pairs, of which a test run proves a tenth. A minute or two.
#   infra/includes.sh
# The result of the last run is in infra/includes.last.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
export KANTA_INCLUDES=all KANTA_INCLUDES_REPORT=$PWD/infra/includes.last.txt
printf '%s, commit %s, infra/includes.sh\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" > "$KANTA_INCLUDES_REPORT"
dotnet test tests/KantaGateway.Tests --nologo -v q --filter FullyQualifiedName~IncludeProofTests
cat "$KANTA_INCLUDES_REPORT"
