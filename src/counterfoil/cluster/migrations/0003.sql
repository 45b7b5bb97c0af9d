-- The index that all who search the log share: which entries are about what. It holds nothing that
-- the log does not, and proves nothing; whoever searches brings it up to date.
CREATE TABLE indexed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32)
);
ALTER TABLE indexed SET (fillfactor = 50);
INSERT INTO indexed (size, root) VALUES (0, sha256(''));

-- Each statement, where it first stands: SHA-256 of the entry.
CREATE TABLE statements (position bigint PRIMARY KEY, digest bytea NOT NULL UNIQUE);

-- What it is found by: SHA-256 of a subject, issuer or predicate. Names themselves may be longer
-- than PostgreSQL indexes, and hold characters that its text does not.
CREATE TABLE names (name bytea, position bigint, PRIMARY KEY (name, position));
