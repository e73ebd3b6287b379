/** Pictures among the files of a message, and where the browser gets them. */
import { api, EMBEDDED } from '../api/client';
import type { Attachment, Picture } from '../api/types';

export const isPicture = (file: Attachment): file is Picture => file.width !== null && file.height !== null;

/** The address of a file; inside of another application no address carries the session. */
export const address = (file: Attachment): string => `/api/attachments/${encodeURIComponent(file.id)}`;

/**
 * Tells `take` where a picture is to be had, until the result is called. Inside of another application
 * it is fetched by whoever came through it, and held in memory.
 */
export function source(file: Picture, take: (url: string) => void, failed: () => void): () => void {
  if (!EMBEDDED) {
    take(address(file));
    return () => {};
  }
  let url: string | null = null;
  let over = false;
  void api.attachment(file.id).then((data) => {
    if (over) return;
    url = URL.createObjectURL(data);
    take(url);
  }, failed);
  return () => {
    over = true;
    if (url !== null) URL.revokeObjectURL(url);
  };
}
