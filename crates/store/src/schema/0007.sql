-- Of pictures, how large they are; other files have no pixels.
ALTER TABLE attachments ADD COLUMN width BIGINT;
ALTER TABLE attachments ADD COLUMN height BIGINT;
-- A file goes with the last message that has it, which is looked for among these.
CREATE INDEX messages_with_files ON messages (user_id) WHERE attachments <> '[]';
