/* Written by scripts/types.mjs from the server's description of its API: change the server's wire types, and run `npm run types`. */

/** Coming by an invitation. */
export type Accept = {
  /** Their address. */
  email: string;
  /** What they are called. */
  name: string;
  /** Their password. */
  password: string;
};

/** A model that is here or could be. */
export type AdminModel = {
  /** Bytes to fetch. */
  bytes: number;
  /** Bytes on the disk. */
  bytes_here: number;
  /** It can be fetched. */
  fetchable: boolean;
  /** Its name. */
  id: string;
  /** Codes of its languages. */
  languages: string[];
  /** Its licence, where it is known. */
  licence: string | null;
  /** It is in memory. */
  loaded: boolean;
  /** Count of its parameters, where it is known. */
  parameters: string | null;
  /** It, or what has arrived of it, can be removed. */
  removable: boolean;
  /** The server has it on offer. */
  served: boolean;
  /** `installed`, `partial` or `available`. */
  state: string;
  /** `generate` or `embed`. */
  task: string;
  /** Its name as its publisher writes it. */
  title: string;
};

/** The models, and what goes on. */
export type AdminModels = {
  fetching: null | FetchRunning;
  last: null | FetchEnded;
  /** The models. */
  models: AdminModel[];
};

/** A server of tools, as those see it who look after it. */
export type AdminToolServer = {
  /** It may be of the server's machine or its network. */
  allow_private: boolean;
  /** The program's arguments. */
  args: string[];
  /** The program. */
  command: string | null;
  /** Milliseconds since 1970. */
  created_at: number;
  /** Whether its tools are offered. */
  enabled: boolean;
  /** Names of variables that the program gets. */
  env: string[];
  /** Why not. */
  error: string | null;
  /** It stands in the settings' file: here it can be switched off and on, and nothing else. */
  given: boolean;
  /** A token is sent. */
  has_token: boolean;
  /** Its identity. */
  id: string;
  /** Variables of the server's own environment that the program gets. */
  inherit: string[];
  kind: null | ToolServerKind;
  /** What it is called. */
  name: string;
  /** Whether it could be reached when it was last tried; null: it was not tried yet. */
  reached: boolean | null;
  /** Longest time of a call, in seconds. */
  timeout_s: number;
  /** Its address. */
  url: string | null;
};

/** Servers of tools. */
export type AdminToolServers = {
  /** Whether who asks may set up programs and servers of the server's own network. */
  may_run_programs: boolean;
  /** By name. */
  servers: AdminToolServer[];
};

/** What everybody used. */
export type AllUsed = {
  /** The newest day first. */
  usage: Used[];
};

/** An answer that grows. */
export type Answer = {
  /** The answer. */
  answer: WebMessage;
};

/** Asks for a challenge. */
export type AskChallenge = {
  /** What for. */
  purpose: ChallengeFor;
};

/** A model with instructions and a name. */
export type Assistant = {
  /** What it is for. */
  description: string;
  /** Its identity. */
  id: string;
  /** What the model is told. */
  instructions: string;
  /** The model; null: the default. */
  model: string | null;
  /** Its name. */
  name: string;
  /** How it answers. */
  settings: ChatSettings;
};

/** An assistant to be made, or what of one is to be changed. */
export type AssistantChange = {
  /** What it is for. */
  description?: string | null;
  /** What the model is told. */
  instructions?: string | null;
  /** The model; null: the default. */
  model?: string | null;
  /** Its name. */
  name?: string | null;
  settings?: null | ChatSettings;
};

/** Assistants. */
export type Assistants = {
  /** By name. */
  assistants: Assistant[];
};

/** A file that belongs to a message. */
export type Attached = {
  /** Its size. */
  bytes: number;
  /** Lines; null: it is no picture. */
  height: number | null;
  /** Its identity. */
  id: string;
  /** Its type. */
  mime: string;
  /** Its name. */
  name: string;
  /** Pixels of a line; null: it is no picture. */
  width: number | null;
};

/** What was done. */
export type Audit = {
  /** The newest first. */
  entries: AuditEntry[];
};

/** Something that was done. */
export type AuditEntry = {
  /** What was done. */
  action: string;
  /** From where. */
  address: string | null;
  /** Milliseconds since 1970. */
  at: number;
  /** Its place, for `before`. */
  id: number;
  /** To whom or what. */
  target: string | null;
  /** Who did it. */
  user_id: string | null;
};

/** A challenge for an authenticator. */
export type Ceremony = {
  /** COSE's numbers of the algorithms that are taken, the one liked best first. */
  algorithms: number[];
  /** What is to be signed, as base64url. */
  challenge: string;
  /** The name that passkeys of this server belong to. */
  rp_id: string;
  /** Comes back with the answer. */
  ticket: string;
  /** Milliseconds within which the answer counts. */
  timeout_ms: number;
};

/** What a challenge is to be for. */
export type ChallengeFor = 'login' | 'register';

/** What of a chat is to be changed. */
export type ChatChange = {
  /** In the archive. */
  archived?: boolean | null;
  /** Another folder; null: none. */
  folder_id?: string | null;
  /** The branch that is shown, by its last message. */
  leaf_id?: string | null;
  /** Another model; null: the default. */
  model?: string | null;
  /** Before the others. */
  pinned?: boolean | null;
  settings?: null | ChatSettings;
  /** Another title. */
  title?: string | null;
};

/** A part of the list of chats. */
export type ChatList = {
  /** Pinned ones first, then the one with the newest message. */
  chats: WebChat[];
  /** Where the list goes on, for `before`. */
  next: string | null;
};

/** How a chat answers; what is left open is as the model's publisher says. */
export type ChatSettings = {
  /** Collections that it answers from, by identity. */
  collections?: string[];
  /** Most tokens of an answer. */
  max_tokens?: number | null;
  /** The same seed gives the same answer. */
  seed?: number | null;
  /** What the model is told first. */
  system?: string | null;
  /** 0 takes the most likely token. */
  temperature?: number | null;
  /** Servers whose tools may be called, by identity. */
  tools?: string[];
  /** Keeps the k most likely. */
  top_k?: number | null;
  /** Keeps the smallest set whose probability reaches this. */
  top_p?: number | null;
};

/** Which tool the next answer must call. */
export type ChosenTool = {
  /** The server; absent with `tool`: any tool of the chat. */
  server_id?: string | null;
  /** The tool. */
  tool?: string | null;
};

/** Documents that belong together. */
export type Collection = {
  /** Milliseconds since 1970. */
  created_at: number;
  /** What is in it. */
  description: string;
  /** How many documents it has. */
  documents: number;
  /** Its identity. */
  id: string;
  /** Its name. */
  name: string;
  /** How many passages those have. */
  passages: number;
};

/** What of a collection is to be changed. */
export type CollectionChange = {
  /** Another description. */
  description?: string | null;
  /** Another name. */
  name?: string | null;
};

/** Collections. */
export type Collections = {
  /** By name. */
  collections: Collection[];
};

/** Something that is allowed for good. */
export type Consent = {
  /** In this chat alone; null: in all. */
  chat_id: string | null;
  /** Milliseconds since 1970. */
  created_at: number;
  /** By which it is taken back. */
  id: string;
  /** The server's name. */
  server: string;
  /** The tool. */
  tool: string;
};

/** What is allowed for good. */
export type Consents = {
  /** The newest first. */
  consents: Consent[];
};

/** A decision on a call. */
export type Decide = {
  /** What. */
  decision: Decision;
};

/** What is decided on a call. */
export type Decision = 'once' | 'chat' | 'always' | 'deny';

/** A document of a collection. */
export type Document = {
  /** Its size. */
  bytes: number;
  /** The same for programs. */
  code: string | null;
  /** The collection it is in. */
  collection_id: string;
  /** Milliseconds since 1970. */
  created_at: number;
  /** Its identity. */
  id: string;
  /** Its type. */
  mime: string;
  /** Its name. */
  name: string;
  /** How many pages it has, if it has pages. */
  pages: number | null;
  /** How many passages it was cut into. */
  passages: number;
  /** Why it cannot be read. */
  reason: string | null;
  /** How far it is. */
  state: DocumentState;
};

/** How far a document is. */
export type DocumentState = 'waiting' | 'reading' | 'ready' | 'failed';

/** Documents. */
export type Documents = {
  /** The newest first. */
  documents: Document[];
  /** How many of their passages were looked at for what they mean; null: no model here does that. */
  encoded: number | null;
};

/** Nothing to tell but that it is done. */
export type Done = {
  /** Always true. */
  ok: boolean;
};

/** An embedding application. */
export type EmbedApp = {
  /** How many accounts came through it. */
  accounts: number;
  /** How its tokens are signed: `HS256`, `RS256` or `ES256`. */
  algorithm: string;
  /** Assistants that it offers. */
  assistants: string[];
  /** Milliseconds since 1970. */
  created_at: number;
  /** Nobody comes through it. */
  disabled: boolean;
  /** Its identity, for which its tokens are made (`aud`). */
  id: string;
  /** What it is called. */
  name: string;
  /** Whose pages may show it. */
  origins: string[];
  /** What its tokens are signed with, once: when it was made here. */
  secret?: string;
  /** The path of its page. */
  url: string;
};

/** What of an embedding application is to be changed. */
export type EmbedAppChange = {
  /** With `new_key`: how it signs from now on. */
  algorithm?: string | null;
  /** Other assistants, all of them. */
  assistants?: string[] | null;
  /** Nobody comes through it, and who has come is out. */
  disabled?: boolean | null;
  /** Another name. */
  name?: string | null;
  /** Another secret or public key; all sessions end. */
  new_key?: boolean;
  /** Other origins, all of them. */
  origins?: string[] | null;
  /** With `new_key`: the public key. */
  public_key?: string | null;
};

/** Embedding applications. */
export type EmbedApps = {
  /** The oldest first. */
  apps: EmbedApp[];
};

/** Coming in through an application. */
export type EmbedLogin = {
  /** The application. */
  app: string;
  /** What it has signed: who comes. */
  token: string;
};

/** A session of who came through an application. */
export type EmbedSession = {
  /** The assistants that the application offers. */
  assistants: Assistant[];
  /** Milliseconds since 1970, when a new one is needed. */
  expires_at: number;
  /** For `Authorization: Bearer`; shown this once. */
  token: string;
};

/** The body of an error. */
export type ErrorBody = {
  /** What happened. */
  error: ErrorDetail;
};

/** What happened. */
export type ErrorDetail = {
  /** A word for programs. */
  code: string | null;
  /** For the person who asked. */
  message: string;
  /** The field that is wrong, if one is. */
  param: string | null;
  /** The kind of error. */
  type: string;
};

/** Which model to fetch. */
export type Fetch = {
  /** Its name. */
  model: string;
};

/** A fetch that has ended. */
export type FetchEnded = {
  /** When. */
  at: number;
  /** The model. */
  model: string;
  /** `done`, `stopped`, `no_space`, `no_source` or `failed`. */
  outcome: string;
};

/** A fetch that goes on. */
export type FetchRunning = {
  /** Of so many. */
  bytes: number;
  /** Bytes that have arrived. */
  bytes_done: number;
  /** The model. */
  model: string;
};

/** A folder of chats. */
export type Folder = {
  /** Its identity. */
  id: string;
  /** What the model is told in each of its chats. */
  instructions: string | null;
  /** Its name. */
  name: string;
};

/** What of a folder is to be changed. */
export type FolderChange = {
  /** Other instructions; null: none. */
  instructions?: string | null;
  /** Another name. */
  name?: string | null;
};

/** Folders. */
export type Folders = {
  /** By name. */
  folders: Folder[];
};

/** A passage that fits a question. */
export type FoundPassage = {
  /** Its document. */
  document_id: string;
  /** The heading under which it begins. */
  heading: string | null;
  /** That document's name. */
  name: string;
  /** The page on which it begins. */
  page: number | null;
  /** Its place in the document, counted from 0. */
  passage: number;
  /** What it says. */
  text: string;
};

/** Passages that fit a question. */
export type FoundPassages = {
  /** The best first. */
  passages: FoundPassage[];
};

/** Something found. */
export type Hit = {
  /** The chat. */
  chat_id: string;
  /** The message; null: the title has the words. */
  message_id: string | null;
  /** Some of the text, with U+0001 before and U+0002 behind each word that was found. */
  snippet: string;
  /** Its title. */
  title: string;
  /** Of the chat. */
  updated_at: number;
};

/** What was found. */
export type Hits = {
  /** Titles first, then messages, those of the newest chats first. */
  hits: Hit[];
};

/** One's identities. */
export type Identities = {
  /** The oldest first. */
  identities: Identity[];
};

/** An identity at a provider, by which one may log in. */
export type Identity = {
  /** Milliseconds since 1970. */
  created_at: number;
  /** By which it is taken off. */
  id: string;
  /** The provider. */
  issuer: string;
  /** What one is called there. */
  label: string;
};

/** What was imported. */
export type Imported = {
  /** How many chats. */
  chats: number;
  /** How many messages. */
  messages: number;
  /** What was not. */
  skipped: Skipped[];
};

/** What an invitation is for. */
export type Invitation = {
  /** For whom alone it is. */
  email: string | null;
  /** What who comes may do. */
  role: UserRole;
};

/** An invitation to be made. */
export type Invite = {
  /** For whom alone it is. */
  email?: string | null;
  /** `admin` or `member`. */
  role: UserRole;
};

/** An invitation that was made; its token is shown once. */
export type Invited = {
  /** The secret. */
  token: string;
  /** The path of the page that takes it. */
  url: string;
};

/** An API key. */
export type Key = {
  /** Tokens of answers so far. */
  completion_tokens: number;
  /** Milliseconds since 1970. */
  created_at: number;
  /** By which it is revoked. */
  id: string;
  /** What it is for. */
  name: string;
  /** Tokens of prompts so far. */
  prompt_tokens: number;
  /** Answers so far. */
  requests: number;
  /** The key itself, once: when it was made. */
  secret?: string;
};

/** API keys. */
export type Keys = {
  /** In the order in which they were made. */
  keys: Key[];
};

/** Deleting one's account. */
export type Leave = {
  /** The password, where there is one. */
  password?: string | null;
};

/** Logging in. */
export type Login = {
  /** The address. */
  email: string;
  /** The password. */
  password: string;
};

/** Who asks, and of what. */
export type Me = {
  /** `single`: nobody logs in; or `accounts`. */
  mode: WebMode;
  /** What the identity provider is called that people may log in with. */
  oidc: string | null;
  /** Their settings. */
  settings: Record<string, unknown>;
  /** Nobody can log in yet: the first account is to be made. */
  setup_needed: boolean;
  /** Making it needs the token from the server's log. */
  setup_token_needed: boolean;
  user: null | User;
  /** The server's version. */
  version: string;
};

/** More of an answer's text, in the stream's event `text`. */
export type MoreText = {
  /** Bytes of UTF-8 before it. */
  at: number;
  /** The text. */
  text: string;
};

/** A chat to be made. */
export type NewChat = {
  /** The folder it lies in. */
  folder_id?: string | null;
  /** The model that answers. */
  model?: string | null;
  settings?: null | ChatSettings;
  /** Is on no list. */
  temporary?: boolean;
  /** Absent: made from the first message. */
  title?: string | null;
};

/** A collection to be made. */
export type NewCollection = {
  /** What is in it. */
  description?: string | null;
  /** Its name. */
  name: string;
};

/** An embedding application to be made. */
export type NewEmbedApp = {
  /** `HS256`, `RS256` or `ES256`. */
  algorithm: string;
  /** Assistants of one's own that it offers. */
  assistants?: string[];
  /** What it is called. */
  name: string;
  /** Whose pages may show it, such as `https://www.example.org`. */
  origins: string[];
  /** In PEM form, for `RS256` and `ES256`. */
  public_key?: string | null;
};

/** A folder to be made. */
export type NewFolder = {
  /** What the model is told in each of its chats. */
  instructions?: string | null;
  /** Its name. */
  name: string;
};

/** An API key to be made. */
export type NewKey = {
  /** What it is for. */
  name: string;
};

/** A new passkey. Bytes are base64url. */
export type NewPasskey = {
  /** `getPublicKeyAlgorithm()`. */
  algorithm: number;
  /** `getAuthenticatorData()`. */
  authenticator_data: string;
  /** `clientDataJSON`. */
  client_data: string;
  /** What its owner calls it. */
  name: string;
  /** `getPublicKey()`. */
  public_key: string;
  /** That of the challenge. */
  ticket: string;
};

/** Another password. */
export type NewPassword = {
  /** The one from now on. */
  new: string;
  /** The one so far. */
  old: string;
};

/** A prompt to be made. */
export type NewPrompt = {
  /** What it is called by. */
  name: string;
  /** The text. */
  text: string;
};

/** A passkey. */
export type Passkey = {
  /** Milliseconds since 1970. */
  created_at: number;
  /** By which it is taken off. */
  id: string;
  /** What its owner calls it. */
  name: string;
  /** When it was last used. */
  used_at: number | null;
};

/** An answer to a challenge. Bytes are base64url. */
export type PasskeyLogin = {
  /** `authenticatorData`. */
  authenticator_data: string;
  /** `clientDataJSON`. */
  client_data: string;
  /** The credential's identity. */
  credential: string;
  /** `signature`. */
  signature: string;
  /** That of the challenge. */
  ticket: string;
};

/** One's passkeys. */
export type Passkeys = {
  /** The oldest first. */
  passkeys: Passkey[];
};

/** A text to begin with. */
export type SavedPrompt = {
  /** Its identity. */
  id: string;
  /** What it is called by. */
  name: string;
  /** The text. */
  text: string;
};

/** Prompts. */
export type SavedPrompts = {
  /** By name. */
  prompts: SavedPrompt[];
};

/** A question to be sent. */
export type Send = {
  /** Identities of files that belong to it. */
  attachments?: string[];
  /** The text. */
  content: string;
  /** An identity of the client's own: sent again, it is the same message. */
  id: string;
  /** What it follows; null: it is a first one. */
  parent_id?: string | null;
  use_tool?: null | ChosenTool;
};

/** A question that is kept, and the place of its answer. */
export type Sent = {
  /** Its answer, which grows. */
  answer: WebMessage;
  /** The question. */
  message: WebMessage;
};

/** How the server is. */
export type ServerHealth = {
  /** Answers that are being made. */
  answers: number;
  /** The database answers. */
  database: boolean;
  /** `sqlite` or `postgres`. */
  database_kind: string;
  /** The first model can answer. */
  model: boolean;
  /** Milliseconds since 1970, when the server started. */
  started_at: number;
  /** The server's version. */
  version: string;
};

/** A session. */
export type Session = {
  /** The browser, as it calls itself. */
  agent: string;
  /** Milliseconds since 1970. */
  created_at: number;
  /** It is the one that asks. */
  current: boolean;
  /** By which it is revoked. */
  id: string;
  /** When it was last used, to the minute. */
  seen_at: number;
};

/** Sessions. */
export type Sessions = {
  /** The one last seen first. */
  sessions: Session[];
};

/** The first account. */
export type Setup = {
  /** Their address. */
  email: string;
  /** What they are called. */
  name: string;
  /** Their password. */
  password: string;
  /** From the server's log, where it is needed. */
  token?: string | null;
};

/** A chat that whoever has its link can read, as it was when it was shared. */
export type Share = {
  /** The chat. */
  chat_id: string;
  /** Milliseconds since 1970. */
  created_at: number;
  /** By which it is revoked. */
  id: string;
  /** Its title. */
  title: string;
  /** What the link holds. */
  token: string;
  /** The path of the page that shows it. */
  url: string;
};

/** A shared chat. */
export type SharedChat = {
  /** The branch that was shown when it was shared. */
  messages: SharedMessage[];
  /** Its title. */
  title: string;
};

/** A message of a shared chat. */
export type SharedMessage = {
  /** The text. */
  content: string;
  /** Milliseconds since 1970. */
  created_at: number;
  /** The model that says it. */
  model: string | null;
  /** `user` or `assistant`. */
  role: string;
};

/** Shares. */
export type Shares = {
  /** The newest first. */
  shares: Share[];
};

/** A passage where it stands in its document. */
export type ShownPassage = {
  /** Some of what stands after it. */
  after: string;
  /** Some of what stands before it. */
  before: string;
  /** The document. */
  document: Document;
  /** The heading under which it begins. */
  heading: string | null;
  /** The passage after it. */
  next: number | null;
  /** Its place in the document, counted from 0. */
  number: number;
  /** The page on which it begins. */
  page: number | null;
  /** The passage before it. */
  previous: number | null;
  /** What it says. */
  text: string;
};

/** A chat that could not be imported. */
export type Skipped = {
  /** Its title. */
  title: string;
  /** Why. */
  why: string;
};

/** A passage that an answer's prompt held, as it was called then. */
export type Source = {
  /** The document; it may have been deleted since. */
  document_id: string;
  /** The heading under which it begins. */
  heading: string | null;
  /** The document's name. */
  name: string;
  /** The number that the answer may name, counted from 1. */
  number: number;
  /** The page on which the passage begins. */
  page: number | null;
  /** The passage's place in the document, counted from 0. */
  passage: number;
};

/** A server of tools to be set up, or what of one is to be changed. */
export type ToolServerChange = {
  /** It may be of the server's machine or its network. */
  allow_private?: boolean | null;
  /** The program's arguments. */
  args?: string[] | null;
  /** The program: a path, or a name that is looked for in PATH. No shell reads it. */
  command?: string | null;
  /** Whether its tools are offered. */
  enabled?: boolean | null;
  /** Variables that the program gets, all of them. They are not shown again. */
  env?: Record<string, string> | null;
  /** Variables of the server's own environment that the program gets. */
  inherit?: string[] | null;
  kind?: null | ToolServerKind;
  /** What it is called; no two are called the same. */
  name?: string | null;
  /** Longest time of a call, in seconds. */
  timeout_s?: number | null;
  /** Sent as a bearer token; null: none. It is not shown again. */
  token?: string | null;
  /** Its address. */
  url?: string | null;
};

/** How a server of tools is reached. */
export type ToolServerKind = 'stdio' | 'http';

/** The tools of a server that was tried. */
export type ToolTest = {
  /** Why there are none. */
  error: string | null;
  /** Its tools. */
  tools: WebTool[];
};

/** A file that was uploaded. */
export type Uploaded = {
  /** Its size. */
  bytes: number;
  /** Lines; null: it is no picture. */
  height: number | null;
  /** Its identity. */
  id: string;
  /** Its type. */
  mime: string;
  /** Its name. */
  name: string;
  /** Characters of its text, which is read into the prompt. */
  text_chars: number;
  /** Pixels of a line; null: it is no picture. */
  width: number | null;
};

/** What somebody used of a model on a day. */
export type Used = {
  /** Tokens of answers. */
  completion_tokens: number;
  /** The day's beginning in UTC, in milliseconds since 1970. */
  day: number;
  /** The model. */
  model: string;
  /** Tokens of prompts. */
  prompt_tokens: number;
  /** Answers. */
  requests: number;
  /** Who. */
  user_id: string;
};

/** An account. */
export type User = {
  /** Milliseconds since 1970. */
  created_at: number;
  /** May not log in. */
  disabled: boolean;
  /** Their address. */
  email: string | null;
  /** Its identity. */
  id: string;
  /** What they are called. */
  name: string;
  /** What they may do. */
  role: UserRole;
};

/** What of an account is to be changed. */
export type UserChange = {
  /** May not log in. */
  disabled?: boolean | null;
  role?: null | UserRole;
};

/** What somebody may do. */
export type UserRole = 'owner' | 'admin' | 'member';

/** All accounts. */
export type Users = {
  /** The oldest first. */
  users: User[];
};

/** How it is with a call. */
export type WebCallState = 'waiting' | 'running' | 'done' | 'failed' | 'denied' | 'stopped' | 'cut';

/** A chat. */
export type WebChat = {
  /** Stands in the archive. */
  archived: boolean;
  /** Milliseconds since 1970. */
  created_at: number;
  /** The folder it lies in. */
  folder_id: string | null;
  /** Its identity. */
  id: string;
  /** The last message of the branch that is shown. */
  leaf_id: string | null;
  /** The model that answers; null: the default. */
  model: string | null;
  /** Stands before the others. */
  pinned: boolean;
  /** How it answers. */
  settings: ChatSettings;
  /** Is on no list, and is forgotten after a day. */
  temporary: boolean;
  /** Empty until there is a first message. */
  title: string;
  /** Of the last message. */
  updated_at: number;
};

/** A message. */
export type WebMessage = {
  /** Files that belong to it. */
  attachments: Attached[];
  /** The chat. */
  chat_id: string;
  /** The text. */
  content: string;
  /** Milliseconds since 1970. */
  created_at: number;
  /** What went wrong. */
  error: string | null;
  /** Its identity within the chat. */
  id: string;
  /** The model that says it. */
  model: string | null;
  /** What it answers or follows. */
  parent_id: string | null;
  /** Who says it. */
  role: WebRole;
  /** Passages of documents that its prompt held. */
  sources: Source[];
  /** How far it is. */
  status: WebStatus;
  /** Calls of tools that it made, in their order. */
  tool_calls: WebToolCall[];
  usage: null | WebUsage;
};

/** Who the app is for. */
export type WebMode = 'single' | 'accounts';

/** A model that can answer. */
export type WebModel = {
  /** Tokens of its context, once it is in memory. */
  context: number | null;
  /** It answers where a chat names no model. */
  default: boolean;
  /** By which it is asked for. */
  id: string;
  /** It is in memory. */
  loaded: boolean;
  /** What it is called. */
  name: string;
};

/** The models that can answer. */
export type WebModels = {
  /** The default first. */
  models: WebModel[];
};

/** Who says a message. */
export type WebRole = 'user' | 'assistant' | 'system';

/** How far a message is. */
export type WebStatus = 'done' | 'streaming' | 'stopped' | 'failed' | 'cut';

/** A tool. */
export type WebTool = {
  /** What it does, in its server's words. */
  description: string;
  /** By which its server knows it. */
  name: string;
  /** Its server says that it changes nothing. */
  read_only: boolean;
  /** What it is called. */
  title: string | null;
};

/** A call of a tool that belongs to an answer. */
export type WebToolCall = {
  /** JSON, as the model wrote it. */
  arguments: string;
  /** Bytes of the answer's text before it. */
  at: number;
  /** Milliseconds since 1970. */
  created_at: number;
  /** What came back besides text, by name, and what the result says about itself. */
  detail: Record<string, unknown>;
  /** When it ended. */
  ended_at: number | null;
  /** Its identity within the chat. */
  id: string;
  /** What came back, or what went wrong. */
  result: string;
  /** The server's name; empty: there is no such tool. */
  server: string;
  /** How it is with it. */
  state: WebCallState;
  /** The tool. */
  tool: string;
};

/** A server of tools, as everybody sees it. */
export type WebToolServer = {
  /** Why it cannot be used now. */
  error: string | null;
  /** Its identity. */
  id: string;
  /** What it is called. */
  name: string;
  /** Its tools. */
  tools: WebTool[];
};

/** Servers of tools that may be used. */
export type WebToolServers = {
  /** By name. */
  servers: WebToolServer[];
};

/** Tokens that an answer took. */
export type WebUsage = {
  /** Of the prompt, and in the cache already. */
  cached_tokens: number;
  /** Of the answer. */
  completion_tokens: number;
  /** Of the prompt. */
  prompt_tokens: number;
};

/** A chat with all of its messages. */
export type WholeChat = {
  /** The chat. */
  chat: WebChat;
  /** All branches, in the order in which they were made. */
  messages: WebMessage[];
};
