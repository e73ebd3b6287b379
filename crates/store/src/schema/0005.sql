-- Applications of others that show the chat in a page of theirs, and who comes through them.
CREATE TABLE embeds (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  -- What its tokens are signed with: a secret that both sides know, or its public key.
  verify_key TEXT NOT NULL,
  origins TEXT NOT NULL,
  assistants TEXT NOT NULL DEFAULT '[]',
  disabled BIGINT NOT NULL DEFAULT 0,
  -- Who made it, whose assistants it may offer. No reference: the application outlasts them.
  made_by TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE TABLE embed_users (
  embed_id TEXT NOT NULL REFERENCES embeds (id) ON DELETE CASCADE,
  subject TEXT NOT NULL,
  user_id TEXT NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (embed_id, subject)
);
CREATE TABLE embed_sessions (
  digest TEXT PRIMARY KEY,
  embed_id TEXT NOT NULL REFERENCES embeds (id) ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX embed_sessions_of_user ON embed_sessions (user_id);
CREATE INDEX embed_sessions_of_embed ON embed_sessions (embed_id);
