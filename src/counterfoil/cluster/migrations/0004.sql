-- The private side of streams: payloads that the vault has encrypted. The keys are not here.
-- `fence` is the writer's; whoever becomes one raises it. `slots` of other generations than
-- `generation` are of a change of epoch that goes on, or is over. Beside it lie notes.
CREATE TABLE streams (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bytea UNIQUE CHECK (octet_length(id) = 32),  -- NULL: it was moved away, and is being removed
    fence bigint NOT NULL DEFAULT 0,
    size bigint NOT NULL DEFAULT 0 CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    generation integer NOT NULL DEFAULT 0,
    tag_epoch bigint NOT NULL DEFAULT 0,
    tagged bigint NOT NULL DEFAULT 0
);
CREATE TABLE stream_notes (
    stream integer REFERENCES streams,
    name text,
    data bytea NOT NULL,
    PRIMARY KEY (stream, name)
);

-- `body` is NULL where it was erased; then it has no slot. `leaf` stays.
CREATE TABLE stream_records (
    stream integer REFERENCES streams,
    position bigint,
    leaf bytea NOT NULL,
    body bytea,
    PRIMARY KEY (stream, position)
);
ALTER TABLE stream_records ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE stream_slots (
    stream integer REFERENCES streams,
    generation integer,
    position bigint,
    slot bytea NOT NULL,
    PRIMARY KEY (stream, generation, position)
);

-- Roots of complete subtrees of 256 ** level leaves, from level 1 on.
CREATE TABLE stream_nodes (
    stream integer REFERENCES streams,
    level integer,
    position bigint,
    hash bytea NOT NULL,
    PRIMARY KEY (stream, level, position)
);

-- Which records are about whom. Those of `tag_epoch` count, and are of the first `tagged` records.
CREATE TABLE stream_tags (
    stream integer REFERENCES streams,
    epoch bigint,
    tag bytea,
    position bigint,
    PRIMARY KEY (stream, epoch, tag, position)
);

-- Files that are private, encrypted by the vault: salts of data sets, models.
CREATE TABLE private_files (
    name text,
    part integer,
    data bytea NOT NULL,
    PRIMARY KEY (name, part)
);
ALTER TABLE private_files ALTER COLUMN data SET STORAGE EXTERNAL;
