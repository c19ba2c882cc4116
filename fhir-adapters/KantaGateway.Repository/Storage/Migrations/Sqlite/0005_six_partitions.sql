-- A file has no partitions.
SELECT 1;
