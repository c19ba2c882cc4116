-- SHA-256 of what only a holder of the log's key can say. The password of the gateways' role reads with it alone: without the word nothing is appended, nothing is published, and no row is locked.
ALTER TABLE log ADD COLUMN word bytea CHECK (length(word) = 32);

-- Whoever calls it and does not end the transaction, as a part does that stands still in the middle of a commit, holds the head no longer than this.
CREATE FUNCTION enter(said bytea) RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (SELECT word = sha256(said) FROM log) IS NOT TRUE THEN
        RAISE insufficient_privilege USING MESSAGE = 'not the word of this log';
    END IF;
    PERFORM set_config('idle_in_transaction_session_timeout', '3s', true);
    -- From PostgreSQL 17 on.
    PERFORM set_config('transaction_timeout', '10s', true) WHERE current_setting('transaction_timeout', true) IS NOT NULL;
END
$$;

DROP FUNCTION append(bytea[], bytea[], bytea[]);
CREATE FUNCTION append(said bytea, tags bytea[], leaves bytea[], envelopes bytea[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    start bigint;
BEGIN
    PERFORM enter(said);
    -- A person's entries are found by the tag of the row, and belong to whom the envelope says. Of that the form is: time (8), length of the tag (1) with a bit for the receiver, tag, encapsulated key (32), receiver (16), ciphertext.
    -- Before the head is taken: others do not wait for this.
    IF EXISTS (SELECT FROM unnest(tags, leaves, envelopes) AS r (t, l, e) WHERE CASE WHEN length(l) = 64 AND length(e) > 41 THEN
        get_byte(e, 8) & 127 = coalesce(length(t), 0) AND length(e) > 41 + coalesce(length(t), 0) + CASE WHEN get_byte(e, 8) > 127 THEN 16 ELSE 0 END
        AND substring(e FROM 10 FOR coalesce(length(t), 0)) = coalesce(t, '') AND substring(l FROM 33) = sha256(e) END IS NOT TRUE) THEN
        RAISE check_violation USING MESSAGE = 'a row whose tag or leaf is not that of its envelope';
    END IF;
    UPDATE log SET size = size + cardinality(leaves) RETURNING size - cardinality(leaves) INTO STRICT start;
    INSERT INTO entry (index, tag, leaf, envelope) SELECT start + n - 1, t, l, e FROM unnest(tags, leaves, envelopes) WITH ORDINALITY AS r (t, l, e, n);
    RETURN start;
END
$$;

DROP FUNCTION publish(bigint, bigint, text, bytea, int[], bigint[], bytea[]);
CREATE FUNCTION publish(said bytea, made_from bigint, made_to bigint, signed text, unfinished bytea, levels int[], numbers bigint[], contents bytea[]) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM enter(said);
    UPDATE checkpoint SET size = made_to, note = signed, edge = unfinished WHERE size = made_from AND made_to > made_from AND made_to <= (SELECT log.size FROM log);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO tile (level, number, hashes) SELECT l, n, c FROM unnest(levels, numbers, contents) AS r (l, n, c);
    RETURN true;
END
$$;
