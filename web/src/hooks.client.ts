import type { HandleClientError } from '@sveltejs/kit';

/** An address that leads nowhere has a page that says so; it is no fault to be logged. */
export const handleError: HandleClientError = ({ error, status, message }) => {
  if (status !== 404) console.error(error);
  return { message };
};
