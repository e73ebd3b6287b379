/** Servers of tools that may be used. Their tools are asked for only when somebody wants to see them. */
import { api } from '../api/client';
import type { ToolServer } from '../api/types';
import { fail } from './toasts.svelte';

class Tools {
  servers = $state.raw<ToolServer[]>([]);
  /** Their tools are there too. */
  listed = $state(false);
  private asked: Promise<void> | null = null;

  /** Which servers there are. */
  load(): Promise<void> {
    this.asked ??= this.take(false);
    return this.asked;
  }

  /** Which tools they have. */
  list(): Promise<void> {
    return this.take(true);
  }

  forget(): void {
    this.asked = null;
    this.listed = false;
  }

  private async take(connect: boolean): Promise<void> {
    try {
      this.servers = await api.tools(connect);
      this.listed = connect;
    } catch (error) {
      this.asked = null;
      fail(error);
    }
  }
}

export const tools = new Tools();
