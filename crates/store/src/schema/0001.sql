CREATE TABLE users (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT UNIQUE,
  password TEXT,
  role TEXT NOT NULL,
  disabled BIGINT NOT NULL DEFAULT 0,
  settings TEXT NOT NULL DEFAULT '{}',
  created_at BIGINT NOT NULL
);
CREATE TABLE sessions (
  digest TEXT PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  agent TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL
);
CREATE INDEX sessions_of_user ON sessions (user_id);
CREATE TABLE invitations (
  digest TEXT PRIMARY KEY,
  role TEXT NOT NULL,
  email TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
CREATE TABLE folders (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  instructions TEXT,
  created_at BIGINT NOT NULL
);
CREATE INDEX folders_of_user ON folders (user_id);
CREATE TABLE chats (
  seq SERIAL_KEY,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  title TEXT NOT NULL,
  folder_id TEXT REFERENCES folders (id) ON DELETE SET NULL,
  pinned BIGINT NOT NULL DEFAULT 0,
  archived BIGINT NOT NULL DEFAULT 0,
  temporary BIGINT NOT NULL DEFAULT 0,
  model TEXT,
  settings TEXT NOT NULL DEFAULT '{}',
  leaf_id TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX chats_of_user ON chats (user_id, archived, pinned DESC, updated_at DESC, seq DESC);
CREATE INDEX chats_in_folder ON chats (folder_id);
-- A message's identity is its client's choice, so it is one within its chat alone. Parents are not
-- deleted by cascade: a conversation is deeper than SQLite lets cascades go.
CREATE TABLE messages (
  seq SERIAL_KEY,
  chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  parent_id TEXT,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  status TEXT NOT NULL,
  error TEXT,
  model TEXT,
  attachments TEXT NOT NULL DEFAULT '[]',
  prompt_tokens BIGINT,
  completion_tokens BIGINT,
  cached_tokens BIGINT,
  grown_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (chat_id, id),
  FOREIGN KEY (chat_id, parent_id) REFERENCES messages (chat_id, id)
);
CREATE INDEX messages_of_parent ON messages (chat_id, parent_id);
CREATE INDEX messages_unfinished ON messages (status) WHERE status = 'streaming';
CREATE TABLE shares (
  id TEXT PRIMARY KEY,
  token TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
  title TEXT NOT NULL,
  content TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX shares_of_user ON shares (user_id);
CREATE INDEX shares_of_chat ON shares (chat_id);
CREATE TABLE attachments (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  mime TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  data BYTES NOT NULL,
  text TEXT,
  created_at BIGINT NOT NULL
);
CREATE INDEX attachments_of_user ON attachments (user_id);
CREATE TABLE prompts (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  text TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX prompts_of_user ON prompts (user_id);
CREATE TABLE assistants (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  instructions TEXT NOT NULL,
  model TEXT,
  settings TEXT NOT NULL DEFAULT '{}',
  created_at BIGINT NOT NULL
);
CREATE INDEX assistants_of_user ON assistants (user_id);
CREATE TABLE usage_days (
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  day BIGINT NOT NULL,
  model TEXT NOT NULL,
  requests BIGINT NOT NULL,
  prompt_tokens BIGINT NOT NULL,
  completion_tokens BIGINT NOT NULL,
  PRIMARY KEY (user_id, day, model)
);
-- What was done outlasts who did it: no reference to the account.
CREATE TABLE audit (
  seq SERIAL_KEY,
  at BIGINT NOT NULL,
  user_id TEXT,
  action TEXT NOT NULL,
  target TEXT,
  address TEXT
);
--{sqlite
-- The index holds no text of its own. An answer that grows is indexed once, when it is complete.
CREATE VIRTUAL TABLE messages_index USING fts5 (
  content, content = 'messages', content_rowid = 'seq', tokenize = "unicode61 remove_diacritics 0"
);
CREATE TRIGGER messages_indexed AFTER INSERT ON messages WHEN new.status <> 'streaming' BEGIN
  INSERT INTO messages_index (rowid, content) VALUES (new.seq, new.content);
END;
CREATE TRIGGER messages_completed AFTER UPDATE OF content, status ON messages
WHEN old.status = 'streaming' AND new.status <> 'streaming' BEGIN
  INSERT INTO messages_index (rowid, content) VALUES (new.seq, new.content);
END;
CREATE TRIGGER messages_reopened AFTER UPDATE OF content, status ON messages
WHEN old.status <> 'streaming' AND new.status = 'streaming' BEGIN
  INSERT INTO messages_index (messages_index, rowid, content)
  VALUES ('delete', old.seq, old.content);
END;
CREATE TRIGGER messages_changed AFTER UPDATE OF content, status ON messages
WHEN old.status <> 'streaming' AND new.status <> 'streaming' BEGIN
  INSERT INTO messages_index (messages_index, rowid, content)
  VALUES ('delete', old.seq, old.content);
  INSERT INTO messages_index (rowid, content) VALUES (new.seq, new.content);
END;
CREATE TRIGGER messages_unindexed AFTER DELETE ON messages WHEN old.status <> 'streaming' BEGIN
  INSERT INTO messages_index (messages_index, rowid, content)
  VALUES ('delete', old.seq, old.content);
END;
CREATE VIRTUAL TABLE chats_index USING fts5 (
  title, content = 'chats', content_rowid = 'seq', tokenize = "unicode61 remove_diacritics 0"
);
CREATE TRIGGER chats_indexed AFTER INSERT ON chats BEGIN
  INSERT INTO chats_index (rowid, title) VALUES (new.seq, new.title);
END;
CREATE TRIGGER chats_reindexed AFTER UPDATE OF title ON chats BEGIN
  INSERT INTO chats_index (chats_index, rowid, title) VALUES ('delete', old.seq, old.title);
  INSERT INTO chats_index (rowid, title) VALUES (new.seq, new.title);
END;
CREATE TRIGGER chats_unindexed AFTER DELETE ON chats BEGIN
  INSERT INTO chats_index (chats_index, rowid, title) VALUES ('delete', old.seq, old.title);
END;
--}
--{postgres
-- Punctuation parts words, as SQLite's index has it. What is indexed is bounded, since PostgreSQL
-- refuses a text whose words take more than a mebibyte.
CREATE FUNCTION terang_words (text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT to_tsvector('simple', regexp_replace(left($1, 100000), '[[:punct:]]+', ' ', 'g')) $$;
CREATE INDEX messages_index ON messages USING gin (terang_words(content))
WHERE status <> 'streaming';
CREATE INDEX chats_index ON chats USING gin (terang_words(title));
--}
