/**
 * `<terang-chat src token assistant lang theme>`: the chat inside of another application's page. It
 * puts a frame into the page and hands it what the page says; it sees nothing of what is said there.
 *
 * `src` is the address of the application's page, as the administration shows it. `token` is what the
 * application's server has signed. When another is needed there is the event `terang-token`, and
 * setting the attribute again goes on. Others: `terang-ready`, and `terang-error` with a `message`.
 */
import { LOOKS, type Say, type Wish } from './messages';

const ATTRIBUTES = ['src', 'token', 'assistant', 'lang', 'theme', 'title'];

class TerangChat extends HTMLElement {
  static readonly observedAttributes = ATTRIBUTES;
  private frame: HTMLIFrameElement | null = null;
  private origin = '';
  /** The token that the frame has had: each is given once. */
  private given: string | null = null;
  /** The frame has said that it listens. */
  private greeted = false;
  private readonly dark = matchMedia('(prefers-color-scheme: dark)');
  private readonly heard = (event: MessageEvent) => this.hear(event);
  private readonly changed = () => this.tell();

  connectedCallback(): void {
    addEventListener('message', this.heard);
    this.dark.addEventListener('change', this.changed);
    this.open();
  }

  disconnectedCallback(): void {
    removeEventListener('message', this.heard);
    this.dark.removeEventListener('change', this.changed);
    this.frame?.remove();
    this.frame = null;
  }

  attributeChangedCallback(name: string): void {
    if (!this.isConnected) return;
    // A page that sets its token means it, also where it is the one that it was.
    if (name === 'token') this.given = null;
    if (name === 'src') this.open();
    else this.tell();
  }

  /** Hands the frame the colours that the page's styles give now. */
  refreshTheme(): void {
    this.tell();
  }

  private open(): void {
    this.frame?.remove();
    this.frame = null;
    this.given = null;
    this.greeted = false;
    let address: URL;
    try {
      address = new URL(this.getAttribute('src') ?? '', document.baseURI);
    } catch {
      return;
    }
    if (address.protocol !== 'https:' && address.protocol !== 'http:') return;
    this.origin = address.origin;
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
    const frame = document.createElement('iframe');
    // It may not move the page that it is in.
    for (const may of ['allow-scripts', 'allow-same-origin', 'allow-forms', 'allow-popups', 'allow-popups-to-escape-sandbox', 'allow-downloads']) frame.sandbox.add(may);
    frame.allow = 'clipboard-write';
    frame.referrerPolicy = 'no-referrer';
    frame.title = this.getAttribute('title') ?? 'Chat';
    frame.src = address.href;
    // Through the object model: a page's policy may forbid styles in text.
    Object.assign(frame.style, { border: '0', width: '100%', height: '100%', display: 'block', borderRadius: 'inherit' });
    if (getComputedStyle(this).display === 'inline') this.style.display = 'block';
    if (this.clientHeight < 100 && this.style.height === '') this.style.height = '36rem';
    root.replaceChildren(frame);
    this.frame = frame;
  }

  private tell(): void {
    const target = this.frame?.contentWindow;
    if (!target || !this.greeted) return;
    const style = getComputedStyle(this);
    const looks: Record<string, string> = {};
    for (const name of Object.keys(LOOKS)) {
      const value = style.getPropertyValue(name).trim();
      if (value !== '') looks[name] = value;
    }
    const token = this.getAttribute('token');
    const theme = this.getAttribute('theme');
    const wish: Wish = {
      terang: 1,
      token: token === this.given ? null : token,
      assistant: this.getAttribute('assistant'),
      lang: this.getAttribute('lang'),
      theme: theme === 'light' || theme === 'dark' ? theme : 'system',
      looks
    };
    this.given = token;
    // To the server's own page and to nobody who may stand in its place.
    target.postMessage(wish, this.origin);
  }

  private hear(event: MessageEvent): void {
    if (!this.frame || event.source !== this.frame.contentWindow || event.origin !== this.origin) return;
    const said = event.data as Say | null;
    if (typeof said !== 'object' || said === null || said.terang !== 1) return;
    if (said.kind === 'hello') {
      this.greeted = true;
      this.given = null;
      this.tell();
    } else if (said.kind === 'ready') this.dispatchEvent(new CustomEvent('terang-ready'));
    else if (said.kind === 'token') this.dispatchEvent(new CustomEvent('terang-token'));
    else if (said.kind === 'error') this.dispatchEvent(new CustomEvent('terang-error', { detail: { message: String(said.message).slice(0, 500) } }));
  }
}

if (!customElements.get('terang-chat')) customElements.define('terang-chat', TerangChat);
