-- Collections of documents, the passages that documents are cut into, and where these stand in a
-- model's space of meanings. Whose a passage is stands in its own row, so that a search filters by it
-- before it ranks.
CREATE TABLE collections (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX collections_of_user ON collections (user_id);
CREATE TABLE documents (
  seq SERIAL_KEY,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  collection_id TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  mime TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  data BYTES NOT NULL,
  text TEXT,
  state TEXT NOT NULL,
  reason TEXT,
  code TEXT,
  tries BIGINT NOT NULL DEFAULT 0,
  taken_at BIGINT NOT NULL DEFAULT 0,
  pages BIGINT,
  passages BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL
);
CREATE INDEX documents_of_user ON documents (user_id);
CREATE INDEX documents_in_collection ON documents (collection_id, seq);
CREATE INDEX documents_to_read ON documents (user_id, seq) WHERE state IN ('waiting', 'reading');
CREATE TABLE passages (
  seq SERIAL_KEY,
  document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  collection_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  page BIGINT,
  heading TEXT,
  begins BIGINT NOT NULL,
  ends BIGINT NOT NULL,
  content TEXT NOT NULL,
  UNIQUE (document_id, number)
);
CREATE INDEX passages_in_collection ON passages (collection_id);
CREATE TABLE vectors (
  passage BIGINT PRIMARY KEY REFERENCES passages (seq) ON DELETE CASCADE,
  collection_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  model TEXT NOT NULL,
  codes BYTES NOT NULL,
  scale BIGINT NOT NULL
);
CREATE INDEX vectors_in_collection ON vectors (collection_id, model);
-- What an answer was made from, as it was then: a JSON list.
ALTER TABLE messages ADD COLUMN sources TEXT;
--{sqlite
-- The collection is a column of the index, so that passages of others are not even looked at.
CREATE VIRTUAL TABLE passages_index USING fts5 (
  content, heading, collection_id, content = 'passages', content_rowid = 'seq',
  tokenize = "unicode61 remove_diacritics 0"
);
CREATE TRIGGER passages_indexed AFTER INSERT ON passages BEGIN
  INSERT INTO passages_index (rowid, content, heading, collection_id)
  VALUES (new.seq, new.content, new.heading, new.collection_id);
END;
CREATE TRIGGER passages_unindexed AFTER DELETE ON passages BEGIN
  INSERT INTO passages_index (passages_index, rowid, content, heading, collection_id)
  VALUES ('delete', old.seq, old.content, old.heading, old.collection_id);
END;
--}
--{postgres
CREATE INDEX passages_index ON passages
USING gin (terang_words(COALESCE(heading, '') || ' ' || content));
--}
