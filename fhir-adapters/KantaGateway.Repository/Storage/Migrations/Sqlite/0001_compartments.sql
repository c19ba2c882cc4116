-- IF NOT EXISTS: files from before there were migrations have these tables.
-- Entries apart from bodies: opening a compartment reads all of its entries and none of its bodies. Both by an integer, the
-- compartment's number and the sequence in one: the rows of a record lie together, and the inner pages of the tree hold integers
-- only. Under a longer key they hold whole rows, six to a page, and one of two million bodies lies nine pages deep.
CREATE TABLE IF NOT EXISTS compartment (compartment BLOB NOT NULL PRIMARY KEY, number INTEGER NOT NULL UNIQUE, wrapped BLOB NOT NULL, head INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS body (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS content (compartment BLOB NOT NULL, content BLOB NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (compartment, content)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS part (compartment BLOB NOT NULL, content BLOB NOT NULL, number INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (compartment, content, number));
