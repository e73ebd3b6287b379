/** Passkeys: what the browser and the server say to each other in them (Web Authentication, level 3). */
import { api } from './api/client';

const toText = (bytes: ArrayBuffer): string =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=+$/, '');

const toBytes = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (char) => char.charCodeAt(0));

/** Browsers know passkeys only on pages that nobody can have changed on the way, and of sites with a name. */
export const hasPasskeys = (): boolean =>
  typeof PublicKeyCredential !== 'undefined' && window.isSecureContext && !/^[\d.]+$|^\[/.test(location.hostname);

/** The person changed their mind, or took too long: nothing to complain about. */
export const wasDeclined = (error: unknown): boolean =>
  error instanceof DOMException && (error.name === 'NotAllowedError' || error.name === 'AbortError');

/** Makes a passkey and adds it to the account of who has logged in. */
export async function addPasskey(user: { id: string; name: string; email: string | null }, name: string): Promise<void> {
  const asked = await api.passkeyChallenge('register');
  const made = (await navigator.credentials.create({
    publicKey: {
      challenge: toBytes(asked.challenge),
      rp: { id: asked.rp_id, name: 'Terang' },
      user: { id: new TextEncoder().encode(user.id), name: user.email ?? user.name, displayName: user.name },
      pubKeyCredParams: asked.algorithms.map((alg) => ({ type: 'public-key', alg })),
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      attestation: 'none',
      timeout: asked.timeout_ms
    }
  })) as PublicKeyCredential | null;
  if (!made) throw new DOMException('no passkey was made', 'NotAllowedError');
  const shown = made.response as AuthenticatorAttestationResponse;
  const key = shown.getPublicKey();
  if (!key) throw new Error('the passkey shows no public key');
  await api.addPasskey({
    name,
    ticket: asked.ticket,
    client_data: toText(shown.clientDataJSON),
    authenticator_data: toText(shown.getAuthenticatorData()),
    public_key: toText(key),
    algorithm: shown.getPublicKeyAlgorithm()
  });
}

/** Logs in with a passkey that the person chooses. */
export async function logInWithPasskey(): Promise<void> {
  const asked = await api.passkeyChallenge('login');
  const chosen = (await navigator.credentials.get({
    publicKey: {
      challenge: toBytes(asked.challenge),
      rpId: asked.rp_id,
      userVerification: 'required',
      timeout: asked.timeout_ms
    }
  })) as PublicKeyCredential | null;
  if (!chosen) throw new DOMException('no passkey was chosen', 'NotAllowedError');
  const shown = chosen.response as AuthenticatorAssertionResponse;
  await api.passkeyLogin({
    ticket: asked.ticket,
    credential: chosen.id,
    client_data: toText(shown.clientDataJSON),
    authenticator_data: toText(shown.authenticatorData),
    signature: toText(shown.signature)
  });
}
