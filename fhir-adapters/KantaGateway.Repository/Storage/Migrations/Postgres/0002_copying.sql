-- One row while the store is the target of a copy that is not done: where the copy is from.
CREATE TABLE copying (source text NOT NULL PRIMARY KEY);
