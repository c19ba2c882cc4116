-- How often the data key of a record was replaced and all of it sealed anew: whoever has it open under the key of before sees that here.
ALTER TABLE compartment ADD COLUMN generation bigint NOT NULL DEFAULT 0;
