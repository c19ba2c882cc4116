-- One row, once there are witnesses: the largest checkpoint with cosignatures.
CREATE TABLE cosigned (one boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one), size bigint NOT NULL CHECK (size >= 0), note text NOT NULL) WITH (fillfactor = 10);

-- Whichever gateway comes last, what is shown never gets smaller, and is never more than what is published.
CREATE FUNCTION keep_cosigned(said bytea, of_size bigint, with_lines text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM enter(said);
    INSERT INTO cosigned (size, note) SELECT of_size, with_lines FROM checkpoint WHERE checkpoint.size >= of_size
        ON CONFLICT (one) DO UPDATE SET size = excluded.size, note = excluded.note WHERE cosigned.size < excluded.size;
    RETURN FOUND;
END
$$;
