/// <reference types="@sveltejs/kit" />
/// <reference no-default-lib="true"/>
/// <reference lib="esnext" />
/// <reference lib="webworker" />
/**
 * The app's shell without a network: the files of the app come from the cache, the page itself from
 * the network if there is one. Nothing of `/api` is ever kept here.
 */
import { build, files } from '$service-worker';

const worker = self as unknown as ServiceWorkerGlobalScope;
/** Names of built files change with their content, so one cache holds; old ones are dropped below. */
const CACHE = 'terang';
const SHELL = '/';
const KEPT = new Set([...build, ...files]);

worker.addEventListener('install', (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      const have = new Set((await cache.keys()).map((request) => new URL(request.url).pathname));
      await cache.addAll(build.filter((path) => !have.has(path)));
      await cache.addAll([SHELL, ...files]);
      await worker.skipWaiting();
    })()
  );
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      for (const request of await cache.keys()) {
        const { pathname } = new URL(request.url);
        if (pathname !== SHELL && !KEPT.has(pathname) && !pathname.startsWith('/app/start')) {
          await cache.delete(request);
        }
      }
      await worker.clients.claim();
    })()
  );
});

const isOurs = (path: string): boolean => !/^\/(?:api|v1|health|metrics|docs|diagram|embed|openapi\.json)(?:\/|$)/.test(path);

async function page(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(SHELL, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(SHELL);
    if (kept) return kept;
    throw error;
  }
}

async function file(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const immutable = new URL(request.url).pathname.startsWith('/app/immutable/');
  const kept = await cache.match(request);
  if (kept && immutable) return kept;
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== location.origin || !isOurs(url.pathname)) return;
  if (request.mode === 'navigate') event.respondWith(page(request));
  else if (KEPT.has(url.pathname) || url.pathname.startsWith('/app/')) event.respondWith(file(request));
});
