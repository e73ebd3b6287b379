/** Figures of how quick the app is: `npm run figures` prints them. */
import base from '../playwright.config';

export default { ...base, testDir: '.', projects: [{ name: 'figures', use: { viewport: { width: 412, height: 823 }, locale: 'en-GB' } }], retries: 0 };
