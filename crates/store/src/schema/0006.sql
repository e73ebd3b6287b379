-- Servers of tools (MCP), which whoever looks after the server has set up. `secrets` never leave it.
CREATE TABLE tool_servers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  spec TEXT NOT NULL,
  secrets TEXT NOT NULL DEFAULT '{}',
  enabled BIGINT NOT NULL DEFAULT 1,
  version BIGINT NOT NULL DEFAULT 1,
  -- It stands in the settings' file, which alone says how it is reached and whether it is there.
  given BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL
);
-- What a person allowed for good: in one chat, or everywhere. It holds for a tool as it was described
-- then; one that describes itself otherwise is asked about again.
CREATE TABLE tool_consents (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  chat_id TEXT REFERENCES chats (id) ON DELETE CASCADE,
  server_id TEXT NOT NULL REFERENCES tool_servers (id) ON DELETE CASCADE,
  tool TEXT NOT NULL,
  digest TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX tool_consents_once
ON tool_consents (user_id, COALESCE(chat_id, ''), server_id, tool);
CREATE INDEX tool_consents_of_chat ON tool_consents (chat_id);
-- A call outlasts the server of its tool: it names it, and does not refer to it.
CREATE TABLE tool_calls (
  seq SERIAL_KEY,
  chat_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  round BIGINT NOT NULL,
  at_byte BIGINT NOT NULL,
  server_id TEXT NOT NULL,
  server TEXT NOT NULL,
  tool TEXT NOT NULL,
  offered TEXT NOT NULL,
  arguments TEXT NOT NULL,
  state TEXT NOT NULL,
  result TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '{}',
  created_at BIGINT NOT NULL,
  ended_at BIGINT,
  UNIQUE (chat_id, id),
  FOREIGN KEY (chat_id, message_id) REFERENCES messages (chat_id, id) ON DELETE CASCADE
);
CREATE INDEX tool_calls_of_message ON tool_calls (chat_id, message_id);
CREATE INDEX tool_calls_open ON tool_calls (state) WHERE state IN ('waiting', 'running');
