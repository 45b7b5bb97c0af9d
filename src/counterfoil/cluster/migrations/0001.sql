-- The log: what is committed. `log.epoch` is the fence: whoever leads has the newest, and every
-- change of `log` and `published` is made under it.
CREATE TABLE log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    vkey text NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    checkpoint bytea NOT NULL,
    moved_to text
);

-- What readers see: its tiles are in the object store, and its witnesses were asked.
CREATE TABLE published (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    checkpoint bytea NOT NULL
);

-- Who leads, and since when nothing was heard of it. No promise rests on this table.
CREATE TABLE leader (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch bigint NOT NULL DEFAULT 0,
    holder text NOT NULL DEFAULT '',
    beat timestamptz NOT NULL DEFAULT clock_timestamp(),
    trouble text NOT NULL DEFAULT ''
);

-- One row for each call of append: its entries, each behind its length in two bytes. A row goes
-- when the bundles that hold its entries are full, and in the object store.
CREATE TABLE queue (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    count integer NOT NULL CHECK (count > 0),
    entries bytea NOT NULL
);
ALTER TABLE queue ALTER COLUMN entries SET STORAGE EXTERNAL;

-- Where the entries of a call came to stand. Kept for an hour after its queue row, for callers.
CREATE TABLE placed (
    id bigint PRIMARY KEY,
    first bigint NOT NULL UNIQUE,
    count integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX placed_at ON placed (at);

ALTER TABLE queue SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE log SET (fillfactor = 50);
ALTER TABLE published SET (fillfactor = 50);
ALTER TABLE leader SET (fillfactor = 50);

-- A log only grows, and has one root for each size: whoever the client is.
CREATE FUNCTION only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root) THEN
        RAISE EXCEPTION 'a log only grows: % to %', OLD.size, NEW.size
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER log_only_grows BEFORE UPDATE ON log FOR EACH ROW EXECUTE FUNCTION only_grows();
CREATE TRIGGER published_only_grows BEFORE UPDATE ON published
    FOR EACH ROW EXECUTE FUNCTION only_grows();
