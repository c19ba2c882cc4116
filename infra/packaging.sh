#!/usr/bin/env bash
# Holds what runs the product, and what vendors are given, against the tools there are: YAML, Compose, Kubernetes' schemas, HAProxy, systemd, images, shell scripts, NuGet. What a tool is missing for is said, and is no success.
#   infra/packaging.sh [quick]  # quick: no images and no NuGet packages, for which the product is compiled; the result goes to infra/packaging.last.txt
#   PUBLISHED=FOLDER infra/packaging.sh   # images of FOLDER/true, which infra/release.sh publish has made before
# Root on Debian: what is missing is installed (yamllint, docker-compose, haproxy, shellcheck, buildah), and from npm Kubernetes' models, which have its schemas.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
work=$(mktemp -d /tmp/kanta-packaging-XXXXXX)
trap 'rm -rf "$work"' EXIT
report=$work/report failed=0
: > "$report"
say() { echo "$*" | tee -a "$report"; }
check() { local name=$1 said; shift; if said=$("$@" 2>&1); then say "ok       $name${said:+: $(tail -n 1 <<< "$said")}"; else say "WRONG    $name"; sed 's/^/         /' <<< "$said" | tail -n 15 | tee -a "$report"; failed=1; fi; }
lacking() { say "not done $1: $2"; }

missing=()
for pair in yamllint:yamllint docker-compose:docker-compose haproxy:haproxy shellcheck:shellcheck buildah:buildah; do command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}"); done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && policy=made; }
    { apt-get update -q; for package in "${missing[@]}"; do DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package"; done; } > "$work/apt.log" 2>&1
    [ "${policy:-}" = made ] && rm -f /usr/sbin/policy-rc.d
fi
say "$(date -u +%F), commit $(git rev-parse --short HEAD)"

# :: YAML
if command -v yamllint > /dev/null; then
    check "yamllint" yamllint -s -d '{extends: default, rules: {line-length: disable, document-start: disable, braces: {max-spaces-inside: 1}, comments: {min-spaces-from-content: 1}, indentation: {indent-sequences: consistent}}}' infra/kubernetes infra/compose
else lacking yamllint "not to be had"; fi

# :: Compose, by its own reader
export KANTA_CONFIG=/etc/kanta KANTA_STATE=/var/lib/kanta KANTA_COPIES=/mnt/copies
for part in GATEWAY REPOSITORY KEYS; do export KANTA_${part}_IMAGE="images.example.org/kanta/${part,,}@sha256:$(printf '0%.0s' $(seq 64))"; done
compose_reads() { docker-compose -f infra/compose/compose.yaml config > "$work/compose.yaml" && echo "$(grep -c 'image:' "$work/compose.yaml") services, $(docker-compose --version)"; }
if command -v docker-compose > /dev/null; then check "docker-compose config" compose_reads; else lacking docker-compose "not to be had"; fi

# :: Kubernetes: rendered, and each object held against the schema of its kind
kustomize_renders() { kubectl kustomize infra/kubernetes > "$work/cluster.yaml" && kubectl kustomize infra/kubernetes/migrate > "$work/migrate.yaml" && echo "$(grep -c '^kind:' "$work/cluster.yaml") and $(grep -c '^kind:' "$work/migrate.yaml") objects, $(kubectl version --client 2>/dev/null | grep Kustomize)"; }
schemas_hold() {
    cat > "$work/schemas.mjs" <<'JS'
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(process.argv[2] + "/");
const yaml = require("js-yaml");
let wrong = 0, seen = {};
for (const file of process.argv.slice(3))
    for (const one of yaml.loadAll(readFileSync(file, "utf8"))) {
        const [group, version] = one.apiVersion.includes("/") ? one.apiVersion.split("/") : ["", one.apiVersion];
        const { [one.kind]: Kind } = await import(`kubernetes-models/${group ? group + "/" : ""}${version}/${one.kind}`);
        try { new Kind(one).validate(); seen[one.kind] = (seen[one.kind] ?? 0) + 1; }
        catch (e) { wrong++; console.log(`${one.kind} ${one.metadata.name}: ${e.message}`); }
    }
console.log(Object.entries(seen).map(([kind, n]) => `${n} ${kind}`).join(", "));
process.exit(wrong ? 1 : 0);
JS
    node "$work/schemas.mjs" "$work" "$work/cluster.yaml" "$work/migrate.yaml"
}
nothing_unknown() {
    cat > "$work/types.mjs" <<'JS'
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
const yaml = createRequire(process.argv[2] + "/")("js-yaml");
// As values of their types: TypeScript refuses a member that a literal's type does not know, where a schema takes it.
const lines = [];
for (const file of process.argv.slice(3))
    for (const [n, one] of yaml.loadAll(readFileSync(file, "utf8")).entries()) {
        const [group, version] = one.apiVersion.includes("/") ? one.apiVersion.split("/") : ["", one.apiVersion];
        lines.push(`{ const one: import("kubernetes-models/${group ? group + "/" : ""}${version}/${one.kind}").I${one.kind} = ${JSON.stringify(one)}; void one; }`);
    }
writeFileSync(process.argv[2] + "/objects.ts", lines.join("\n") + "\nexport {};\n");
JS
    node "$work/types.mjs" "$work" "$work/cluster.yaml" "$work/migrate.yaml" && (cd "$work" && npx tsc --noEmit --strict --skipLibCheck --module esnext --target esnext --moduleResolution bundler objects.ts | cut -c 1-200; exit "${PIPESTATUS[0]}")
}
if command -v kubectl > /dev/null; then
    check "kubectl kustomize" kustomize_renders
    if command -v npm > /dev/null && (cd "$work" && npm install --no-audit --no-fund --ignore-scripts kubernetes-models@5 js-yaml@4 typescript@5) > "$work/npm.log" 2>&1; then check "Kubernetes' schemas" schemas_hold; check "Kubernetes' types: no member that is not known" nothing_unknown; else lacking "Kubernetes' schemas" "npm has no kubernetes-models"; fi
else lacking "kubectl kustomize, Kubernetes' schemas" "no kubectl"; fi

# :: Tunnels: HAProxy reads them, with certificates made for it
haproxy_reads() {
    mkdir -p "$work/tunnel/certificate" "$work/run"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$work/tunnel/certificate/tls.pem.key" -out "$work/tunnel/certificate/tls.pem" 2> /dev/null && cp "$work/tunnel/certificate/tls.pem" "$work/tunnel/certificate/ca.pem"
    sed "s|/etc/tunnel|$work/tunnel|g; s|/run/kanta|$work/run|g" "infra/kubernetes/tunnel/$1.cfg" > "$work/$1.cfg" && haproxy -c -f "$work/$1.cfg"
}
if command -v haproxy > /dev/null; then for part in gateway repository keys; do check "haproxy -c, tunnel of the $part" haproxy_reads $part; done; else lacking haproxy "not to be had"; fi

# :: systemd: units are read, and how exposed they are is told; the program is not there
unit_holds() {
    sed 's|/usr/bin/dotnet|/bin/true|' "infra/systemd/kanta-$1.service" > "$work/kanta-$1.service"
    local said; said=$(systemd-analyze verify "$work/kanta-$1.service" 2>&1) && [ -z "$said" ] || { echo "$said"; return 1; }
    systemd-analyze security --offline=true --threshold=20 "$work/kanta-$1.service" 2>&1 | grep -v '^$' | tail -n 1
    systemd-analyze security --offline=true --threshold=20 "$work/kanta-$1.service" > /dev/null 2>&1
}
if command -v systemd-analyze > /dev/null; then for part in gateway repository keys; do check "systemd-analyze verify and security (at most 2.0), $part" unit_holds $part; done; else lacking systemd-analyze "not to be had"; fi

# :: Shell scripts
if command -v shellcheck > /dev/null; then check "shellcheck" shellcheck -S warning infra/packaging.sh infra/release.sh infra/rolling.sh infra/start.sh; else lacking shellcheck "not to be had"; fi

# :: NuGet: the vendors' client as infra/release.sh pack makes it, and the sample of it built on the packages alone, as a vendor's project is
packages_hold() {
    local out=$work/nuget version=1.0.0
    infra/release.sh pack "$out" > /dev/null || return 1
    python3 - "$out" "$version" <<'PY' || return 1
import pathlib, re, sys, xml.etree.ElementTree as xml, zipfile
out, version, wrong = pathlib.Path(sys.argv[1]), sys.argv[2], []
wanted = {"KantaGateway.Client": {"KantaGateway.Audit", "Hl7.Fhir.R4", "Microsoft.Extensions.Http.Resilience", "Microsoft.IdentityModel.JsonWebTokens"}, "KantaGateway.Audit": {"BouncyCastle.Cryptography", "NSec.Cryptography"}}
for name, asked in wanted.items():
    with zipfile.ZipFile(out / f"{name}.{version}.nupkg") as package, zipfile.ZipFile(out / f"{name}.{version}.snupkg") as symbols:
        spec = xml.fromstring(re.sub(r' xmlns="[^"]*"', "", package.read(f"{name}.nuspec").decode("utf-8-sig"), count=1)).find("metadata")
        told = {one.get("id") for one in spec.iter("dependency")}
        files = set(package.namelist())
        wrong += [f"{name} has no {what}" for what, has in {
            "description of its own": spec.findtext("description") not in (None, "", "Package Description"),
            "README": spec.findtext("readme") in files,
            "documentation": f"lib/net10.0/{name}.xml" in files,
            "symbols": f"lib/net10.0/{name}.pdb" in symbols.namelist(),
        }.items() if not has]
        wrong += [f"{name} depends on {one} more" for one in sorted(told - asked)] + [f"{name} does not depend on {one}" for one in sorted(asked - told)]
        wrong += [f"{name} tells where it was made" for file in (package, symbols) for one in file.namelist() if one.endswith((".dll", ".pdb", ".xml", ".nuspec")) and str(pathlib.Path.cwd()).encode() in file.read(one)]
sys.exit("; ".join(wrong) or None)
PY
    mkdir "$work/vendor" && cp tests/KantaGateway.ClientSample/Program.cs "$work/vendor" || return 1
    cat > "$work/vendor/Vendor.csproj" <<XML
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><Nullable>enable</Nullable><TreatWarningsAsErrors>true</TreatWarningsAsErrors></PropertyGroup>
  <ItemGroup><PackageReference Include="KantaGateway.Client" Version="[$version]" /></ItemGroup>
</Project>
XML
    # Ours come from the folder alone, what they need from where this machine has it.
    cat > "$work/vendor/NuGet.config" <<XML
<configuration>
  <packageSources><add key="made" value="$out" /></packageSources>
  <packageSourceMapping><packageSource key="made"><package pattern="KantaGateway.*" /></packageSource><packageSource key="nuget.org"><package pattern="*" /></packageSource></packageSourceMapping>
  <fallbackPackageFolders><add key="here" value="${NUGET_PACKAGES:-$HOME/.nuget/packages}" /></fallbackPackageFolders>
</configuration>
XML
    NUGET_PACKAGES=$work/vendor/packages dotnet build "$work/vendor" --nologo -v q -nodeReuse:false -p:UseSharedCompilation=false || return 1
    # And runs, as far as it does without a gateway's folder.
    dotnet "$work/vendor/bin/Debug/net10.0/Vendor.dll" "$work/nowhere" https://localhost 0 > "$work/vendor/said" 2>&1; grep -q "$work/nowhere/clinics/aurora" "$work/vendor/said" || { tail -n 5 "$work/vendor/said"; return 1; }
    echo "$(find "$out" -name '*.nupkg' -printf '%f ')with symbols, README and what they need; the sample is built on them alone, and runs"
}
if [ "${1:-}" = quick ]; then lacking "NuGet" "quick"; else check "dotnet pack, and a vendor's project on it" packages_hold; fi

# :: Images: built from what is released, on a base that is made here of this machine's runtime, for the real one cannot be fetched everywhere; then run without root on a root that cannot be written to
images_build() {
    local out=$work/out container part
    if [ -n "${PUBLISHED:-}" ]; then cp -r "$PUBLISHED/true" "$out"; else infra/release.sh publish "$out" > /dev/null || return 1; fi
    mkdir -p "$work/base"/{etc,usr/bin,usr/share,tmp,lib,lib64,usr/lib}
    echo 'app:x:1654:1654::/app:/sbin/nologin' > "$work/base/etc/passwd"; echo 'app:x:1654:' > "$work/base/etc/group"
    cp -r "$(dirname "$(readlink -f "${DOTNET:-/usr/bin/dotnet}")")" "$work/base/usr/share/dotnet"; rm -rf "$work/base/usr/share/dotnet"/{sdk,sdk-manifests,packs,templates}
    ln -s ../share/dotnet/dotnet "$work/base/usr/bin/dotnet"
    { find "$work/base/usr/share/dotnet" "$out" \( -name '*.so' -o -name dotnet \) -type f -print0 | xargs -0 ldd 2> /dev/null; ldconfig -p | grep -E 'lib(icuuc|icui18n|icudata|ssl|crypto|gssapi_krb5)\.so\.[0-9]' ; } | grep -oE '/(usr/)?lib[^ ]+' | sort -u | grep -v "^$work" | while read -r file; do [ ! -e "$file" ] || [ -e "$work/base$file" ] || install -D "$(readlink -f "$file")" "$work/base$file"; done
    container=$(buildah from scratch) && buildah copy -q "$container" "$work/base" / > /dev/null && buildah commit -q "$container" kanta-base > /dev/null && buildah rm "$container" > /dev/null || return 1
    for part in gateway repository keys; do buildah bud -q --isolation chroot --build-arg BASE=localhost/kanta-base -f infra/images/Containerfile --target $part -t kanta-$part "$out" > /dev/null || return 1; done
    # Without settings each says what it lacks, which shows that runtime, ICU and the program are whole.
    for part in gateway repository keys; do
        container=$(buildah from localhost/kanta-$part) || return 1
        buildah run --isolation chroot "$container" -- dotnet "KantaGateway.${part^}.dll" > "$work/$part.said" 2>&1
        grep -qE 'section Gateway is missing|No configuration|configuration has no section Keys|Repository options' "$work/$part.said" || { cat "$work/$part.said"; return 1; }
        buildah run --isolation chroot "$container" -- /bin/sh -c true > /dev/null 2>&1 && { echo "$part has a shell"; return 1; }
        buildah rm "$container" > /dev/null
    done
    local user; user=$(buildah inspect --format '{{.OCIv1.Config.User}}' localhost/kanta-keys)
    buildah rmi -a -f > /dev/null 2>&1
    echo "gateway, repository and keys run as $user, have no shell, and say what they lack"
}
if [ "${1:-}" = quick ]; then lacking "images" "quick"; elif command -v buildah > /dev/null; then check "buildah: images on a base of this machine's runtime" images_build; else lacking "images" "no buildah"; fi
lacking "the images' real base" "no registry is reached from here; the release pulls it by its digest"
lacking "Compose, cluster and units at work" "no container engine, no cluster and no running systemd here"

cp "$report" infra/packaging.last.txt
exit $failed
