-- How far the caller has looked for these entries: what was appended from there on is not appended
-- again. NULL if they are to be appended in any case.
ALTER TABLE queue ADD COLUMN since bigint CHECK (since >= 0);

-- `first` and `count` are of the entries that a call has added itself. `indices` is where each
-- entry of it stands, if some were there already; else NULL. A call that added nothing has no row
-- in `queue`, and shares its `first` with the next one.
ALTER TABLE placed ADD COLUMN indices bigint[];
ALTER TABLE placed DROP CONSTRAINT placed_first_key;
CREATE UNIQUE INDEX placed_first ON placed (first) WHERE count > 0;
