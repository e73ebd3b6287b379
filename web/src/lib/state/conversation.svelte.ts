/**
 * The open chat: its tree of messages, the branch that is shown, and the answer that is being
 * written. The server makes answers whether or not anybody watches; this only follows them.
 */
import { api, ApiError, fetchAs } from '../api/client';
import { follow } from '../api/stream';
import type { Attachment, Chat, ChatSettings, Decision, Message, ToolCall } from '../api/types';
import { uuidv7 } from '../api/uuid';
import { SvelteMap } from 'svelte/reactivity';
import { chats } from './chats.svelte';
import { attempt, fail } from './toasts.svelte';
import { build, leafWithout, newestLeaf, pathTo, siblings, subtree } from './tree';

/** Text is shown this often while it streams: smooth to the eye, easy on the machine. */
const SHOW_EVERY_MS = 33;
const SAVE_AFTER_MS = 400;

export type Outgoing = { id: string; parent: string | null; text: string; attachments: Attachment[] };

export class Conversation {
  /** Null for a chat that begins with its first message. */
  chat = $state.raw<Chat | null>(null);
  /** The chat that this is or is to be, known before it is loaded: drafts belong to it. */
  key = $state<string | null>(null);
  messages = $state.raw<Message[]>([]);
  leaf = $state<string | null>(null);
  state = $state<'loading' | 'ready' | 'gone' | 'failed'>('ready');
  /** Of a chat that is not there yet; it takes them along when it is made. */
  model = $state<string | null>(null);
  settings = $state<ChatSettings>({});
  temporary = $state(false);
  folder = $state<string | null>(null);
  /** Sent, but not acknowledged: shown as such. */
  outgoing = $state.raw<Outgoing | null>(null);
  waiting = $state(false);
  /** Answers that grow, by their id: text alone changes while one streams, not the tree. */
  readonly live = new SvelteMap<string, string>();
  /** Calls of tools of answers that grow. */
  readonly liveCalls = new SvelteMap<string, ToolCall[]>();
  /** The tool that the next answer is to begin with. */
  useTool = $state.raw<{ server_id: string; tool: string } | null>(null);
  /** A message that was searched for, until the list has shown it. */
  target = $state<string | null>(null);
  /** The answer that ended last, for those who cannot see it. */
  finished = $state.raw<Message | null>(null);

  private followed = new Map<string, AbortController>();
  private saving: ReturnType<typeof setTimeout> | undefined;

  readonly tree = $derived(build(this.messages));
  readonly path = $derived(pathTo(this.tree, this.leaf).filter((message) => message.role !== 'system'));
  readonly streaming = $derived(this.path.findLast((message) => message.status === 'streaming') ?? null);

  get id(): string | null {
    return this.chat?.id ?? null;
  }

  get busy(): boolean {
    return this.streaming !== null || this.outgoing !== null;
  }

  textOf(message: Message): string {
    return this.live.get(message.id) ?? message.content;
  }

  callsOf(message: Message): ToolCall[] {
    return this.liveCalls.get(message.id) ?? message.tool_calls;
  }

  /** The call that waits for the person, if one does. */
  readonly asking = $derived.by(() => {
    const message = this.streaming;
    if (!message) return null;
    return this.callsOf(message).find((call) => call.state === 'waiting') ?? null;
  });

  async decide(message: Message, call: ToolCall, decision: Decision): Promise<void> {
    const chat = message.chat_id;
    await attempt(() => api.decide(chat, message.id, call.id, decision));
  }

  siblingsOf(message: Message): string[] {
    return siblings(this.tree, message.id);
  }

  async load(id: string): Promise<void> {
    this.state = 'loading';
    this.key = id;
    await this.reload(id);
  }

  async reload(id: string): Promise<void> {
    try {
      const { chat, messages } = await api.chat(id);
      this.take(chat);
      this.messages = messages;
      this.leaf = chat.leaf_id;
      this.state = 'ready';
      for (const message of messages) if (message.status === 'streaming') this.watch(message);
    } catch (error) {
      if (this.state !== 'loading') return;
      this.state = error instanceof ApiError && error.status === 404 ? 'gone' : 'failed';
      if (this.state === 'failed') fail(error);
    }
  }

  /** Stops following; the server goes on. */
  close(): void {
    for (const line of this.followed.values()) line.abort();
    this.followed.clear();
    this.flush();
  }

  private take(chat: Chat): void {
    this.chat = chat;
    this.key = chat.id;
    this.model = chat.model;
    this.settings = { ...chat.settings };
    this.temporary = chat.temporary;
    this.folder = chat.folder_id;
  }

  private replace(message: Message): void {
    const known = this.messages.some((other) => other.id === message.id);
    this.messages = known
      ? this.messages.map((other) => (other.id === message.id ? message : other))
      : [...this.messages, message];
  }

  private watch(message: Message): void {
    if (this.followed.has(message.id)) return;
    const line = new AbortController();
    this.followed.set(message.id, line);
    let text = message.content;
    let timer: ReturnType<typeof setTimeout> | undefined;
    this.live.set(message.id, text);
    const end = () => {
      clearTimeout(timer);
      this.waiting = false;
      this.followed.delete(message.id);
      this.live.delete(message.id);
      this.liveCalls.delete(message.id);
    };
    this.liveCalls.set(message.id, message.tool_calls);
    const path = `/api/chats/${encodeURIComponent(message.chat_id)}/messages/${encodeURIComponent(message.id)}/stream`;
    void follow(
      path,
      text,
      {
        text: (piece) => {
          text += piece;
          timer ??= setTimeout(() => {
            timer = undefined;
            if (this.followed.get(message.id) === line) this.live.set(message.id, text);
          }, SHOW_EVERY_MS);
        },
        call: (call) => {
          const calls = this.liveCalls.get(message.id) ?? [];
          const known = calls.some((other) => other.id === call.id);
          this.liveCalls.set(message.id, known ? calls.map((other) => (other.id === call.id ? call : other)) : [...calls, call]);
        },
        done: (final) => {
          this.replace(final);
          end();
          this.finished = final;
          void this.afterAnswer();
        },
        waiting: (waits) => {
          this.waiting = waits;
        },
        failed: () => {
          end();
          if (this.id !== null) void this.reload(this.id);
        }
      },
      line.signal,
      fetchAs
    );
  }

  /** A chat may have got its title, and it moves to the top of the list. */
  private async afterAnswer(): Promise<void> {
    await chats.refresh();
    const chat = chats.list.find((other) => other.id === this.id);
    if (chat && this.chat) this.chat = { ...this.chat, title: chat.title, updated_at: chat.updated_at };
  }

  /** Makes the chat if it is new, sends, and follows the answer. Throws if it was not sent. */
  async send(text: string, attachments: Attachment[], parent: string | null, id = uuidv7()): Promise<void> {
    this.outgoing = { id, parent, text, attachments };
    try {
      if (!this.chat) {
        const chat = await api.createChat({
          model: this.model,
          settings: $state.snapshot(this.settings),
          temporary: this.temporary,
          folder_id: this.folder
        });
        this.take(chat);
        chats.put(chat);
      }
      const chat = this.chat as unknown as Chat;
      const { message, answer } = await api.send(chat.id, {
        id,
        parent_id: parent,
        content: text,
        attachments: attachments.map((attachment) => attachment.id),
        ...(this.useTool ? { use_tool: this.useTool } : {})
      });
      this.useTool = null;
      this.replace(message);
      this.begin(answer);
    } finally {
      this.outgoing = null;
    }
  }

  private begin(answer: Message): void {
    this.finished = null;
    this.replace(answer);
    this.leaf = answer.id;
    if (this.chat) {
      this.chat = { ...this.chat, leaf_id: answer.id, updated_at: Date.now() };
      chats.put(this.chat);
    }
    if (answer.status === 'streaming') this.watch(answer);
  }

  async regenerate(answer: Message): Promise<void> {
    const asked = answer.role === 'user' ? answer.id : answer.parent_id;
    if (this.id === null || asked === null) return;
    const chat = this.id;
    await attempt(async () => this.begin((await api.answer(chat, asked)).answer));
  }

  async continueAnswer(answer: Message): Promise<void> {
    if (this.id === null) return;
    const chat = this.id;
    await attempt(async () => this.begin((await api.continueAnswer(chat, answer.id)).answer));
  }

  async stop(): Promise<void> {
    const answer = this.streaming;
    if (!answer || this.id === null) return;
    const chat = this.id;
    await attempt(() => api.stop(chat, answer.id));
  }

  /** Shows the branch on which `id` lies, down to its newest message. */
  showBranch(id: string): void {
    this.leaf = newestLeaf(this.tree, id);
    this.save({ leaf_id: this.leaf });
  }

  /** Shows a message that was found, on whatever branch it lies. */
  reveal(id: string): void {
    if (!this.tree.byId.has(id)) return;
    if (!this.path.some((message) => message.id === id)) this.showBranch(id);
    this.target = id;
  }

  async remove(message: Message): Promise<void> {
    if (this.id === null) return;
    const chat = this.id;
    const gone = subtree(this.tree, message.id);
    const leaf = leafWithout(this.tree, message.id);
    const done = await attempt(() => api.deleteMessage(chat, message.id));
    if (!done) return;
    for (const id of gone) {
      this.followed.get(id)?.abort();
      this.followed.delete(id);
      this.live.delete(id);
      this.liveCalls.delete(id);
    }
    this.messages = this.messages.filter((other) => !gone.has(other.id));
    this.leaf = leaf;
    this.save({ leaf_id: leaf });
  }

  setModel(model: string | null): void {
    this.model = model;
    this.save({ model });
  }

  setSettings(settings: ChatSettings): void {
    this.settings = settings;
    this.save({ settings: $state.snapshot(this.settings) });
  }

  /** Whether the tools of a server may be called in this chat. */
  allowTools(server: string, allowed: boolean): void {
    const others = (this.settings.tools ?? []).filter((other) => other !== server);
    const settings: ChatSettings = { ...this.settings };
    const tools = allowed ? [...others, server] : others;
    if (tools.length > 0) settings.tools = tools;
    else delete settings.tools;
    if (!allowed && this.useTool?.server_id === server) this.useTool = null;
    this.setSettings(settings);
    // What is sent next must find it there.
    this.flush();
  }

  private change: Partial<Chat> = {};

  private save(change: Partial<Chat>): void {
    if (!this.chat) return;
    this.change = { ...this.change, ...change };
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.flush(), SAVE_AFTER_MS);
  }

  private flush(): void {
    clearTimeout(this.saving);
    const due = this.change;
    if (!this.chat || Object.keys(due).length === 0) return;
    this.change = {};
    api
      .patchChat(this.chat.id, due)
      .then((saved) => {
        if (this.chat?.id === saved.id) this.chat = { ...saved, leaf_id: this.leaf };
      })
      .catch(fail);
  }
}

/** The conversation on the page. One that was just begun is found here by the page of its address. */
class Current {
  open = $state.raw<Conversation>(new Conversation());

  begin(): Conversation {
    this.open.close();
    this.open = new Conversation();
    return this.open;
  }

  show(id: string): Conversation {
    if (this.open.id === id) return this.open;
    this.open.close();
    this.open = new Conversation();
    void this.open.load(id);
    return this.open;
  }
}

export const current = new Current();
