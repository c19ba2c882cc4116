-- At most one row: the log's note of what was pruned, and before which index that is.
CREATE TABLE pruned (one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one), before bigint NOT NULL CHECK (before > 0), note text NOT NULL);

-- Leaves stay. What entries were about goes, of all of them or of none: only the oldest, of whole tiles, each of them twelve years old by this server's clock. So also who has taken a whole gateway makes nothing disappear
-- that is kept still. Whether the note is signed the server cannot know; who reads it does.
CREATE FUNCTION prune(said bytea, until bigint, signed text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    begun bigint;
    kept_from bigint := floor(extract(epoch FROM (now() AT TIME ZONE 'UTC') - interval '12 years') * 1000);
    changed bigint;
BEGIN
    IF (SELECT word = sha256(said) FROM log) IS NOT TRUE THEN
        RAISE insufficient_privilege USING MESSAGE = 'not the word of this log';
    END IF;
    LOCK TABLE pruned IN EXCLUSIVE MODE;
    SELECT coalesce(max(before), 0) INTO begun FROM pruned;
    IF until <= begun THEN
        RETURN 0;
    END IF;
    IF until % 256 <> 0 OR until > (SELECT size FROM checkpoint) THEN
        RAISE check_violation USING MESSAGE = 'not where a tile of the published tree ends';
    END IF;
    -- The first eight bytes of an envelope are the time, in milliseconds.
    IF EXISTS (SELECT FROM entry WHERE index >= begun AND index < until AND (length(envelope) < 41 OR ('x' || encode(substring(envelope FROM 1 FOR 8), 'hex'))::bit(64)::bigint > kept_from)) THEN
        RAISE check_violation USING MESSAGE = 'an entry is kept still';
    END IF;
    INSERT INTO pruned (before, note) VALUES (until, signed) ON CONFLICT (one) DO UPDATE SET before = excluded.before, note = excluded.note;
    UPDATE entry SET tag = NULL, envelope = '' WHERE index >= begun AND index < until;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> until - begun THEN
        RAISE check_violation USING MESSAGE = 'an entry is missing';
    END IF;
    RETURN changed;
END
$$;
