-- What the log has signed with before, oldest first: [{"key": vkey, "until_size": n}, …]. `vkey` is
-- the key in force, and changes together with this and with `epoch`.
ALTER TABLE log ADD COLUMN earlier jsonb NOT NULL DEFAULT '[]';

-- Key of the log that goes on after this one. Set together with queueing the last entry.
ALTER TABLE log ADD COLUMN following text;
