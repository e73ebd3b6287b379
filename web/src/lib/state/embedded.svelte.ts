/**
 * The app inside of another application's page: it waits for what that page says, comes in with the
 * token that it brings, and asks for another when the session is over. Nothing is kept in the browser.
 */
import { LOOKS, wishOf, type Say, type Wish } from '../../embed/messages';
import { api, ApiError, signInWith } from '../api/client';
import type { Assistant } from '../api/types';
import { useLanguage } from '../i18n/index.svelte';
import { chats } from './chats.svelte';
import { current, type Conversation } from './conversation.svelte';
import { session, showDark } from './session.svelte';

/** A page that brings no token within this has none. */
const RENEW_MS = 10_000;

const say = (said: Say): void => parent.postMessage(said, '*');

class Embedded {
  state = $state<'waiting' | 'ready' | 'refused'>('waiting');
  why = $state('');
  assistant = $state.raw<Assistant | null>(null);
  private assistants: Assistant[] = [];
  private wanted: string | null = null;
  private dark = matchMedia('(prefers-color-scheme: dark)');
  private theme: Wish['theme'] = 'system';

  constructor(private readonly app: string) {}

  /** Listens to the page that this is in, until the result is called. */
  start(): () => void {
    const heard = (event: MessageEvent) => {
      if (event.source !== parent) return;
      const wish = wishOf(event.data);
      if (wish) void this.take(wish);
    };
    const paint = () => this.paint();
    addEventListener('message', heard);
    this.dark.addEventListener('change', paint);
    say({ terang: 1, kind: 'hello' });
    return () => {
      removeEventListener('message', heard);
      this.dark.removeEventListener('change', paint);
    };
  }

  private paint(): void {
    showDark(this.theme === 'dark' || (this.theme === 'system' && this.dark.matches));
  }

  private async take(wish: Wish): Promise<void> {
    this.theme = wish.theme;
    this.paint();
    const style = document.documentElement.style;
    for (const [theirs, ours] of Object.entries(LOOKS)) {
      const value = wish.looks[theirs];
      if (value !== undefined && CSS.supports('color', value)) style.setProperty(ours, value);
      else style.removeProperty(ours);
    }
    if (wish.lang !== null) await useLanguage(wish.lang, false);
    const other = wish.assistant !== this.wanted;
    this.wanted = wish.assistant;
    if (wish.token !== null) await this.enter(wish.token);
    else if (other && this.state === 'ready') this.choose();
  }

  private async enter(token: string): Promise<void> {
    try {
      const begun = await api.embedSession(this.app, token);
      signInWith(begun.token);
      this.assistants = begun.assistants;
      // Whoever waits for the session goes on with it.
      this.renewed?.(true);
      await session.load();
      const first = this.state !== 'ready';
      this.state = 'ready';
      if (first) this.choose();
      void chats.refresh();
      say({ terang: 1, kind: 'ready' });
    } catch (error) {
      this.why = error instanceof ApiError ? error.message : String(error);
      // What is on the page stays there while the application brings another token.
      if (this.state !== 'ready') this.state = 'refused';
      say({ terang: 1, kind: 'error', message: this.why });
      this.renewed?.(false);
    }
  }

  private renewing: Promise<boolean> | null = null;
  private renewed: ((done: boolean) => void) | null = null;

  /** The session is over: the page is asked for another token, once for all who wait. */
  over(): Promise<boolean> {
    this.renewing ??= new Promise<boolean>((resolve) => {
      signInWith(null);
      const timer = setTimeout(() => this.renewed?.(false), RENEW_MS);
      this.renewed = (done) => {
        clearTimeout(timer);
        this.renewing = this.renewed = null;
        resolve(done);
      };
      say({ terang: 1, kind: 'token' });
    });
    return this.renewing;
  }

  private choose(): void {
    this.assistant = this.assistants.find((one) => one.id === this.wanted || one.name === this.wanted) ?? null;
    if (current.open.id === null) this.begin();
  }

  begin(): Conversation {
    const conversation = current.begin();
    // Titles come with answers, which may have gone on without this page.
    if (this.state === 'ready') void chats.refresh();
    if (this.assistant) {
      conversation.model = this.assistant.model;
      conversation.settings = { ...this.assistant.settings, ...(this.assistant.instructions ? { system: this.assistant.instructions } : {}) };
    }
    return conversation;
  }
}

export { Embedded };
