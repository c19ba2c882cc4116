-- Of PostgreSQL alone: here a row is always changed in its place. The numbering is one for both engines.
SELECT 1;
