/** Starts the binary with a data folder of its own, which holds the real model by a link. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const BINARY = process.env['TERANG'] ?? join(ROOT, 'target/debug/terang');
const MODELS = process.env['TERANG_TEST_MODELS'] ?? join(ROOT, 'target/test-data/terang');
const START_MS = 60_000;

async function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const probe = createServer();
    probe.once('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (typeof address === 'object' && address ? found(address.port) : failed(new Error('no port'))));
    });
  });
}

export class Server {
  log = '';
  private child: ChildProcess | undefined;
  private constructor(
    readonly url: string,
    private readonly port: number,
    private readonly data: string,
    private readonly extra: string[],
    private readonly catalogue: string | undefined
  ) {}

  /** `{url}` in an argument is the address that it will have. */
  static async start(...extra: string[]): Promise<Server> {
    return Server.over(undefined, ...extra);
  }

  /** With a catalogue of one's own; the default model is served by its path. */
  static async over(catalogue: string | undefined, ...extra: string[]): Promise<Server> {
    if (!existsSync(join(MODELS, 'models'))) {
      throw new Error(`${MODELS}/models is not there: \`terang pull smollm2:135m\` fetches it, TERANG_TEST_MODELS names its folder`);
    }
    const data = mkdtempSync(join(tmpdir(), 'terang-web-'));
    symlinkSync(join(MODELS, 'models'), join(data, 'models'));
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const server = new Server(url, port, data, extra.map((part) => part.replace('{url}', url)), catalogue);
    await server.run();
    return server;
  }

  private async run(): Promise<void> {
    const model = this.catalogue ? `smollm2=${join(MODELS, 'models/smollm2_135m/model.gguf')}` : 'smollm2:135m';
    const child = spawn(
      BINARY,
      ['--data-dir', this.data, 'serve', '--model', model, '--listen', `127.0.0.1:${this.port}`, ...this.extra],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: this.catalogue ? { ...process.env, TERANG_CATALOGUE: this.catalogue } : process.env
      }
    );
    this.child = child;
    let ended = false;
    child.once('exit', () => (ended = true));
    child.once('error', (error) => (this.log += String(error)));
    for (const output of [child.stdout, child.stderr]) output?.on('data', (piece: Buffer) => (this.log += piece.toString()));
    const deadline = Date.now() + START_MS;
    for (;;) {
      if (ended) throw new Error(`the server ended:\n${this.log}`);
      try {
        if ((await fetch(`${this.url}/api/me`)).ok) return;
      } catch {
        // Not yet.
      }
      if (Date.now() > deadline) throw new Error(`the server does not answer:\n${this.log}`);
      await new Promise((wait) => setTimeout(wait, 100));
    }
  }

  /** Ends the process without any warning, and starts it again on the same data. */
  async crash(): Promise<void> {
    await this.end('SIGKILL');
    await this.run();
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await ended;
  }

  async stop(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.data, { recursive: true, force: true });
  }
}
