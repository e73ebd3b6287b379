// A stand-in for the server while the app is being written: it serves `build/` with the policy of the
// real one and keeps everything in memory. No test runs against it.
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const PORT = Number(process.env.PORT ?? 8090);
const BUILD = fileURLToPath(new URL('../build', import.meta.url));
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; " +
  "connect-src 'self'; manifest-src 'self'; worker-src 'self'; frame-src 'self' blob:; base-uri 'none'; " +
  "form-action 'self'; frame-ancestors 'none'";
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png', '.woff2': 'font/woff2', '.webmanifest': 'application/manifest+json', '.json': 'application/json' };

const ANSWER = `Here is a short tour.

## A heading

Some **bold** text, *italics*, \`code\` and a [link](https://example.org). Money: $5 and $6.

| Fruit | Colour | Price |
| --- | :-: | --: |
| Apple | red | 1.20 |
| Banana | yellow | 0.35 |

\`\`\`rust
/// Adds two numbers.
fn add(a: i32, b: i32) -> i32 {
    let sum = a + b; // no overflow check
    println!("the sum is {sum}");
    sum
}
\`\`\`

Inline $e^{i\\pi} + 1 = 0$ and a block:

$$\\int_0^1 x^2\\,dx = \\frac{1}{3}$$

1. First
2. Second
   - nested
   - more
3. Third

> A quotation, to end with.
`;

const chats = new Map();
const messages = new Map();
const lists = { folders: [], prompts: [], assistants: [], keys: [], shares: [], tools: [], consents: [] };
let settings = {};

const now = () => Date.now();
const seed = (title, days, extra = {}) => {
  const at = now() - days * 86_400_000;
  const id = randomUUID();
  chats.set(id, { id, title, folder_id: null, pinned: false, archived: false, temporary: false, model: null, settings: {}, leaf_id: null, created_at: at, updated_at: at, ...extra });
  messages.set(id, []);
  return id;
};
seed('Nasi goreng for eight', 0, { pinned: true });
for (const [index, title] of ['Explain ownership in Rust', 'Trip to Yogyakarta', 'Draft of a letter', 'Why is the sky blue?', 'SQL window functions', 'Names for a cat'].entries()) seed(title, index * index);
const long = seed('Two thousand messages', 3);
for (let index = 0; index < 2000; index += 1) {
  const all = messages.get(long);
  all.push({ id: randomUUID(), chat_id: long, parent_id: all.at(-1)?.id ?? null, role: index % 2 ? 'assistant' : 'user', content: index % 2 ? `Answer ${index}\n\n${ANSWER.slice(0, 200 + (index * 37) % 900)}` : `Question ${index}?`, status: 'done', error: null, model: 'smollm2:135m', attachments: [], tool_calls: [], usage: null, created_at: now() });
  chats.get(long).leaf_id = all.at(-1).id;
}
lists.prompts.push({ id: '1', name: 'summary', text: 'Summarise this in three sentences:\n' });

function start(message, text) {
  let at = 0;
  message.timer = setInterval(() => {
    at += 7;
    message.content = message.base + text.slice(0, at);
    if (at >= text.length) finish(message, 'done');
  }, 20);
}
function finish(message, status) {
  clearInterval(message.timer);
  message.timer = undefined;
  message.status = status;
  message.usage = { prompt_tokens: 20, completion_tokens: 123, cached_tokens: 0 };
  const chat = chats.get(message.chat_id);
  if (chat && !chat.title) chat.title = 'A short tour';
}
const shown = ({ timer, base, ...message }) => message;
const answerTo = (chat, parent) => {
  const message = { id: randomUUID(), chat_id: chat.id, parent_id: parent, role: 'assistant', content: '', base: '', status: 'streaming', error: null, model: 'smollm2:135m', attachments: [], tool_calls: [], usage: null, created_at: now() };
  messages.get(chat.id).push(message);
  chat.leaf_id = message.id;
  chat.updated_at = now();
  start(message, ANSWER);
  return message;
};

async function route(method, path, query, body, response) {
  const [first, id, sub, mid, action] = path.split('/').slice(2);
  if (first === 'me') return { mode: 'single', setup_needed: false, user: null, settings, version: '0.1.0' };
  if (first === 'settings') return (settings = body);
  if (first === 'models') return { models: [{ id: 'smollm2:135m', name: 'SmolLM2 135M', loaded: true, context: 8192, default: true }, { id: 'qwen', name: 'Qwen2.5 Coder 0.5B', loaded: false, context: 32768, default: false }] };
  if (first === 'search') {
    const wanted = query.get('q').toLowerCase();
    return { hits: [...chats.values()].filter((chat) => chat.title.toLowerCase().includes(wanted)).map((chat) => ({ chat_id: chat.id, title: chat.title, message_id: null, snippet: chat.title.replace(new RegExp(`(${wanted})`, 'i'), '\u0001$1\u0002'), updated_at: chat.updated_at })) };
  }
  if (first === 'sessions') return { sessions: [] };
  if (first === 'admin' && id === 'models') return { models: [{ id: 'smollm2:135m', title: 'SmolLM2 135M Instruct', task: 'generate', licence: 'Apache-2.0', languages: ['en'], parameters: '135M', bytes: 98362432, bytes_here: 98362432, state: 'installed', served: true, loaded: true, removable: false, fetchable: false }, { id: 'all-minilm:l6-v2', title: 'all-MiniLM-L6-v2', task: 'embed', licence: 'Apache-2.0', languages: ['en'], parameters: '23M', bytes: 83319212, bytes_here: 20000000, state: 'partial', served: false, loaded: false, removable: true, fetchable: true }], fetching: null, last: null };
  if (first === 'admin') return id === 'users' ? { users: [{ id: '1', name: 'Budi', email: 'budi@example.org', role: 'owner', created_at: now(), disabled: false }] } : { uptime_s: 12345, events: [{ at: now(), what: 'login', who: 'Budi' }] };
  if (first === 'attachments') return { id: randomUUID(), name: query.get('name'), mime: 'text/plain', bytes: 1234, text_chars: 1000 };
  if (first in lists) {
    if (method === 'GET') return lists[first];
    if (method === 'POST') {
      const made = { id: randomUUID(), created_at: now(), ...(first === 'keys' ? { secret: 'sk-terang-123' } : {}), ...body };
      lists[first].push(made);
      return made;
    }
    lists[first] = lists[first].filter((entry) => entry.id !== id);
    return {};
  }
  if (first !== 'chats') return undefined;
  if (!id) {
    if (method === 'POST') {
      const made = seed('', 0, body);
      return chats.get(made);
    }
    const found = [...chats.values()].filter((chat) => chat.archived === (query.get('archived') === '1') && (!query.get('folder') || chat.folder_id === query.get('folder')));
    found.sort((a, b) => b.pinned - a.pinned || b.updated_at - a.updated_at);
    return { chats: found, next: null };
  }
  const chat = chats.get(id);
  if (!chat) return undefined;
  const all = messages.get(id);
  if (!sub) {
    if (method === 'PATCH') return Object.assign(chat, body);
    if (method === 'DELETE') return chats.delete(id), {};
    return { chat, messages: all.map(shown) };
  }
  if (sub === 'shares') {
    const made = { id: randomUUID(), token: randomUUID(), chat_id: id, title: chat.title, created_at: now() };
    lists.shares.push(made);
    return made;
  }
  if (!mid) {
    const message = { id: body.id, chat_id: id, parent_id: body.parent_id, role: 'user', content: body.content, status: 'done', error: null, model: null, attachments: [], tool_calls: [], usage: null, created_at: now() };
    all.push(message);
    return { message, answer: shown(answerTo(chat, message.id)) };
  }
  const message = all.find((other) => other.id === mid);
  if (action === 'answer') return { answer: shown(answerTo(chat, mid)) };
  if (action === 'stop') return finish(message, 'stopped'), {};
  if (action === 'continue') {
    Object.assign(message, { base: message.content, status: 'streaming' });
    start(message, ' And so on.');
    return { answer: shown(message) };
  }
  if (method === 'DELETE') {
    messages.set(id, all.filter((other) => other.id !== mid));
    return {};
  }
  if (action === 'stream') {
    let at = Number(query.get('from') ?? 0);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const tick = setInterval(() => {
      const bytes = Buffer.from(message.content);
      if (bytes.length > at) {
        response.write(`event: text\ndata: ${JSON.stringify({ at, text: bytes.subarray(at).toString() })}\n\n`);
        at = bytes.length;
      }
      if (message.status !== 'streaming') {
        clearInterval(tick);
        response.end(`event: done\ndata: ${JSON.stringify(shown(message))}\n\n`);
      }
    }, 30);
    response.on('close', () => clearInterval(tick));
    return null;
  }
  return undefined;
}

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname.startsWith('/api/')) {
    let text = '';
    for await (const piece of request) text += piece;
    let body = {};
    try {
      body = JSON.parse(text || '{}');
    } catch {
      // An upload.
    }
    const result = await route(request.method, url.pathname, url.searchParams, body, response);
    if (result === null) return;
    response.writeHead(result === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(result ?? { error: { message: 'there is nothing here', type: 'not_found', code: null, param: null } }));
    return;
  }
  const file = normalize(url.pathname);
  const path = extname(file) ? file : '/index.html';
  try {
    const content = await readFile(join(BUILD, path));
    response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', 'content-security-policy': CSP });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
}).listen(PORT, '127.0.0.1', () => console.log(`http://127.0.0.1:${PORT}`));
