-- A head moves with every append. With room on its page it is moved there, and no index has to learn of it.
DO $$
BEGIN
    FOR i IN 0..15 LOOP
        EXECUTE format('ALTER TABLE compartment_%s SET (fillfactor = 50)', i);
    END LOOP;
END
$$;
