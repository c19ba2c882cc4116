#!/usr/bin/env bash
# Makes what is released, from what git has at HEAD: the three parts (compiled ahead, framework-dependent, linux-x64), an archive of each, their bills of materials and their provenance.
#   infra/release.sh make OUT        # OUT/{gateway,repository,keys}, *.tar, *.cdx.json (CycloneDX), provenance.json (in-toto statement, SLSA provenance v1), SHA256SUMS
#                                    # KANTA_SIGNING_KEY=FILE (P-256, PEM): provenance.dsse.json too, the statement in a signed envelope (DSSE)
#   infra/release.sh verify OUT [PUBLIC_KEY]   # that the archives are those of the provenance, and with a key that it is signed
#   infra/release.sh publish OUT [false]   # the parts alone; with false not compiled ahead
#   infra/release.sh pack OUT        # what vendors are given: NuGet packages of the client and of what it needs of ours, with their symbols
#   infra/release.sh reproduce       # makes all twice, from nothing, and compares every file; the result goes to infra/release.last.txt
# Who has the commit, the SDK of the provenance and this script comes to the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
declare -A project=([gateway]=gateway/KantaGateway.Gateway [repository]=fhir-adapters/KantaGateway.Repository [keys]=fhir-adapters/KantaGateway.Keys)
parts=(gateway repository keys)
# Once: what is committed while it runs is not of this release.
commit=$(git rev-parse HEAD)
# Where it is built belongs to the recipe: the names of tags on a page count the characters of what Razor generates before them, its path included, which no PathMap reaches.
folder=/var/tmp/kanta-release
fail() { echo "release.sh: $*" >&2; exit 1; }
work=""
trap '[ -z "$work" ] || rm -rf "$work" "$folder"' EXIT
begin() {
    mkdir -m 700 "$folder" || fail "$folder is there: another release is being made, or one was cut off"
    work=$(mktemp -d)
}

# The parts, from a copy of the sources: nothing of this working folder gets in.
publish() {
    local out=$1 ahead=${2:-true}
    find "$folder" -mindepth 1 -delete
    mkdir -p "$out"
    git archive "$commit" gateway fhir-adapters Directory.Build.props Directory.Packages.props global.json .editorconfig | tar x -C "$folder"
    # First exactly what is locked, with its hashes. Lock files are of no platform, so restoring for one would have to change them: the same versions are taken then, which are here already.
    for part in "${parts[@]}"; do
        dotnet restore "$folder/${project[$part]}" --locked-mode --nologo -v q -nodeReuse:false > "$out/$part.log" 2>&1 || { tail -n 20 "$out/$part.log" >&2; fail "$part is not what its lock file says"; }
    done
    find "$folder" -name packages.lock.json -delete
    for part in "${parts[@]}"; do
        # Paths of this machine are mapped away; versions are those of Directory.Packages.props, direct and transitive ones.
        dotnet publish "$folder/${project[$part]}" -c Release -r linux-x64 --self-contained false -o "$out/$part" --nologo -v q -nodeReuse:false -p:UseSharedCompilation=false \
            -p:PublishReadyToRun=$ahead -p:ContinuousIntegrationBuild=true -p:DeterministicSourcePaths=false "-p:PathMap=$folder=/_" -p:EnableSourceControlManagerQueries=false "-p:SourceRevisionId=$commit" \
            -p:UseAppHost=false -p:DebugType=none -p:GenerateDocumentationFile=false -p:RunAnalyzers=false -p:EnforceCodeStyleInBuild=false -p:RestorePackagesWithLockFile=false -p:RestoreLockedMode=false > "$out/$part.log" 2>&1 || { tail -n 20 "$out/$part.log" >&2; fail "$part could not be published"; }
        rm "$out/$part.log"
        rm -f "$out/$part"/appsettings*.json "$out/$part"/*.staticwebassets.endpoints.json "$out/$part"/web.config
        # Order, times and owners of the archive follow from the commit alone.
        tar c --sort=name --format=gnu --mtime="@$(git show -s --format=%ct "$commit")" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -C "$out" -f "$out/$part.tar" "$part"
    done
}

# The vendors' client, and the check of receipts that it depends on, from a copy of the sources likewise.
pack() {
    local out=$1
    mkdir -p "$out"
    git archive "$commit" gateway fhir-adapters Directory.Build.props Directory.Packages.props global.json .editorconfig | tar x -C "$folder"
    for name in gateway/KantaGateway.Audit fhir-adapters/KantaGateway.Client; do
        dotnet restore "$folder/$name" --locked-mode --nologo -v q -nodeReuse:false > "$out/log" 2>&1 \
            && dotnet pack "$folder/$name" --no-restore -c Release -o "$out" --nologo -v q -nodeReuse:false -p:UseSharedCompilation=false -p:ContinuousIntegrationBuild=true -p:DeterministicSourcePaths=false "-p:PathMap=$folder=/_" \
                -p:EnableSourceControlManagerQueries=false "-p:SourceRevisionId=$commit" -p:RunAnalyzers=false > "$out/log" 2>&1 || { tail -n 20 "$out/log" >&2; fail "$name could not be packed"; }
    done
    rm "$out/log"
}

# Packages of each part, with versions, hashes and licences, as CycloneDX.
materials() {
    local out=$1
    # Of the restored projects, so of the versions and hashes that are locked.
    dotnet tool restore > /dev/null
    for part in "${parts[@]}"; do
        dotnet restore "${project[$part]}" --locked-mode --nologo -v q -nodeReuse:false > "$out/$part.sbom.log" 2>&1 || { tail -n 20 "$out/$part.sbom.log" >&2; fail "$part is not what its lock file says"; }
        dotnet tool run dotnet-CycloneDX -- "${project[$part]}/KantaGateway.${project[$part]##*.}.csproj" -rs -dpr -ns -sn "kanta-$part" -sv "$(git rev-parse --short "$commit")" -o "$out" -fn "$part.cdx.json" -F Json > "$out/$part.sbom.log" 2>&1 \
            || { tail -n 20 "$out/$part.sbom.log" >&2; fail "no bill of materials of $part"; }
        rm "$out/$part.sbom.log"
    done
}

provenance() {
    python3 - "$1" "$commit" "$(dotnet --version)" <<'PY'
import hashlib, json, pathlib, subprocess, sys
out, commit, sdk = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
digest = lambda file: hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
at = subprocess.check_output(["git", "show", "-s", "--format=%cI", commit], text=True).strip()
# What the build takes from outside, each with the hash that its lock file has.
packages = {}
for lock in subprocess.check_output(["git", "ls-files", "gateway/*packages.lock.json", "fhir-adapters/*packages.lock.json"], text=True).split():
    for framework in json.loads(pathlib.Path(lock).read_text())["dependencies"].values():
        for name, what in framework.items():
            if "contentHash" in what:
                packages[f"pkg:nuget/{name}@{what['resolved']}"] = what["contentHash"]
statement = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": file.name, "digest": {"sha256": digest(file)}} for file in sorted(out.glob("*.tar")) + sorted(out.glob("*.cdx.json"))],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {
        "buildDefinition": {
            "buildType": "https://kanta.example.org/build/release.sh/v1",
            "externalParameters": {"runtime": "linux-x64", "configuration": "Release", "readyToRun": True},
            "internalParameters": {"sdk": sdk},
            "resolvedDependencies": [{"uri": "git+https://kanta.example.org/kanta-gateway", "digest": {"gitCommit": commit}}, {"uri": "infra/release.sh", "digest": {"sha256": digest("infra/release.sh")}}]
                + [{"uri": uri, "digest": {"sha512": __import__("base64").b64decode(packages[uri]).hex()}} for uri in sorted(packages)],
        },
        "runDetails": {"builder": {"id": "https://kanta.example.org/builders/release"}, "metadata": {"invocationId": commit, "startedOn": at}},
    },
}
(out / "provenance.json").write_text(json.dumps(statement, indent=1, sort_keys=True) + "\n")
PY
    if [ -n "${KANTA_SIGNING_KEY:-}" ]; then
        local type=application/vnd.in-toto+json body=$1/provenance.json
        # DSSE's pre-authentication encoding: what is signed names its own type and length.
        { printf 'DSSEv1 %s %s %s ' "${#type}" "$type" "$(stat -c %s "$body")"; cat "$body"; } > "$1/.signed"
        openssl dgst -sha256 -sign "$KANTA_SIGNING_KEY" -out "$1/.signature" "$1/.signed"
        printf '{"payloadType": "%s", "payload": "%s", "signatures": [{"keyid": "%s", "sig": "%s"}]}\n' "$type" "$(base64 -w0 "$body")" "$(openssl pkey -in "$KANTA_SIGNING_KEY" -pubout -outform der | sha256sum | cut -d' ' -f1)" "$(base64 -w0 "$1/.signature")" > "$1/provenance.dsse.json"
        rm "$1/.signed" "$1/.signature"
    fi
    (cd "$1" && sha256sum -- *.tar *.json > SHA256SUMS)
}

verify() {
    python3 - "$1" "${2:-}" <<'PY'
import base64, hashlib, json, pathlib, subprocess, sys, tempfile
out = pathlib.Path(sys.argv[1])
body = (out / "provenance.json").read_bytes()
if sys.argv[2]:
    envelope = json.loads((out / "provenance.dsse.json").read_text())
    body, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    with tempfile.TemporaryDirectory() as folder:
        signed, signature = pathlib.Path(folder, "signed"), pathlib.Path(folder, "signature")
        signed.write_bytes(f"DSSEv1 {len(kind)} {kind} {len(body)} ".encode() + body)
        signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
        if subprocess.run(["openssl", "dgst", "-sha256", "-verify", sys.argv[2], "-signature", str(signature), str(signed)], stdout=subprocess.DEVNULL).returncode:
            sys.exit("release.sh: the provenance is not signed by this key")
wrong = [one["name"] for one in json.loads(body)["subject"] if hashlib.sha256((out / one["name"]).read_bytes()).hexdigest() != one["digest"]["sha256"]]
sys.exit(f"release.sh: not what the provenance says: {', '.join(wrong)}" if wrong else print(f"{len(json.loads(body)['subject'])} files are those of the provenance{', which is signed' if sys.argv[2] else ''}"))
PY
}

case ${1:-} in
    make)
        out=$(realpath -m "${2:?a folder}")
        [ ! -e "$out" ] || fail "$out is there"
        begin
        publish "$out"; materials "$out"; provenance "$out"; verify "$out" ;;
    publish)
        begin
        publish "$(realpath -m "${2:?a folder}")" "${3:-true}" ;;
    pack)
        begin
        pack "$(realpath -m "${2:?a folder}")" ;;
    verify) verify "${2:?a folder}" "${3:-}" ;;
    reproduce)
        begin
        publish "$work/first"
        publish "$work/second"
        openssl ecparam -name prime256v1 -genkey -noout -out "$work/signing.key" && openssl pkey -in "$work/signing.key" -pubout -out "$work/signing.pem"
        materials "$work/first"; KANTA_SIGNING_KEY=$work/signing.key provenance "$work/first"
        {
            printf '%s, commit %s, SDK %s, infra/release.sh reproduce\n' "$(date -u +%F)" "$(git rev-parse --short "$commit")" "$(dotnet --version)"
            for part in "${parts[@]}"; do
                one=$(sha256sum < "$work/first/$part.tar") other=$(sha256sum < "$work/second/$part.tar")
                echo "$part: $(find "$work/first/$part" -type f | wc -l) files, $(du -sm "$work/first/$part" | cut -f1) MiB, $([ "$one" = "$other" ] && echo "the same bytes, archive sha256 ${one%% *}" || echo DIFFERENT)"
                echo "$part: $(python3 -c 'import json, sys; b = json.load(open(sys.argv[1])); print(b["bomFormat"], b["specVersion"] + ",", len(b["components"]), "components,", sum(1 for c in b["components"] if c.get("licenses")), "with a licence")' "$work/first/$part.cdx.json")"
            done
            (cd "$work" && diff -rq first second) | grep -vE 'Only in first: .*(json|SHA256SUMS)$' || true
            verify "$work/first" "$work/signing.pem"
            # And what was changed is noticed.
            printf x >> "$work/first/keys.tar"; verify "$work/first" "$work/signing.pem" 2>&1 | sed 's/^/after a byte was added: /' || true
        } | tee infra/release.last.txt
        ! grep -q DIFFERENT infra/release.last.txt ;;
    *) fail "make OUT, verify OUT [PUBLIC_KEY], publish OUT [false], pack OUT or reproduce" ;;
esac
