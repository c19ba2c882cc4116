-- Before the server knows which partition a statement needs it locks all that the plan names, and a connection has room for 16 locks that are taken without asking others (fast path,
-- README.locks of PostgreSQL's lock manager): two tables of six partitions and themselves are 14, two of sixteen were 34. Where there are sixteen, what is there is copied: that takes
-- the time and, until it is done, the room of all of it once more. Nobody works in the database meanwhile.
DO $$
DECLARE
    name text;
BEGIN
    IF to_regclass('compartment_15') IS NULL THEN
        RETURN;
    END IF;
    FOREACH name IN ARRAY ARRAY['compartment', 'entry', 'body', 'content', 'part'] LOOP
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
        FOR i IN 0..15 LOOP
            EXECUTE format('ALTER TABLE %I RENAME TO %I', name || '_' || i, name || '_before_' || i);
            EXECUTE format('ALTER INDEX %I RENAME TO %I', name || '_' || i || '_pkey', name || '_before_' || i || '_pkey');
        END LOOP;
        EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_before');
        EXECUTE format('ALTER INDEX %I RENAME TO %I', name || '_pkey', name || '_before_pkey');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY HASH (compartment)', name, name || '_before');
        FOR i IN 0..5 LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 6, REMAINDER %s)', name || '_' || i, name, i);
            IF name = 'compartment' THEN
                EXECUTE format('ALTER TABLE %I SET (fillfactor = 50)', name || '_' || i);
            END IF;
        END LOOP;
        IF name IN ('body', 'part') THEN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN sealed SET STORAGE EXTERNAL', name);
        END IF;
        EXECUTE format('INSERT INTO %I SELECT * FROM %I', name, name || '_before');
        EXECUTE format('DROP TABLE %I', name || '_before');
    END LOOP;
END
$$;
