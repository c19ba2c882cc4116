-- One of the same size replaces what is kept: another policy may ask for cosignatures that it does not have.
CREATE OR REPLACE FUNCTION keep_cosigned(said bytea, of_size bigint, with_lines text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM enter(said);
    INSERT INTO cosigned (size, note) SELECT of_size, with_lines FROM checkpoint WHERE checkpoint.size >= of_size
        ON CONFLICT (one) DO UPDATE SET size = excluded.size, note = excluded.note WHERE cosigned.size <= excluded.size;
    RETURN FOUND;
END
$$;
