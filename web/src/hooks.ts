import type { Reroute } from '@sveltejs/kit';

/** Links to shared chats are found by either of their names. */
export const reroute: Reroute = ({ url }) => url.pathname.replace(/^\/shared\//, '/share/');
