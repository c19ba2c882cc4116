-- IF NOT EXISTS: databases from before there were migrations have these tables.
CREATE TABLE IF NOT EXISTS compartment (compartment bytea NOT NULL PRIMARY KEY, wrapped bytea NOT NULL, head bigint NOT NULL)
    PARTITION BY HASH (compartment);
CREATE TABLE IF NOT EXISTS entry (compartment bytea NOT NULL, sequence bigint NOT NULL, sealed bytea NOT NULL, PRIMARY KEY (compartment, sequence))
    PARTITION BY HASH (compartment);
CREATE TABLE IF NOT EXISTS body (compartment bytea NOT NULL, sequence bigint NOT NULL, sealed bytea NOT NULL, PRIMARY KEY (compartment, sequence))
    PARTITION BY HASH (compartment);
CREATE TABLE IF NOT EXISTS content (compartment bytea NOT NULL, content uuid NOT NULL, sequence bigint NOT NULL, PRIMARY KEY (compartment, content))
    PARTITION BY HASH (compartment);
CREATE TABLE IF NOT EXISTS part (compartment bytea NOT NULL, content uuid NOT NULL, number int NOT NULL, sealed bytea NOT NULL, PRIMARY KEY (compartment, content, number))
    PARTITION BY HASH (compartment);

-- Six: 0005 says why. Databases of before have sixteen until then.
DO $$
BEGIN
    FOR i IN 0..5 LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS compartment_%s PARTITION OF compartment FOR VALUES WITH (MODULUS 6, REMAINDER %s)', i, i);
        EXECUTE format('CREATE TABLE IF NOT EXISTS entry_%s PARTITION OF entry FOR VALUES WITH (MODULUS 6, REMAINDER %s)', i, i);
        EXECUTE format('CREATE TABLE IF NOT EXISTS body_%s PARTITION OF body FOR VALUES WITH (MODULUS 6, REMAINDER %s)', i, i);
        EXECUTE format('CREATE TABLE IF NOT EXISTS content_%s PARTITION OF content FOR VALUES WITH (MODULUS 6, REMAINDER %s)', i, i);
        EXECUTE format('CREATE TABLE IF NOT EXISTS part_%s PARTITION OF part FOR VALUES WITH (MODULUS 6, REMAINDER %s)', i, i);
    END LOOP;
END
$$;

-- Ciphertext does not compress; trying costs time on each write.
ALTER TABLE body ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE part ALTER COLUMN sealed SET STORAGE EXTERNAL;
