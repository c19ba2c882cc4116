#!/usr/bin/env bash
# Restores a backup of infra/backup.sh to the places that the configuration names (infra/README.md). Everything is checked before anything is written; what is there is not overwritten.
#   infra/restore.sh CONFIGURATION BACKUP [PART...]   parts: store, keys, gateway; all that the backup has by default
# KANTA_STORE_IDENTITY, KANTA_KEYS_IDENTITY: files of the private keys (age). KANTA_MANIFEST: what backup.sh printed, so that it is known to be that backup.
# KANTA_RESTORE_TO: of PostgreSQL, the time to go to, such as '2026-01-31 03:59:00+00', or newest.
set -euo pipefail
umask 077
export LC_ALL=C
fail() { echo "restore.sh: $*" >&2; exit 1; }

# shellcheck disable=SC2034 # the same file serves backup.sh
store='' postgres='' pgdata='' wal='' key_file='' custody='' further_keys=() audit='' operators='' breach='' notices='' letters='' watched='' emergencies='' clients='' to='' store_recipients='' keys_recipients=''
[ -f "${1:-}" ] && [ -f "${2:-}/manifest" ] || fail "usage: restore.sh CONFIGURATION BACKUP [PART...]"
. "$1"
backup=$(realpath "$2")
shift 2
manifest=$backup/manifest

# :: Whether it is whole, and that backup
[ "$(head -n 1 "$manifest")" = 'KantaGateway backup 1' ] || fail "$manifest is of another version"
sum=$(sha256sum < "$manifest" | cut -d ' ' -f 1)
[ "${KANTA_MANIFEST:-$sum}" = "$sum" ] || fail "KANTA_MANIFEST: this is another backup, or its manifest was changed"
taken=$(sed -n 's/^taken //p' "$manifest")
has() { sed '/^checkpoint$/q' "$manifest" | grep -q "^$1 "; }
if [ $# = 0 ]; then for part in store keys gateway; do ! has "$part" || set -- "$@" "$part"; done; fi
for part in "$@"; do
    has "$part" || fail "the backup has no part $part"
    for archive in "$part" $([ "$part" != gateway ] || ! has keys || echo keys); do
        read -r size expected < <(sed -n "s/^$archive //p" "$manifest")
        [ "$(stat -c %s "$backup/$archive.tar.age")" = "$size" ] && [ "$(sha256sum < "$backup/$archive.tar.age")" = "$expected  -" ] || fail "$backup/$archive.tar.age is not what the manifest says"
    done
done

# :: Whether there is room
free() { for place in "$@"; do [ -z "$place" ] || { [ -d "$place" ] && [ -z "$(ls -A "$place")" ]; } || [ ! -e "$place" ] || fail "$place is there: move it away first"; done; }
for part in "$@"; do
    case $part in
        store) [ -n "$store$pgdata" ] || fail "store or pgdata: where it belongs"
            free "$store" "$pgdata"
            [ -z "$store" ] || free "$store-wal" "$store-shm"
            [ -z "$pgdata" ] || [ -n "${KANTA_RESTORE_TO:-}" ] || fail "KANTA_RESTORE_TO: a time, or newest" ;;
        keys) free "$key_file" "$custody" "${further_keys[@]}" ;;
        gateway) free "$audit" "$operators" "$breach" "$notices" "$letters" "$watched" "$emergencies" "$clients" ;;
    esac
done

trash=()
trap 'rm -rf "${trash[@]}"' EXIT
# A private folder on the disk of a place, into which the archive $1 is decrypted. What does not come to its end is taken away again.
open() {
    mkdir -p "$(dirname "$2")"
    opened=$(mktemp -d "$(dirname "$2")/.restore.XXXXXX")
    trash+=("$opened")
    local identity=${KANTA_STORE_IDENTITY:-}
    [ "$1" != keys ] || identity=${KANTA_KEYS_IDENTITY:-}
    [ -f "$identity" ] || fail "the archive $1 needs $([ "$1" = keys ] && echo KANTA_KEYS_IDENTITY || echo KANTA_STORE_IDENTITY), a file"
    age -d -i "$identity" "$backup/$1.tar.age" | tar -C "$opened" -xpf - --no-same-owner ${3:+"$3"}
}
# From an opened archive to its place, unless the archive or the configuration has none.
put() {
    [ -e "$1" ] && [ -n "$2" ] || return 0
    mkdir -p "$(dirname "$2")"
    [ ! -d "$2" ] || rmdir "$2"
    mv -nT "$1" "$2"
}

for part in "$@"; do
    case $part in
        store) open store "${store:-$pgdata}"; store_in=$opened
            if [ -z "$store" ]; then
                rm -f "$store_in/postmaster.pid"
                {
                    printf "restore_command = 'test -f \"%s/%%f.age\" && age -d -i \"%s\" -o \"%%p\" \"%s/%%f.age\"'\n" "$wal" "$(realpath "$KANTA_STORE_IDENTITY")" "$wal"
                    [ "$KANTA_RESTORE_TO" = newest ] || printf "recovery_target_time = '%s'\nrecovery_target_action = 'promote'\n" "$KANTA_RESTORE_TO"
                } >> "$store_in/postgresql.auto.conf"
                touch "$store_in/recovery.signal"
            fi ;;
        keys) open keys "$key_file"; keys_in=$opened
            # Until the store has told whom it lacks, the key service gives nobody new a number.
            touch "$keys_in/custody/restored" ;;
        gateway) open gateway "$audit"; gateway_in=$opened
            ! has keys || { open keys "$audit" log.key; mv "$opened/log.key" "$gateway_in/audit/log.key"; } ;;
    esac
done

# :: What says that it was restored is there before it is: the gateway records it before it serves.
said="$(basename "$backup") of $taken, $*${KANTA_RESTORE_TO:+ (to $KANTA_RESTORE_TO)}, manifest $sum, $(date -u +%FT%TZ)"
if [ -n "${gateway_in:-}" ]; then
    echo "$said" >> "$gateway_in/audit/restored"
elif [ -d "$audit" ]; then
    echo "$said" >> "$audit/restored"
    sync "$audit/restored" "$audit"
else
    echo "restore.sh: write this line into the file \"restored\" of each gateway's audit folder before it starts: $said"
fi
sync
if [ -n "${gateway_in:-}" ]; then
    # The audit log first, for it has the mark.
    put "$gateway_in/audit" "$audit"
    put "$gateway_in/operators" "$operators"
    # A notice is of a case, and a letter of a notice.
    put "$gateway_in/breach" "$breach"
    put "$gateway_in/notices" "$notices"
    put "$gateway_in/letters" "$letters"
    put "$gateway_in/watched" "$watched"
    put "$gateway_in/emergencies" "$emergencies"
    put "$gateway_in/clients.json" "$clients"
    for place in "$operators" "$breach" "$notices" "$letters" "$emergencies"; do [ -z "$place" ] || mkdir -p "$place"; done
fi
if [ -n "${keys_in:-}" ]; then
    put "$keys_in/key-file" "$key_file"
    put "$keys_in/custody" "$custody"
    for i in "${!further_keys[@]}"; do put "$keys_in/further/$i" "${further_keys[i]}"; done
fi
if [ -n "${store_in:-}" ]; then
    if [ -n "$store" ]; then put "$store_in/repository.db" "$store"; else put "$store_in" "$pgdata"; fi
fi
sync
case ${KANTA_RESTORE_TO:-} in
    '') since=$taken ;;
    newest) since='the time of the last transaction, which the server says when it starts' ;;
    *) since=$(date -u -d "$KANTA_RESTORE_TO" +%FT%TZ) ;;
esac
echo "restored: $*. Records that were written to since then are refused until two operators carry out {\"kind\": \"store-restore\", \"subject\": \"store\", \"content\": \"$since\"}"
