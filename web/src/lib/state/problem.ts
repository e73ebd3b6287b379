/** What the server sends a browser back with when signing in at an identity provider went wrong. */
import { t } from '../i18n/index.svelte';

const KNOWN = [
  'oidc_unavailable',
  'oidc_expired',
  'oidc_refused',
  'oidc_no_account',
  'oidc_email_taken',
  'oidc_disabled',
  'oidc_taken',
  'oidc_failed'
] as const;

/** Only what is known is told: an address from outside does not speak in the app's name. */
export function problem(address: URL): string | null {
  const code = address.searchParams.get('problem');
  if (code === null) return null;
  const known = KNOWN.find((one) => one === code) ?? 'oidc_failed';
  return t(`auth.${known}`);
}
