-- One row: whose log it is, and how many entries it has. A row that changes with each commit and is seldom read keeps its versions on one page.
CREATE TABLE log (one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one), vkey text NOT NULL, size bigint NOT NULL CHECK (size >= 0)) WITH (fillfactor = 10);

-- Keys begin with the index, so that old entries can go with a partition of theirs.
CREATE TABLE entry (index bigint NOT NULL PRIMARY KEY, tag bytea CHECK (length(tag) = 16), leaf bytea NOT NULL CHECK (length(leaf) = 64), envelope bytea NOT NULL);
CREATE INDEX entry_of_subject ON entry (tag, index) WHERE tag IS NOT NULL;
-- Ciphertext does not compress; trying costs time on each write.
ALTER TABLE entry ALTER COLUMN envelope SET STORAGE EXTERNAL;

-- Full tiles of hashes. Entry bundles are read from the entries.
CREATE TABLE tile (level int NOT NULL, number bigint NOT NULL, hashes bytea NOT NULL CHECK (length(hashes) = 8192), PRIMARY KEY (level, number));
ALTER TABLE tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- One row: the published checkpoint, and the hashes of its unfinished tiles, level by level.
CREATE TABLE checkpoint (one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one), size bigint NOT NULL CHECK (size >= 0), note text NOT NULL, edge bytea NOT NULL) WITH (fillfactor = 10);
ALTER TABLE checkpoint ALTER COLUMN edge SET STORAGE EXTERNAL;

-- What a gateway may do is to read, and to call these two, which are the owner's. The row of the log is the lock: who comes second waits for the first one's commit and then counts on from there, so indices have no gaps.
-- All that is written has arrived before the lock is taken, and it is gone with the statement: no gateway can hold it by being slow.
CREATE FUNCTION append(tags bytea[], leaves bytea[], envelopes bytea[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    start bigint;
BEGIN
    UPDATE log SET size = size + cardinality(leaves) RETURNING size - cardinality(leaves) INTO STRICT start;
    INSERT INTO entry (index, tag, leaf, envelope) SELECT start + n - 1, t, l, e FROM unnest(tags, leaves, envelopes) WITH ORDINALITY AS r (t, l, e, n);
    RETURN start;
END
$$;

-- A checkpoint replaces the one that it was made from, and no other: so there are never two of one size, and none is smaller than one before.
CREATE FUNCTION publish(made_from bigint, made_to bigint, signed text, unfinished bytea, levels int[], numbers bigint[], contents bytea[]) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE checkpoint SET size = made_to, note = signed, edge = unfinished WHERE size = made_from AND made_to > made_from AND made_to <= (SELECT log.size FROM log);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO tile (level, number, hashes) SELECT l, n, c FROM unnest(levels, numbers, contents) AS r (l, n, c);
    RETURN true;
END
$$;
