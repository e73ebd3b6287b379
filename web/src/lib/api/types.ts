/** The shapes of the server's app API. Times are milliseconds since 1970. */

export type Role = 'owner' | 'admin' | 'member';
export type User = { id: string; name: string; email: string | null; role: Role; created_at: number };

/** What a chat may set of its own; what is absent is the model's default. */
export type ChatSettings = {
  system?: string;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  max_tokens?: number;
  seed?: number;
  /** Collections of documents that it answers from. */
  collections?: string[];
};

/** Kept on the server for a user; the client alone knows its fields. */
export type UserSettings = {
  language?: string;
  theme?: 'system' | 'light' | 'dark';
  model?: string;
  custom_instructions?: string;
  enter_sends?: boolean;
};

export type Me = {
  mode: 'single' | 'accounts';
  setup_needed: boolean;
  /** The account is made only with the token that the server printed. */
  setup_token_needed?: boolean;
  user: User | null;
  settings: UserSettings;
  /** What the identity provider is called that people may log in with. */
  oidc: string | null;
  version: string;
};

export type Model = {
  id: string;
  name: string;
  loaded: boolean;
  context: number | null;
  default: boolean;
};

export type Chat = {
  id: string;
  title: string;
  folder_id: string | null;
  pinned: boolean;
  archived: boolean;
  temporary: boolean;
  model: string | null;
  settings: ChatSettings;
  leaf_id: string | null;
  created_at: number;
  updated_at: number;
};

export type Status = 'done' | 'streaming' | 'stopped' | 'failed' | 'cut';
export type Attachment = { id: string; name: string; mime: string; bytes: number };
export type Usage = { prompt_tokens: number; completion_tokens: number; cached_tokens?: number };

export type Message = {
  id: string;
  chat_id: string;
  parent_id: string | null;
  role: 'user' | 'assistant' | 'system';
  content: string;
  status: Status;
  error: string | null;
  model: string | null;
  attachments: Attachment[];
  /** Passages that the answer was made from. */
  sources?: Source[];
  usage: Usage | null;
  created_at: number;
};

/** A passage as it was called when an answer was made from it; its document may be gone. */
export type Source = {
  number: number;
  document_id: string;
  passage: number;
  name: string;
  page: number | null;
  heading: string | null;
};
export type Collection = {
  id: string;
  name: string;
  description: string;
  documents: number;
  passages: number;
  created_at: number;
};
export type Document = {
  id: string;
  collection_id: string;
  name: string;
  mime: string;
  bytes: number;
  state: 'waiting' | 'reading' | 'ready' | 'failed';
  reason: string | null;
  code: string | null;
  pages: number | null;
  passages: number;
  created_at: number;
};
export type FoundPassage = Omit<Source, 'number'> & { text: string };
export type ShownPassage = {
  document: Document;
  number: number;
  page: number | null;
  heading: string | null;
  before: string;
  text: string;
  after: string;
  previous: number | null;
  next: number | null;
};

export type Hit = {
  chat_id: string;
  title: string;
  message_id: string | null;
  snippet: string;
  updated_at: number;
};

export type Folder = { id: string; name: string; instructions?: string | null };
export type Share = { id: string; token: string; url: string; created_at: number; chat_id?: string; title?: string };
export type Shared = { title: string; messages: Message[] };
export type Session = { id: string; created_at: number; seen_at: number; agent: string; current: boolean };
export type Identity = { id: string; issuer: string; label: string; created_at: number };
export type Passkey = { id: string; name: string; created_at: number; used_at: number | null };
export type Ceremony = { challenge: string; ticket: string; rp_id: string; algorithms: number[]; timeout_ms: number };
export type NewPasskey = {
  name: string;
  ticket: string;
  client_data: string;
  authenticator_data: string;
  public_key: string;
  algorithm: number;
};
export type PasskeyLogin = {
  ticket: string;
  credential: string;
  client_data: string;
  authenticator_data: string;
  signature: string;
};
export type Key = { id: string; name: string; created_at?: number; secret?: string };
export type Prompt = { id: string; name: string; text: string };
export type Assistant = {
  id: string;
  name: string;
  description: string;
  instructions: string;
  model: string | null;
  settings: ChatSettings;
};
export type Imported = { chats: number; messages: number; skipped: { title: string; why: string }[] };
export type AdminUser = User & { disabled: boolean; seen_at?: number | null };
export type Invitation = { token: string; url: string };
/** A model that is on the server's machine or could be. */
export type AdminModel = {
  id: string;
  title: string;
  task: 'generate' | 'embed';
  licence: string | null;
  languages: string[];
  parameters: string | null;
  bytes: number;
  bytes_here: number;
  state: 'installed' | 'partial' | 'available';
  served: boolean;
  loaded: boolean;
  removable: boolean;
  fetchable: boolean;
};
export type AdminModels = {
  models: AdminModel[];
  fetching: { model: string; bytes_done: number; bytes: number } | null;
  last: { model: string; outcome: 'done' | 'stopped' | 'no_space' | 'no_source' | 'failed'; at: number } | null;
};
