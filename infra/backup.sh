#!/usr/bin/env bash
# Backs up store, keys and audit of a running deployment (infra/README.md says what goes where). Encrypted while it is read, for public keys alone: this machine cannot read its backups.
#   infra/backup.sh CONFIGURATION                 a backup; prints the SHA-256 of its manifest, and its folder
#   infra/backup.sh CONFIGURATION wal PATH NAME   one segment of PostgreSQL's log: archive_command = '.../infra/backup.sh CONFIGURATION wal %p %f'
set -euo pipefail
umask 077
export LC_ALL=C
fail() { echo "backup.sh: $*" >&2; exit 1; }

# shellcheck disable=SC2034 # the same file serves restore.sh
store='' postgres='' pgdata='' wal='' key_file='' custody='' further_keys=() audit='' operators='' breach='' notices='' letters='' watched='' emergencies='' clients='' to='' store_recipients='' keys_recipients=''
[ -f "${1:-}" ] || fail "usage: backup.sh CONFIGURATION"
. "$1"
[ -s "$store_recipients" ] || fail "store_recipients: a file of public keys (age)"
command -v age > /dev/null || fail "apt-get install age"

if [ "${2:-}" = wal ]; then
    [ $# = 4 ] && [ -d "$wal" ] || fail "wal: the folder of the encrypted log"
    sum=$(sha256sum < "$3")
    # PostgreSQL asks again when it did not hear that a segment was taken: the same again is well, another of the same name is not.
    if [ -e "$wal/$4.age" ]; then
        [ "$(cat "$wal/$4.sha256")" = "$sum" ] || fail "$4 is in the archive with another content"
        exit 0
    fi
    echo "$sum" > "$wal/$4.sha256"
    age -R "$store_recipients" -o "$wal/$4.part" < "$3"
    sync "$wal/$4.part" "$wal/$4.sha256"
    mv "$wal/$4.part" "$wal/$4.age"
    sync "$wal"
    exit 0
fi

[ -d "$to" ] || fail "to: the folder of the backups"
[ -z "$key_file" ] || [ -s "$keys_recipients" ] || fail "keys_recipients: a file of public keys (age)"
[ -z "$key_file" ] || ! sort -u "$store_recipients" | grep -v '^#' | grep -qxFf <(grep -v -e '^#' -e '^[[:space:]]*$' "$keys_recipients") || fail "store_recipients and keys_recipients share a key: who holds it would have records and keys"

taken=$(date -u +%FT%TZ)
name=$(date -u -d "$taken" +%Y%m%dT%H%M%SZ)
partial=$to/$name.partial
mkdir "$partial"
trash=("$partial")
trap 'rm -rf "${trash[@]}"' EXIT
printf 'KantaGateway backup 1\ntaken %s\n' "$taken" > "$partial/manifest"

# A private folder inside another, gone at the end.
inside() { temporary=$(mktemp -d "$1/.backup.XXXXXX"); trash+=("$temporary"); }

# Standard input, encrypted for the recipients $2, as the archive $1 of the manifest.
keep() {
    local sum
    sum=$(age -R "$2" | tee "$partial/$1.tar.age" | sha256sum | cut -d ' ' -f 1)
    printf '%s %s %s\n' "$1" "$(stat -c %s "$partial/$1.tar.age")" "$sum" >> "$partial/manifest"
}

# The files named on standard input, of a tree of links, in that order. 1: one grew while it was read; those that may are only added to, and read up to where they ended.
pack() { tar -C "$1" -chf - --no-recursion --warning=no-file-changed -T - || [ $? = 1 ]; }

# Files that are numbered from 1, made whole and never changed, as far as they go without a gap.
numbered() { local n=1; while [ -f "$1/$(printf %08d "$n").$2" ]; do printf '%s/%08d.%s\n' "$3" "$n" "$2"; n=$((n + 1)); done; }

# Whatever of the keys may not change while they are read: the files, and of ceremonies.json the ceremonies, for where the records end is written into it all the time. The keys of an HSM change with them alone.
keys() {
    [ -n "$key_file" ] || return 0
    sha256sum "$key_file" "${further_keys[@]}"
    [ ! -f "$audit/log.key" ] || sha256sum "$audit/log.key"
    sed 's/\],"erased":.*//' "$custody/ceremonies.json"
}
[ -z "$key_file" ] || [ -f "$custody/ceremonies.json" ] || fail "custody: has no ceremonies.json"
keys_before=$(keys)
people() { find "$custody" -maxdepth 1 -name 'people-*' | sort; }

# :: The store first: whatever it has, keys and audit log have too when they are read after it.
if [ -n "$store" ]; then
    # One read transaction, so one moment. The copy is of what lies beside it: ciphertext and wrapped keys.
    inside "$(dirname "$store")"
    sqlite3 -readonly -cmd '.timeout 10000' "$store" "VACUUM INTO '${temporary//\'/\'\'}/repository.db'"
    tar -C "$temporary" -cf - repository.db | keep store "$store_recipients"
    rm -r "$temporary"
elif [ -n "$postgres" ]; then
    pg_basebackup -d "$postgres" -D - -Ft -X fetch -c fast | keep store "$store_recipients"
fi

# :: Then the keys: every wrapping key, and every head, that the store has.
if [ -n "$key_file" ]; then
    inside "${TMPDIR:-/tmp}"
    tree=$temporary
    mkdir "$tree/further"
    people_before=$(people)
    ln -s "$(realpath "$key_file")" "$tree/key-file"
    ln -s "$(realpath "$custody")" "$tree/custody"
    [ -z "$audit" ] || ln -s "$(realpath "$audit")/log.key" "$tree/log.key"
    for i in "${!further_keys[@]}"; do ln -s "$(realpath "${further_keys[i]}")" "$tree/further/$i"; done
    {
        # What says where the others end comes before them.
        echo custody/ceremonies.json
        (cd "$tree" && find -L custody -maxdepth 1 \( -name '*.custody' -o -name heads -o -name erased -o -name rotated -o -name 'people-*' \) | sort)
        (cd "$tree" && find key-file log.key further/* 2> /dev/null || true)
    } | pack "$tree" | keep keys "$keys_recipients"
    rm -r "$tree"
    # One register took the place of another, which may be missing.
    [ "$people_before" = "$(people)" ] || fail "the register of people was written anew meanwhile: do it again"
    # A ceremony in between would leave a store and keys that do not fit.
    [ "$keys_before" = "$(keys)" ] || fail "a key ceremony was held meanwhile, or a key was replaced: do it again"
fi

# :: The audit log last: it has every access that the store has, and its checkpoint no more than its rows.
if [ -n "$audit" ]; then
    inside "$audit"
    tree=$temporary
    mkdir -p "$tree/audit/rows"
    # :: What gateways share before the audit log: that a notice was sent stands there before it is.
    if [ -d "$notices" ]; then
        mkdir "$tree/notices"
        # Sealed, and none is changed but the marks of what somebody has done. Looked for the other way round than they are written, so that none is there without what was written before it.
        (cd "$notices" && for part in cases people codes; do [ ! -d "$part" ] || find "$part" -type f ! -name '*.new'; done) | while read -r notice; do
            mkdir -p "$tree/notices/${notice%/*}"
            cat "$notices/$notice" > "$tree/notices/$notice"
        done
    fi
    if [ -d "$letters" ]; then
        mkdir "$tree/letters"
        # Sealed to who prints; whoever has printed takes them away.
        (cd "$letters" && find . -maxdepth 1 -type f -name '*.sealed') | while read -r letter; do
            cat "$letters/$letter" > "$tree/letters/$letter" || [ ! -e "$letters/$letter" ]
        done
    fi
    # Always whole: it takes the place of the one before.
    [ ! -f "$watched" ] || cat "$watched" > "$tree/watched"
    rows=''
    # Without one the log is in PostgreSQL, whose backup has it; here is what stands beside it.
    if [ -f "$audit/log" ]; then
        cat "$audit/checkpoint" > "$tree/audit/checkpoint"
        ln -s "$(realpath "$audit")/log" "$tree/audit/log"
        pruned=$(cat "$audit/pruned" 2> /dev/null || true)
        [ -z "$pruned" ] || cat "$audit/pruned" > "$tree/audit/pruned"
        rows=$(cd "$audit/rows" && find . -type f -printf '%f\n' | grep -x '[0-9]\{12\}' | sort)
        last=${rows##*$'\n'}
        for file in $rows; do [ "$file" = "$last" ] || ln -s "$(realpath "$audit")/rows/$file" "$tree/audit/rows/$file"; done
        # The last file is written to, from front to back. A reader may pass a place before it is written and find what comes after it: a hole, which is damage. Where two readings, one after
        # the other, agree from the front, the first has none.
        cat "$audit/rows/$last" > "$tree/audit/rows/$last"
        cat "$audit/rows/$last" > "$tree/again"
        size=$(stat -c %s "$tree/audit/rows/$last" "$tree/again" | sort -n | head -n 1)
        truncate -s "$size" "$tree/audit/rows/$last" "$tree/again"
        # "... differ: byte 123, line 4", or char, by the language.
        if ! difference=$(cmp "$tree/audit/rows/$last" "$tree/again"); then
            [[ $difference =~ \ differ:\ [a-z]+\ ([0-9]+), ]] || fail "the audit log cannot be read"
            truncate -s $((BASH_REMATCH[1] - 1)) "$tree/audit/rows/$last"
        fi
    fi
    [ -z "$operators" ] || ln -s "$(realpath "$operators")" "$tree/operators"
    [ -z "$breach" ] || ln -s "$(realpath "$breach")" "$tree/breach"
    [ -z "$clients" ] || ln -s "$(realpath "$clients")" "$tree/clients.json"
    if [ -d "$emergencies" ]; then
        mkdir "$tree/emergencies"
        # A mark may go while we look.
        (cd "$emergencies" && find . -mindepth 2 -type f) | while read -r mark; do
            mkdir -p "$tree/emergencies/${mark%/*}"
            cat "$emergencies/$mark" > "$tree/emergencies/$mark" || [ ! -e "$emergencies/$mark" ]
        done
    fi
    {
        if [ -f "$audit/log" ]; then printf '%s\n' audit/log audit/checkpoint; else echo audit; fi
        [ ! -f "$tree/audit/pruned" ] || echo audit/pruned
        for file in $rows; do echo "audit/rows/$file"; done
        [ -z "$operators" ] || numbered "$operators" jws operators
        [ -z "$breach" ] || numbered "$breach" json breach | while read -r file; do
            echo "$file"
            [ ! -f "$tree/${file%.json}.end" ] || echo "${file%.json}.end"
            # Its journal, up to the first line that is not there yet.
            step=1
            while line=$(printf '%s-%04d.step' "${file%.json}" "$step") && [ -f "$tree/$line" ]; do
                echo "$line"
                step=$((step + 1))
            done
        done
        [ ! -d "$tree/notices" ] || (cd "$tree" && find notices | sort)
        [ ! -d "$tree/letters" ] || (cd "$tree" && find letters | sort)
        [ ! -f "$tree/watched" ] || echo watched
        [ ! -d "$tree/emergencies" ] || (cd "$tree" && find emergencies | sort)
        [ -z "$clients" ] || echo clients.json
    } | pack "$tree" | keep gateway "$store_recipients"
    # What is missing in the rows has to be what the note says.
    [ ! -f "$audit/log" ] || [ "$pruned" = "$(cat "$audit/pruned" 2> /dev/null || true)" ] || fail "the audit log was pruned meanwhile: do it again"
    [ ! -f "$audit/log" ] || { echo checkpoint; cat "$tree/audit/checkpoint"; } >> "$partial/manifest"
    rm -r "$tree"
fi

sync "$partial"/* "$partial"
mv "$partial" "$to/$name"
sync "$to"
trash=()
echo "manifest $(sha256sum < "$to/$name/manifest" | cut -d ' ' -f 1)"
echo "$to/$name"
