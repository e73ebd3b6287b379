/**
 * The one way to the server: a call names its method and path, and a failure of any kind is an
 * `ApiError` with something that a person can read.
 */
import type * as T from './types';

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string | null
  ) {
    super(message);
    this.name = 'ApiError';
  }

  /** The server was not reached at all: the same call may be tried again. */
  get offline(): boolean {
    return this.status === 0;
  }
}

/** The app is inside of another application's page: it has a session of its own and no cookie. */
export const EMBEDDED = location.pathname.startsWith('/embed/');

let bearer: string | null = null;

/** The session of who came through an embedding application; in memory alone. */
export function signInWith(secret: string | null): void {
  bearer = secret;
}

/** As `fetch`, by whoever this page is for. */
export const fetchAs: typeof fetch = (input, init = {}) => {
  const headers = new Headers(init.headers);
  if (bearer !== null) headers.set('authorization', `Bearer ${bearer}`);
  return fetch(input, { ...init, headers, credentials: EMBEDDED ? 'omit' : 'same-origin' });
};

let signedOut: () => void = () => {};

/** `then` is called when the server says that nobody is signed in. */
export function onSignedOut(then: () => void): void {
  signedOut = then;
}

/** Brings another session where this one is over; false: there is none. */
let renew: (() => Promise<boolean>) | null = null;
export function onSessionOver(then: () => Promise<boolean>): void {
  renew = then;
}

async function failure(response: Response): Promise<ApiError> {
  let message = `${response.status} ${response.statusText}`.trim();
  let code: string | null = null;
  try {
    const body: unknown = await response.json();
    const error = (body as { error?: { message?: string; code?: string | null } }).error;
    if (error?.message) message = error.message;
    code = error?.code ?? null;
  } catch {
    // Not every failure on the way has a body of ours.
  }
  return new ApiError(message, response.status, code);
}

/** There 401 says that a secret is wrong, not that nobody has logged in. */
const ASKS_FOR_SECRETS = ['/login', '/password', '/passkeys/login', '/embed/session'];

async function send(method: string, path: string, body?: BodyInit, type?: string, again = true): Promise<Response> {
  // A page of another origin cannot set this header without being asked first.
  const headers: Record<string, string> = { 'x-terang': '1' };
  if (type) headers['content-type'] = type;
  const by = bearer;
  let response: Response;
  try {
    response = await fetchAs(`/api${path}`, { method, headers, body: body ?? null });
  } catch {
    throw new ApiError('the server cannot be reached', 0, 'offline');
  }
  if (response.ok) return response;
  if (response.status === 401 && renew !== null && again && path !== '/embed/session') {
    // Another call may have brought a session meanwhile, which is not to be thrown away.
    const renewed = (bearer !== null && bearer !== by) || (await renew());
    if (renewed) return send(method, path, body, type, false);
  }
  const error = await failure(response);
  if (response.status === 401 && !ASKS_FOR_SECRETS.includes(path)) signedOut();
  throw error;
}

async function call<R>(method: string, path: string, body?: unknown): Promise<R> {
  const response = await send(
    method,
    path,
    body === undefined ? undefined : JSON.stringify(body),
    body === undefined ? undefined : 'application/json'
  );
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as R;
}

/** Sends a file and tells how much of it is sent, which `fetch` cannot. */
function upload<R>(path: string, file: File, progress: (share: number) => void): Promise<R> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open('POST', `/api${path}`);
    request.setRequestHeader('x-terang', '1');
    request.setRequestHeader('content-type', 'application/octet-stream');
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => failed(new ApiError('the server cannot be reached', 0, 'offline'));
    request.onload = async () => {
      const response = new Response(request.responseText, { status: request.status });
      if (response.ok) return done((await response.json()) as R);
      if (response.status === 401) signedOut();
      failed(await failure(response));
    };
    request.send(file);
  });
}

const get = <R>(path: string) => call<R>('GET', path);
const post = <R>(path: string, body: unknown = {}) => call<R>('POST', path, body);
const patch = <R>(path: string, body: unknown) => call<R>('PATCH', path, body);
const remove = (path: string, body?: unknown) => call<void>('DELETE', path, body);
const id = encodeURIComponent;

/** Servers may wrap a list in an object of one field, or not: both are read. */
async function list<R>(path: string, field: string): Promise<R[]> {
  const body = await get<R[] | Record<string, R[]>>(path);
  return Array.isArray(body) ? body : (body[field] ?? []);
}

export const api = {
  me: () => get<T.Me>('/me'),
  setup: (body: { name: string; email: string; password: string; token?: string }) => post<T.Me>('/setup', body),
  login: (email: string, password: string) => post<unknown>('/login', { email, password }),
  logout: () => post<unknown>('/logout'),
  sessions: () => list<T.Session>('/sessions', 'sessions'),
  identities: () => list<T.Identity>('/identities', 'identities'),
  removeIdentity: (identity: string) => remove(`/identities/${id(identity)}`),
  passkeys: () => list<T.Passkey>('/passkeys', 'passkeys'),
  passkeyChallenge: (purpose: 'login' | 'register') => post<T.Ceremony>('/passkeys/challenge', { purpose }),
  addPasskey: (passkey: T.NewPasskey) => post<unknown>('/passkeys', passkey),
  passkeyLogin: (answer: T.PasskeyLogin) => post<unknown>('/passkeys/login', answer),
  removePasskey: (passkey: string) => remove(`/passkeys/${id(passkey)}`),
  endSession: (session: string) => remove(`/sessions/${id(session)}`),
  password: (old: string, fresh: string) => post<unknown>('/password', { old, new: fresh }),
  saveSettings: (settings: T.UserSettings) => call<T.UserSettings>('PUT', '/settings', settings),
  invitation: (token: string) => get<{ role: T.Role; email?: string | null }>(`/invitations/${id(token)}`),
  accept: (token: string, body: { name: string; email: string; password: string }) =>
    post<T.Me>(`/invitations/${id(token)}`, body),
  deleteAccount: (password?: string) => remove('/me', password === undefined ? {} : { password }),
  embedSession: (app: string, token: string) => post<T.EmbedSession>('/embed/session', { app, token }),
  models: () => list<T.Model>('/models', 'models'),

  chats: (query: { archived?: boolean; folder?: string; before?: string; limit?: number } = {}) => {
    const params = new URLSearchParams();
    params.set('archived', query.archived ? '1' : '0');
    if (query.folder) params.set('folder', query.folder);
    if (query.before) params.set('before', query.before);
    params.set('limit', String(query.limit ?? 50));
    return get<{ chats: T.Chat[]; next: string | null }>(`/chats?${params}`);
  },
  createChat: (body: Partial<Pick<T.Chat, 'title' | 'model' | 'settings' | 'folder_id' | 'temporary'>>) =>
    post<T.Chat>('/chats', body),
  chat: (chat: string) => get<{ chat: T.Chat; messages: T.Message[] }>(`/chats/${id(chat)}`),
  patchChat: (chat: string, body: Partial<T.Chat>) => patch<T.Chat>(`/chats/${id(chat)}`, body),
  deleteChat: (chat: string) => remove(`/chats/${id(chat)}`),
  send: (
    chat: string,
    body: { id: string; parent_id: string | null; content: string; attachments?: string[]; use_tool?: T.ChosenTool }
  ) => post<{ message: T.Message; answer: T.Message }>(`/chats/${id(chat)}/messages`, body),
  answer: (chat: string, message: string) =>
    post<{ answer: T.Message }>(`/chats/${id(chat)}/messages/${id(message)}/answer`),
  continueAnswer: (chat: string, message: string) =>
    post<{ answer: T.Message }>(`/chats/${id(chat)}/messages/${id(message)}/continue`),
  stop: (chat: string, message: string) => post<unknown>(`/chats/${id(chat)}/messages/${id(message)}/stop`),
  deleteMessage: (chat: string, message: string) => remove(`/chats/${id(chat)}/messages/${id(message)}`),

  decide: (chat: string, message: string, call: string, decision: T.Decision) =>
    post<unknown>(`/chats/${id(chat)}/messages/${id(message)}/calls/${id(call)}`, { decision }),
  /** `connect`: with their tools, for which each is connected to. */
  tools: (connect: boolean) => list<T.ToolServer>(`/tools?connect=${connect}`, 'servers'),
  consents: () => list<T.Consent>('/consents', 'consents'),
  takeBack: (consent: string) => remove(`/consents/${id(consent)}`),

  search: (query: string, limit = 20) => list<T.Hit>(`/search?q=${id(query)}&limit=${limit}`, 'hits'),
  folders: () => list<T.Folder>('/folders', 'folders'),
  createFolder: (name: string) => post<T.Folder>('/folders', { name }),
  patchFolder: (folder: string, body: Partial<T.Folder>) => patch<T.Folder>(`/folders/${id(folder)}`, body),
  deleteFolder: (folder: string) => remove(`/folders/${id(folder)}`),

  share: (chat: string) => post<T.Share>(`/chats/${id(chat)}/shares`),
  shares: () => list<T.Share>('/shares', 'shares'),
  endShare: (share: string) => remove(`/shares/${id(share)}`),
  shared: (token: string) => get<T.Shared>(`/shared/${id(token)}`),
  import: async (file: Blob): Promise<T.Imported> => {
    const response = await send('POST', '/import', file, file.type || 'application/octet-stream');
    return (await response.json()) as T.Imported;
  },

  attach: async (file: File): Promise<T.Attachment> => {
    const type = file.type || 'application/octet-stream';
    const response = await send('POST', `/attachments?name=${id(file.name)}`, file, type);
    return (await response.json()) as T.Attachment;
  },

  attachment: async (file: string): Promise<Blob> => (await send('GET', `/attachments/${id(file)}`)).blob(),

  prompts: () => list<T.Prompt>('/prompts', 'prompts'),
  createPrompt: (body: Omit<T.Prompt, 'id'>) => post<T.Prompt>('/prompts', body),
  deletePrompt: (prompt: string) => remove(`/prompts/${id(prompt)}`),
  assistants: () => list<T.Assistant>('/assistants', 'assistants'),
  createAssistant: (body: Omit<T.Assistant, 'id'>) => post<T.Assistant>('/assistants', body),
  patchAssistant: (assistant: string, body: Partial<T.Assistant>) =>
    patch<T.Assistant>(`/assistants/${id(assistant)}`, body),
  deleteAssistant: (assistant: string) => remove(`/assistants/${id(assistant)}`),

  collections: () => list<T.Collection>('/collections', 'collections'),
  collection: (collection: string) => get<T.Collection>(`/collections/${id(collection)}`),
  createCollection: (name: string, description: string) => post<T.Collection>('/collections', { name, description }),
  patchCollection: (collection: string, body: { name?: string; description?: string }) =>
    patch<T.Collection>(`/collections/${id(collection)}`, body),
  deleteCollection: (collection: string) => remove(`/collections/${id(collection)}`),
  searchCollection: (collection: string, query: string) =>
    list<T.FoundPassage>(`/collections/${id(collection)}/search?q=${id(query)}`, 'passages'),
  documents: (collection: string) => get<T.Documents>(`/collections/${id(collection)}/documents`),
  upload: (collection: string, file: File, progress: (share: number) => void) =>
    upload<T.Document>(`/collections/${id(collection)}/documents?name=${id(file.name)}`, file, progress),
  deleteDocument: (document: string) => remove(`/documents/${id(document)}`),
  retryDocument: (document: string) => post<T.Document>(`/documents/${id(document)}/retry`),
  passage: (document: string, number: number) => get<T.ShownPassage>(`/documents/${id(document)}/passages/${number}`),

  keys: () => list<T.Key>('/keys', 'keys'),
  createKey: (name: string) => post<T.Key>('/keys', { name }),
  deleteKey: (key: string) => remove(`/keys/${id(key)}`),

  users: () => list<T.AdminUser>('/admin/users', 'users'),
  patchUser: (user: string, body: { role?: T.Role; disabled?: boolean }) =>
    patch<T.AdminUser>(`/admin/users/${id(user)}`, body),
  invite: (role: T.Role, email?: string) =>
    post<T.Invitation>('/admin/invitations', email ? { role, email } : { role }),
  embeds: () => list<T.EmbedApp>('/admin/embeds', 'apps'),
  createEmbed: (body: T.NewEmbedApp) => post<T.EmbedApp>('/admin/embeds', body),
  patchEmbed: (app: string, body: T.EmbedAppChange) => patch<T.EmbedApp>(`/admin/embeds/${id(app)}`, body),
  deleteEmbed: (app: string) => remove(`/admin/embeds/${id(app)}`),
  toolServers: () => get<T.AdminToolServers>('/admin/tools'),
  createToolServer: (body: T.ToolServerChange) => post<T.AdminToolServer>('/admin/tools', body),
  patchToolServer: (server: string, body: T.ToolServerChange) =>
    patch<T.AdminToolServer>(`/admin/tools/${id(server)}`, body),
  deleteToolServer: (server: string) => remove(`/admin/tools/${id(server)}`),
  testToolServer: (server: string) => post<T.ToolTest>(`/admin/tools/${id(server)}/test`),
  usage: () => get<unknown>('/admin/usage'),
  audit: () => get<unknown>('/admin/audit'),
  health: () => get<unknown>('/admin/health'),
  adminModels: () => get<T.AdminModels>('/admin/models'),
  fetchModel: (model: string) => post<unknown>('/admin/fetch', { model }),
  stopFetch: () => remove('/admin/fetch'),
  removeModel: (model: string) => remove(`/admin/models/${id(model)}`)
};
